//! The loop of a stage that has a stream: a free slot first, then a look whether the stage is open, then the read.
//!
//! While a read blocks, the ledger is asked every second, without Redis: for stalled tasks, which this worker then takes
//! over, and for released tasks that nobody started, which make it doubt its stream (`doubt`). The read is never
//! dropped; it is woken when there is something better to do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::accept::InHand;
use super::{Admission, Engine, Identity, Work, doubt, millis, sweep, worker};
use crate::event::Stage;
use crate::ledger::LedgerError;
use crate::outcome::backoff;
use crate::stream::{Delivery, Reader, StreamError, Streams};
use crate::torture::{self, Point};

/// The longest blocking read, and what else the loop is given.
#[derive(Debug, Clone)]
pub struct Reading {
    pub block: Duration,
}

/// Works until the stop, then until what runs has ended or was handed back.
pub async fn work<W: Work>(engine: Engine, work: Arc<W>, streams: Streams, reading: Reading) {
    let slots = Arc::new(Semaphore::new(engine.config.concurrency));
    let identity = Identity::new(W::STAGE);
    let tracker = TaskTracker::new();
    let worker = Worker {
        engine: engine.clone(),
        work,
        streams,
        reading,
        identity: identity.clone(),
        slots: slots.clone(),
        tracker: tracker.clone(),
        in_hand: Arc::default(),
    };
    // Others judge by this row whether the worker's entries are a dead one's, so it stands before the first read.
    while let Err(error) = worker::seen(&engine, &identity, &tracker).await {
        tracing::warn!(stage = %W::STAGE, %error, "the worker can't start yet");
        tokio::select! {
            () = tokio::time::sleep(engine.times.tick) => {}
            () = engine.stop.reading.cancelled() => return,
        }
    }
    let alive = worker::heartbeat(&engine, &identity, &tracker);
    let reader = tokio::select! {
        reader = worker.go() => reader,
        () = async { alive.await; std::future::pending().await } => None,
    };
    tracker.close();
    tracker.wait().await;
    if let Some(reader) = reader {
        worker.leave(&reader).await;
    }
    worker::left(&engine, &identity).await;
}

#[derive(Clone)]
pub(super) struct Worker<W: Work> {
    pub(super) engine: Engine,
    pub(super) work: Arc<W>,
    pub(super) streams: Streams,
    reading: Reading,
    pub(super) identity: Identity,
    slots: Arc<Semaphore>,
    pub(super) tracker: TaskTracker,
    pub(super) in_hand: InHand,
}

/// What the loop remembers from one round to the next.
struct Round {
    /// Entries that an earlier read may have left with this consumer come first.
    own_first: bool,
    /// None: at once, as at the start and after trouble.
    swept_at: Option<tokio::time::Instant>,
    faults: u32,
}

impl<W: Work> Worker<W> {
    async fn go(&self) -> Option<Reader> {
        let reader = self.open().await?;
        let mut round = Round { own_first: false, swept_at: None, faults: 0 };
        while !self.stopping() {
            match self.round(&reader, &mut round).await {
                Ok(()) => round.faults = 0,
                Err(fault) => {
                    round.own_first = true;
                    round.swept_at = None;
                    round.faults += 1;
                    self.recover(fault, round.faults).await;
                }
            }
        }
        Some(reader)
    }

    /// One round: slots, stalled work, a look, a read.
    async fn round(&self, reader: &Reader, round: &mut Round) -> Result<(), Fault> {
        let Some(mut permits) = self.free_slots().await else { return Ok(()) };
        if round.own_first {
            self.own_pending(reader, &mut permits).await?;
            round.own_first = false;
        }
        if self.sweep_is_due(round).await? {
            self.engine.owing.store(false, Ordering::Relaxed);
            sweep::sweep(self, &mut permits).await?;
            round.swept_at = Some(tokio::time::Instant::now());
        }
        self.take_over_stalled(&mut permits).await?;
        if permits.is_empty() {
            return Ok(());
        }
        if let Admission::Closed { until, .. } = self.look().await? {
            let now = self.engine.ledger.now().await?;
            let wait = Duration::from_millis(u64::try_from(until - now).unwrap_or(0)).min(self.engine.times.tick);
            self.pause(wait.max(Duration::from_millis(20))).await;
            return Ok(());
        }
        let deliveries = self.read(reader, u64::try_from(permits.len()).unwrap_or(1)).await?;
        if !deliveries.is_empty() {
            torture::at(if W::STAGE == Stage::Edit { Point::EditRead } else { Point::PublishRead });
        }
        self.accept(deliveries, &mut permits).await
    }

    /// Rule 10: at the start, after trouble, and every `stalled_check` while anything is pending as far as is known.
    async fn sweep_is_due(&self, round: &Round) -> Result<bool, LedgerError> {
        let Some(last) = round.swept_at else { return Ok(true) };
        if last.elapsed() < self.engine.config.stalled_check {
            return Ok(false);
        }
        Ok(self.engine.owing.load(Ordering::Relaxed) || self.engine.ledger.anything_out(W::STAGE).await?)
    }

    /// All slots that are free, at least one.
    async fn free_slots(&self) -> Option<Vec<OwnedSemaphorePermit>> {
        let first = loop {
            self.beat();
            tokio::select! {
                permit = self.slots.clone().acquire_owned() => break permit.ok()?,
                () = self.engine.stop.reading.cancelled() => return None,
                () = tokio::time::sleep(self.engine.times.tick) => {}
            }
        };
        let mut permits = vec![first];
        while let Ok(another) = self.slots.clone().try_acquire_owned() {
            permits.push(another);
        }
        Some(permits)
    }

    async fn look(&self) -> Result<Admission, LedgerError> {
        if let Some(pause) = self.engine.ledger.paused(&format!("stage/{}", W::STAGE)).await? {
            let until = pause.until.unwrap_or(i64::MAX / 4);
            return Ok(Admission::Closed { until, reason: crate::outcome::Reason::new("paused", pause.reason) });
        }
        self.work.look(&self.engine.ledger).await
    }

    /// A blocking read that ends early when the ledger has something for this worker.
    async fn read(&self, reader: &Reader, most: u64) -> Result<Vec<Delivery>, Fault> {
        let started = tokio::time::Instant::now();
        let mut reading = reader.read(most, self.reading.block);
        loop {
            tokio::select! {
                done = &mut reading => {
                    let done = done.unwrap_or_else(|error| Err(StreamError::Unavailable(error.to_string())));
                    return Ok(done?);
                }
                () = self.engine.stop.reading.cancelled() => {
                    let read = reader.wake(reading).await?;
                    self.give_back(read).await;
                    return Ok(Vec::new());
                }
                () = tokio::time::sleep(self.engine.times.tick) => self.beat(),
            }
            match self.better_to_do(started.elapsed()).await {
                Ok(None) => {}
                Ok(Some(Better::Stalled)) => return Ok(reader.wake(reading).await?),
                Ok(Some(Better::Doubt { deaf })) => {
                    let read = reader.wake(reading).await?;
                    if !read.is_empty() {
                        return Ok(read);
                    }
                    return doubt::doubt(&self.engine, W::STAGE, reader, most, deaf).await;
                }
                Err(error) => {
                    tracing::warn!(stage = %W::STAGE, %error, "the ledger could not be asked; the read goes on")
                }
            }
        }
    }

    async fn better_to_do(&self, blocked: Duration) -> Result<Option<Better>, LedgerError> {
        let ledger = &self.engine.ledger;
        let now = ledger.now().await?;
        if !self.stalled(now, 1).await?.is_empty() {
            return Ok(Some(Better::Stalled));
        }
        let times = &self.engine.times;
        if blocked >= times.doubt && ledger.queued_before(W::STAGE, now - millis(times.doubt)).await? {
            let deaf = blocked >= times.deaf && ledger.queued_before(W::STAGE, now - millis(times.deaf)).await?;
            return Ok(Some(Better::Doubt { deaf }));
        }
        Ok(None)
    }

    async fn recover(&self, fault: Fault, faults: u32) {
        self.beat();
        match fault {
            Fault::Stream(StreamError::NoGroup) => {
                tracing::warn!(stage = %W::STAGE, "the stream's group is gone; it is made anew");
                if let Err(error) = self.streams.ensure_group(W::STAGE).await {
                    tracing::warn!(stage = %W::STAGE, %error, "the group could not be made");
                }
                if faults < 3 {
                    return;
                }
            }
            // One line when it begins, and one each time that the pause has reached its end.
            Fault::Stream(error) if faults == 1 || faults.is_multiple_of(10) => {
                tracing::warn!(stage = %W::STAGE, %error, "the stream can't be read; tried again");
            }
            Fault::Ledger(error) if faults == 1 || faults.is_multiple_of(10) => {
                tracing::warn!(stage = %W::STAGE, %error, "the ledger does not answer; tried again");
            }
            Fault::Stream(_) | Fault::Ledger(_) => {}
        }
        let pause = backoff(Duration::from_millis(200), Duration::from_secs(5), faults, rand::random());
        self.pause(pause).await;
    }

    async fn open(&self) -> Option<Reader> {
        let mut faults = 0;
        loop {
            match Reader::open(&self.streams, W::STAGE, &self.identity.name).await {
                Ok(reader) => return Some(reader),
                Err(error) => {
                    faults += 1;
                    self.recover(error.into(), faults).await;
                }
            }
            if self.stopping() {
                return None;
            }
        }
    }

    /// Takes this consumer away, if nothing is pending with it.
    async fn leave(&self, reader: &Reader) {
        match self.streams.remove_consumer(W::STAGE, &self.identity.name).await {
            Ok(_) | Err(StreamError::NoGroup) => {}
            Err(error) => tracing::warn!(%error, "the consumer could not be removed; the next sweep does it"),
        }
        reader.close().await;
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.engine.stop.reading.cancelled() => {}
        }
    }

    fn beat(&self) {
        self.engine.health.beat(W::STAGE.as_str());
    }

    fn stopping(&self) -> bool {
        self.engine.stop.reading.is_cancelled()
    }
}

enum Better {
    Stalled,
    Doubt { deaf: bool },
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
