//! What a torture-only build can be made to do, so that `make torture` can prove the promises by breaking the program
//! where it hurts most. Without the feature `torture` all of it is nothing.
//!
//! `SUBITEYA_TORTURE` holds words with commas between them: `kill@POINT` and `stop@POINT` (SIGKILL or SIGSTOP to this
//! process at the first hit of a crash point, or with `:N` at the Nth), `without=GUARD`, `scale=N` (the publish protocol's
//! times divided by N), `pace=N` (the engine's times divided by N), `chunk=BYTES` (the size of a chunk).

macro_rules! named {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type { $($(#[$doc])* $name,)* }

        impl $type {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

named! {
    /// A step at which the world changes. The process can die right there.
    Point {
        /// The first bytes of an upload are in the store.
        IngestPart = "ingest.part",
        /// Its object is whole.
        IngestStored = "ingest.stored",
        /// Its hash is known, and no earlier request had its key.
        IngestHashed = "ingest.hashed",
        /// Its rows are written and not committed.
        IngestWriting = "ingest.writing",
        /// Committed; nothing is appended, nobody has an answer.
        IngestCommitted = "ingest.committed",
        /// What is due was chosen.
        ReleaseRead = "release.read",
        /// Released tasks are written and not committed.
        ReleaseWriting = "release.writing",
        /// Committed, and not yet appended.
        ReleaseCommitted = "release.committed",
        /// Appended; nobody knows.
        ReleaseAppended = "release.appended",

        EditRead = "edit.read",
        EditLeased = "edit.leased",
        EditFetched = "edit.fetched",
        EditFfmpegStarted = "edit.ffmpeg_started",
        EditFfmpegMidway = "edit.ffmpeg_midway",
        EditFfmpegDone = "edit.ffmpeg_done",
        EditStored = "edit.stored",
        EditSettling = "edit.settling",
        EditSettled = "edit.settled",
        EditAcknowledged = "edit.acknowledged",

        PublishRead = "publish.read",
        PublishLeased = "publish.leased",
        /// TikTok has the refresh token and hasn't answered.
        PublishRefreshSent = "publish.refresh_sent",
        PublishRefreshStored = "publish.refresh_stored",
        /// The creator agrees; no intent yet.
        PublishPrepared = "publish.prepared",
        PublishIntentStored = "publish.intent_stored",
        /// TikTok has the init and hasn't answered.
        PublishInitSent = "publish.init_sent",
        PublishInitAnswered = "publish.init_answered",
        PublishIdStored = "publish.id_stored",
        PublishChunkBefore = "publish.chunk_before",
        PublishChunkInside = "publish.chunk_inside",
        PublishChunkAfter = "publish.chunk_after",
        PublishFinalStored = "publish.final_stored",
        /// TikTok has every byte and hasn't answered.
        PublishLastSent = "publish.last_sent",
        PublishCreated = "publish.created",
        PublishUploadedStored = "publish.uploaded_stored",
        PublishCompleteSeen = "publish.complete_seen",
        PublishPostedStored = "publish.posted_stored",
        PublishAcknowledged = "publish.acknowledged",

        /// Lost releases are put back and not yet released anew.
        RelayDoubted = "relay.doubted",
        ControlRetry = "control.retry",
        ControlResolve = "control.resolve",
    }
}

named! {
    /// Something without which the promises break, so that the checker can be seen to notice.
    Guard {
        /// Publications are written whatever stands in the row, and whoever holds the lease.
        CompareAndSet = "cas",
        /// A worker whose lease is gone goes on and settles.
        Lease = "lease",
        /// What could not be appended is never released anew.
        Outbox = "outbox",
        /// The ledger grants every permit.
        Limits = "limits",
    }
}

#[cfg(not(feature = "torture"))]
mod switches {
    use std::time::Duration;

    use super::{Guard, Point};

    #[inline(always)]
    pub fn at(_: Point) {}

    #[inline(always)]
    pub fn soon(_: Point) {}

    #[inline(always)]
    pub fn without(_: Guard) -> bool {
        false
    }

    #[inline(always)]
    pub fn scaled(time: Duration) -> Duration {
        time
    }

    #[inline(always)]
    pub fn chunk() -> Option<u64> {
        None
    }

    #[inline(always)]
    pub fn paced(time: Duration) -> Duration {
        time
    }
}

#[cfg(feature = "torture")]
mod switches {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::{Guard, Point};

    /// How long a request has to arrive before its sender dies.
    const ARRIVAL: Duration = Duration::from_millis(150);

    struct Blow {
        point: Point,
        signal: Signal,
        /// Hits that are still to come, this one included.
        left: AtomicU32,
    }

    #[derive(Default)]
    struct Orders {
        blows: Vec<Blow>,
        without: Vec<Guard>,
        scale: u32,
        pace: u32,
        chunk: Option<u64>,
    }

    static ORDERS: LazyLock<Orders> = LazyLock::new(|| {
        let words = std::env::var("SUBITEYA_TORTURE").unwrap_or_default();
        words.split(',').filter(|word| !word.is_empty()).fold(Orders { scale: 1, pace: 1, ..Orders::default() }, order)
    });

    fn order(mut orders: Orders, word: &str) -> Orders {
        let wrong = || -> ! { panic!("SUBITEYA_TORTURE holds {word:?}") };
        let guard = |name: &str| Guard::ALL.iter().copied().find(|guard| guard.name() == name);
        if let Some(name) = word.strip_prefix("without=") {
            orders.without.push(guard(name).unwrap_or_else(|| wrong()));
        } else if let Some(scale) = word.strip_prefix("scale=") {
            orders.scale = scale.parse().unwrap_or_else(|_| wrong());
        } else if let Some(pace) = word.strip_prefix("pace=") {
            orders.pace = pace.parse().unwrap_or_else(|_| wrong());
        } else if let Some(bytes) = word.strip_prefix("chunk=") {
            orders.chunk = Some(bytes.parse().unwrap_or_else(|_| wrong()));
        } else {
            let (how, place) = word.split_once('@').unwrap_or_else(|| wrong());
            let signal = match how {
                "kill" => Signal::KILL,
                "stop" => Signal::STOP,
                _ => wrong(),
            };
            let (name, hit) = place.split_once(':').unwrap_or((place, "1"));
            let point = Point::ALL.iter().copied().find(|point| point.name() == name).unwrap_or_else(|| wrong());
            let left = AtomicU32::new(hit.parse().unwrap_or_else(|_| wrong()));
            orders.blows.push(Blow { point, signal, left });
        }
        orders
    }

    /// The blow that this hit of a point brings.
    fn due(point: Point) -> Option<Signal> {
        let struck = |blow: &&Blow| blow.point == point && blow.left.fetch_sub(1, Ordering::Relaxed) == 1;
        ORDERS.blows.iter().filter(struck).map(|blow| blow.signal).last()
    }

    fn strike(signal: Signal) {
        kill_process(getpid(), signal).ok();
    }

    pub fn at(point: Point) {
        if let Some(signal) = due(point) {
            strike(signal);
        }
    }

    /// For what was just handed to the network: strikes when it has arrived.
    pub fn soon(point: Point) {
        if let Some(signal) = due(point) {
            std::thread::spawn(move || {
                std::thread::sleep(ARRIVAL);
                strike(signal);
            });
        }
    }

    pub fn without(guard: Guard) -> bool {
        ORDERS.without.contains(&guard)
    }

    pub fn scaled(time: Duration) -> Duration {
        time / ORDERS.scale
    }

    pub fn chunk() -> Option<u64> {
        ORDERS.chunk
    }

    pub fn paced(time: Duration) -> Duration {
        time / ORDERS.pace
    }
}

pub use switches::{at, chunk, paced, scaled, soon, without};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_and_guard_has_a_name_of_its_own() {
        let mut names: Vec<_> = Point::ALL.iter().map(|point| point.name()).collect();
        names.extend(Guard::ALL.iter().map(|guard| guard.name()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
