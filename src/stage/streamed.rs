//! The loop of a stage that has a stream: a free slot first, then a look whether the stage is open, then the read.
//!
//! While a read blocks, the ledger is asked every second, without Redis: for abandoned tasks, which this worker then takes
//! over, and for released tasks that nobody started, which make it doubt its stream (`doubt`). The read is never
//! dropped; it is woken when there is something better to do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::accept::InHand;
use super::overdue::Overdue;
use super::{Acks, Admission, Engine, Identity, Work, acks, doubt, lease, millis, settle, sweep, worker};
use crate::event::Stage;
use crate::ledger::{LedgerError, Pause};
use crate::limit;
use crate::outcome::{Reason, backoff};
use crate::stream::{Delivery, Reader, StreamError, Streams, Woken};
use crate::torture::{self, Point};

/// What fred needs to notice that a connection is gone; from then on it keeps commands until there is another.
const NOTICED: Duration = Duration::from_millis(50);

/// The longest blocking read, and what else the loop is given.
#[derive(Debug, Clone)]
pub struct Reading {
    pub block: Duration,
}

/// What one read brings at most of a stage that has a limit, whatever slots are free: the rest is set aside.
const AHEAD: usize = 3;

/// A sweep without a reason comes this many times more seldom than one with.
const SELDOM: u32 = 12;

/// The longest pause between two rounds that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Works until the stop, then until what runs has ended or was handed back.
pub async fn work<W: Work>(engine: Engine, work: Arc<W>, streams: Streams, reading: Reading) {
    let engine = Engine { acks: Acks::default(), ..engine };
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
        overdue: Arc::new(Mutex::new(Overdue::of(&engine))),
    };
    // Others judge by this row whether the worker's entries are a dead one's, so it stands before the first read.
    while let Err(error) = worker::seen(&engine, &identity, &tracker).await {
        error.tell("the worker can't start yet");
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
    engine.acks.go_idle();
    settle::acknowledge_due(&engine, W::STAGE).await;
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
    pub(super) overdue: Arc<Mutex<Overdue>>,
}

/// What the loop remembers from one round to the next.
struct Round {
    /// Entries that an earlier read may have left with this consumer come first.
    own_first: bool,
    /// None: at once, as at the start and after trouble.
    swept_at: Option<tokio::time::Instant>,
    faults: u32,
    /// The stage's limit was used up, and has not been all open since.
    saturated: bool,
}

impl<W: Work> Worker<W> {
    async fn go(&self) -> Option<Reader> {
        let reader = self.open().await?;
        let mut round = Round { own_first: false, swept_at: None, faults: 0, saturated: false };
        while !self.stopping() {
            match self.round(&reader, &mut round).await {
                Ok(()) => round.faults = 0,
                Err(fault) => {
                    round.own_first = true;
                    round.swept_at = None;
                    if let Fault::Stream(StreamError::QuotaExceeded(_)) = fault {
                        self.wait_for_quota().await;
                    } else {
                        round.faults += 1;
                        self.recover(fault, round.faults, Some(&reader)).await;
                    }
                }
            }
        }
        Some(reader)
    }

    /// One round: slots, abandoned work, a look, a read.
    async fn round(&self, reader: &Reader, round: &mut Round) -> Result<(), Fault> {
        let Some(mut permits) = self.free_slots().await else { return Ok(()) };
        if round.own_first {
            let left = self.left_behind(reader).await?;
            self.accept(left, &mut permits).await?;
            round.own_first = false;
        }
        if self.paused().await?.is_some() {
            self.take_over_abandoned(&mut permits).await?;
            self.pause(self.engine.times.tick).await;
            return Ok(());
        }
        if self.sweep_is_due(round).await? {
            self.engine.acks.swept();
            sweep::sweep(self, &mut permits).await?;
            round.swept_at = Some(tokio::time::Instant::now());
        }
        self.take_over_abandoned(&mut permits).await?;
        if permits.is_empty() {
            return Ok(());
        }
        if let Admission::Closed { until, reason } = self.look_unpaused().await? {
            round.saturated |= reason.code == limit::STAGE_LIMIT;
            let now = self.engine.ledger.now().await?;
            let wait = Duration::from_millis(u64::try_from(until - now).unwrap_or(0)).min(self.engine.times.tick);
            self.pause(wait.max(Duration::from_millis(20))).await;
            return Ok(());
        }
        if self.waits_for_company(round).await? {
            self.pause(self.engine.times.tick).await;
            return Ok(());
        }
        let ahead = if self.work.limit().is_some() { AHEAD } else { 1 };
        let deliveries = self.read(reader, u64::try_from(permits.len().max(ahead)).unwrap_or(1)).await?;
        if !deliveries.is_empty() {
            torture::at(if W::STAGE == Stage::Edit { Point::EditRead } else { Point::PublishRead });
        }
        self.accept(deliveries, &mut permits).await
    }

    /// A stage that works as fast as its limit allows gets its work one by one from the stage before, each with a read of
    /// its own. While more is under way there, a reader waits until a read brings several, or until the limit is all
    /// open again: that holds nothing up for longer than the limit does.
    async fn waits_for_company(&self, round: &mut Round) -> Result<bool, LedgerError> {
        let (true, Some(ask), Some(before)) = (round.saturated, self.work.limit(), W::STAGE.fed_by()) else {
            return Ok(false);
        };
        let Some(rate) = ask.rate.filter(|rate| rate.window <= self.engine.times.company) else { return Ok(false) };
        let ledger = &self.engine.ledger;
        let open = limit::open(ledger, ledger.now().await?, &ask).await?;
        let company = i64::from(rate.count).min(AHEAD as i64);
        if open.is_none_or(|open| open >= rate.count as usize) || !ledger.anything_out(before).await? {
            round.saturated = false;
            return Ok(false);
        }
        Ok(ledger.unread(W::STAGE).await? < company)
    }

    /// Rule 10: at the start and after trouble; then every `stalled_check` where a worker has died, an acknowledgement has
    /// failed or a task runs for longer than that, and seldom where anything is out at all.
    async fn sweep_is_due(&self, round: &Round) -> Result<bool, LedgerError> {
        let Some(last) = round.swept_at else { return Ok(true) };
        let (ledger, check) = (&self.engine.ledger, self.engine.config.stalled_check);
        if last.elapsed() < check {
            return Ok(false);
        }
        if self.engine.acks.owing() {
            return Ok(true);
        }
        let seldom = if self.engine.dispatch.budget().stretches_sweeps() { SELDOM * SELDOM } else { SELDOM };
        if last.elapsed() >= seldom * check && ledger.anything_out(W::STAGE).await? {
            return Ok(true);
        }
        let now = ledger.now().await?;
        Ok(ledger.started_before(W::STAGE, now - millis(check)).await?
            || ledger.died(W::STAGE, lease::alive_since(&self.engine, now)).await?)
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

    pub(super) async fn look(&self) -> Result<Admission, LedgerError> {
        if let Some(pause) = self.paused().await? {
            let until = pause.until.unwrap_or(i64::MAX / 4);
            return Ok(Admission::Closed { until, reason: Reason::new("paused", pause.reason) });
        }
        self.look_unpaused().await
    }

    async fn look_unpaused(&self) -> Result<Admission, LedgerError> {
        if W::STAGE == Stage::Edit && self.engine.dispatch.budget().holds_edits() {
            let until = self.engine.ledger.now().await? + millis(self.engine.times.heartbeat);
            let reason =
                Reason::new("redis_budget", "what is left of the month's Redis commands is kept for publishing");
            return Ok(Admission::Closed { until, reason });
        }
        self.work.look(&self.engine.ledger).await
    }

    /// A person's word: nothing is read and no command is sent until it is over.
    async fn paused(&self) -> Result<Option<Pause>, LedgerError> {
        self.engine.ledger.paused(&Pause::name_of_stage(W::STAGE)).await
    }

    /// A blocking read that ends early when the ledger has something for this worker.
    async fn read(&self, reader: &Reader, most: u64) -> Result<Vec<Delivery>, Fault> {
        let started = tokio::time::Instant::now();
        let mut reading = reader.read(most, self.reading.block);
        let quiet = tokio::time::sleep(self.engine.times.quiet);
        tokio::pin!(quiet);
        let acks = &self.engine.acks;
        let _reading = acks::Reading(acks);
        loop {
            tokio::select! {
                done = &mut reading => {
                    let done = done.unwrap_or_else(|error| Err(StreamError::Unavailable(error.to_string())));
                    return match done {
                        // Closed as idle, by the provider or on the way: a fault only if it does not take us back.
                        Err(StreamError::Unavailable(_)) if started.elapsed() >= self.engine.times.idle => {
                            self.pause(NOTICED).await;
                            self.left_behind(reader).await
                        }
                        done => Ok(done?),
                    };
                }
                () = self.engine.stop.reading.cancelled() => {
                    let read = self.wake(reader, reading).await?;
                    self.give_back(read).await;
                    return Ok(Vec::new());
                }
                () = &mut quiet, if !acks.is_idle() => {
                    acks.go_idle();
                    settle::acknowledge_due(&self.engine, W::STAGE).await;
                    continue;
                }
                () = tokio::time::sleep(self.engine.times.tick) => self.beat(),
            }
            if self.streams.over_quota().is_some() {
                self.streams.ask_again().await;
                continue;
            }
            match self.better_to_do(started.elapsed()).await {
                Ok(None) => {}
                Ok(Some(Better::Abandoned)) => return self.wake(reader, reading).await,
                Ok(Some(Better::Doubt { deaf })) => {
                    let read = self.wake(reader, reading).await?;
                    if !read.is_empty() {
                        return Ok(read);
                    }
                    return doubt::doubt(&self.engine, W::STAGE, reader, most, deaf).await;
                }
                Err(error) => error.tell("the ledger could not be asked; the read goes on"),
            }
        }
    }

    /// Ends a read that waits, and gives what it has or has left behind.
    async fn wake(&self, reader: &Reader, reading: crate::stream::Reading) -> Result<Vec<Delivery>, Fault> {
        match reader.wake(reading).await? {
            Woken::Read(read) => Ok(read),
            Woken::Cut => self.left_behind(reader).await,
        }
    }

    async fn better_to_do(&self, blocked: Duration) -> Result<Option<Better>, LedgerError> {
        let ledger = &self.engine.ledger;
        let now = ledger.now().await?;
        if !self.abandoned(now).await?.is_empty() {
            return Ok(Some(Better::Abandoned));
        }
        let times = &self.engine.times;
        if blocked >= times.doubt && ledger.queued_before(W::STAGE, now - millis(times.doubt)).await? {
            let deaf = blocked >= times.deaf && ledger.queued_before(W::STAGE, now - millis(times.deaf)).await?;
            return Ok(Some(Better::Doubt { deaf }));
        }
        Ok(None)
    }

    /// Neither a fault nor worth a line each time: `Streams` says when it begins and when it ends.
    async fn wait_for_quota(&self) {
        self.beat();
        self.streams.ask_again().await;
        self.take_over_meanwhile().await;
        self.pause(self.engine.times.tick).await;
    }

    async fn recover(&self, fault: Fault, faults: u32, reader: Option<&Reader>) {
        self.beat();
        let tell = faults == 1 || faults.is_multiple_of(50);
        match fault {
            Fault::Stream(StreamError::NoGroup) => {
                if tell {
                    tracing::warn!(stage = %W::STAGE, "the stream's group is gone; it is made anew");
                }
                let made = self.streams.ensure_group(W::STAGE).await;
                if made.is_ok() && faults < 3 {
                    return;
                }
            }
            Fault::Stream(StreamError::Replica(_)) => {
                if let Some(reader) = reader {
                    reader.reconnect().await;
                }
            }
            Fault::Stream(error) if tell => error.tell("the stream can't be read; tried again"),
            Fault::Ledger(error) if tell => error.tell("the ledger can't be asked; tried again"),
            Fault::Stream(_) | Fault::Ledger(_) => {}
        }
        let pause = backoff(Duration::from_millis(200), LONGEST_PAUSE, faults, rand::random());
        let next = tokio::time::Instant::now() + pause;
        while !self.stopping() {
            self.beat();
            let left = next.saturating_duration_since(tokio::time::Instant::now());
            let usable = reader.is_none_or(Reader::usable);
            if usable && left.is_zero() {
                return;
            }
            self.take_over_meanwhile().await;
            let tick = self.engine.times.tick;
            self.pause(if usable { left.min(tick) } else { tick }).await;
        }
    }

    /// Dead workers' tasks need no Redis: the lease decides, and the entry is acknowledged when the sweep finds it.
    async fn take_over_meanwhile(&self) {
        let mut permits = Vec::new();
        while let Ok(permit) = self.slots.clone().try_acquire_owned() {
            permits.push(permit);
        }
        if !permits.is_empty()
            && let Err(Fault::Ledger(error)) = self.take_over_abandoned(&mut permits).await
        {
            error.tell("abandoned work could not be looked for; tried again");
        }
    }

    async fn open(&self) -> Option<Reader> {
        let mut faults = 0;
        loop {
            match Reader::open(&self.streams, W::STAGE, &self.identity.name).await {
                Ok(reader) => return Some(reader),
                Err(StreamError::QuotaExceeded(_)) => self.wait_for_quota().await,
                Err(error) => {
                    faults += 1;
                    self.recover(error.into(), faults, None).await;
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
    Abandoned,
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
