//! The loop of a stage that has a stream: a free slot first, then a look whether the stage is open, then the read.
//!
//! While a read blocks, the ledger is asked every second, without Redis: for stalled tasks, which this worker then takes
//! over, and for released tasks that nobody started, which make it doubt its stream (`doubt`). The read is never
//! dropped; it is woken when there is something better to do.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::lease::{self, Taken};
use super::{Admission, Engine, Identity, Work, doubt, millis, run, settle, sweep, worker};
use crate::event::{LeaseToken, TaskId};
use crate::ledger::{LedgerError, TaskRow};
use crate::outcome::backoff;
use crate::stream::{Content, Delivery, Reader, StreamError, Streams};

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
    work: Arc<W>,
    pub(super) streams: Streams,
    reading: Reading,
    pub(super) identity: Identity,
    slots: Arc<Semaphore>,
    tracker: TaskTracker,
    in_hand: InHand,
}

/// What runs in this process: by its lease, the task and the entry under which it was read.
type InHand = Arc<Mutex<HashMap<LeaseToken, (TaskId, Option<String>)>>>;

/// Out of hand when it is dropped, also by a panic.
struct Held {
    in_hand: InHand,
    token: LeaseToken,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.in_hand.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&self.token);
    }
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

    /// Tasks whose lease is over, without those that this process is at work on: it is alive, and will renew them.
    async fn stalled(&self, now: i64, most: usize) -> Result<Vec<TaskRow>, LedgerError> {
        let ours: Vec<TaskId> = self.hands().values().map(|(task, _)| *task).collect();
        let most_rows = i64::try_from(most + ours.len()).unwrap_or(i64::MAX);
        let mut rows = self.engine.ledger.stalled(W::STAGE, now, most_rows).await?;
        rows.retain(|row| !ours.contains(&row.task.id));
        rows.truncate(most);
        Ok(rows)
    }

    /// Rule 7: what a dead worker left is taken over, its entry with it.
    async fn take_over_stalled(&self, permits: &mut Vec<OwnedSemaphorePermit>) -> Result<(), Fault> {
        let now = self.engine.ledger.now().await?;
        for row in self.stalled(now, permits.len()).await? {
            let Some(permit) = permits.pop() else { break };
            let entry = match &row.task.entry {
                Some(id) => self.claim(id).await,
                None => None,
            };
            tracing::info!(stage = %W::STAGE, video.id = %row.task.video, holder = row.task.holder, "taking over stalled work");
            self.start(row.task.id, entry, permit).await?;
        }
        Ok(())
    }

    /// The entry, if it could be claimed. Where it is gone, or Redis is, the task runs all the same and acknowledges
    /// nothing.
    async fn claim(&self, entry: &str) -> Option<String> {
        let claimed = async {
            match self.streams.pending_entry(W::STAGE, entry).await? {
                None => Ok(None),
                Some(_) => self.streams.claim(W::STAGE, &self.identity.name, entry).await,
            }
        };
        match claimed.await {
            Ok(delivery) => delivery.map(|delivery| delivery.id),
            Err(error) => {
                tracing::warn!(%error, entry.id = entry, "an entry could not be claimed; its task runs without it");
                None
            }
        }
    }

    /// What this consumer has pending and does not run: left by a read whose answer was lost.
    async fn own_pending(&self, reader: &Reader, permits: &mut Vec<OwnedSemaphorePermit>) -> Result<(), Fault> {
        let mut after = "0".to_owned();
        loop {
            let page = reader.own_pending(&after, 100).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id.clone();
            let left = page.into_iter().filter(|delivery| !self.holds(&delivery.id)).collect();
            self.accept(left, permits).await?;
        }
    }

    /// Starts what can be run, acknowledges what needs no run, gives back what there is no slot for.
    pub(super) async fn accept(
        &self,
        deliveries: Vec<Delivery>,
        permits: &mut Vec<OwnedSemaphorePermit>,
    ) -> Result<(), Fault> {
        for delivery in deliveries {
            match delivery.content {
                Content::Gone => self.acknowledge(delivery.id).await,
                Content::Undecodable { reason, fields } => {
                    self.bury(&delivery.id, &fields, &reason.to_string()).await?;
                    self.acknowledge(delivery.id).await;
                }
                Content::Entry(entry) => match permits.pop() {
                    Some(permit) => {
                        if let Some(unused) = self.start(entry.task, Some(delivery.id), permit).await? {
                            permits.push(unused);
                        }
                    }
                    None => {
                        lease::give_back(&self.engine, entry.task).await?;
                        self.acknowledge(delivery.id).await;
                    }
                },
            }
        }
        Ok(())
    }

    /// Leases and runs a task, or acknowledges its entry and gives the slot back.
    async fn start(
        &self,
        task: TaskId,
        entry: Option<String>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<OwnedSemaphorePermit>, Fault> {
        match lease::take(&self.engine, &*self.work, &self.identity.name, task, entry.clone()).await? {
            Taken::Refused => {
                if let Some(entry) = entry {
                    self.acknowledge(entry).await;
                }
                Ok(Some(permit))
            }
            Taken::Granted(row) => {
                let held = self.hold(&row, entry);
                let (engine, work) = (self.engine.clone(), self.work.clone());
                self.tracker.spawn(async move {
                    run::run(engine, work, *row).await;
                    drop((held, permit));
                });
                Ok(None)
            }
        }
    }

    pub(super) async fn bury(
        &self,
        entry: &str,
        fields: &std::collections::HashMap<String, String>,
        reason: &str,
    ) -> Result<(), LedgerError> {
        tracing::error!(stage = %W::STAGE, entry.id = entry, reason, "an entry that is none of ours is kept as dead");
        let text = serde_json::to_string(fields).unwrap_or_default();
        let tx = self.engine.ledger.begin().await?;
        tx.bury_entry(W::STAGE.stream().unwrap_or_default(), entry, &text, reason).await?;
        tx.commit().await
    }

    pub(super) async fn acknowledge(&self, entry: String) {
        settle::acknowledge(&self.engine, W::STAGE, Some(entry)).await;
    }

    fn hold(&self, row: &TaskRow, entry: Option<String>) -> Option<Held> {
        let token = row.task.token?;
        self.hands().insert(token, (row.task.id, entry));
        Some(Held { in_hand: self.in_hand.clone(), token })
    }

    pub(super) fn holds(&self, entry: &str) -> bool {
        self.hands().values().any(|(_, held)| held.as_deref() == Some(entry))
    }

    fn hands(&self) -> std::sync::MutexGuard<'_, HashMap<LeaseToken, (TaskId, Option<String>)>> {
        self.in_hand.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Rule 11, for what was read and not leased.
    async fn give_back(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let Content::Entry(entry) = delivery.content else { continue };
            match lease::give_back(&self.engine, entry.task).await {
                Ok(()) => self.acknowledge(delivery.id).await,
                Err(error) => tracing::warn!(%error, "an entry that was just read could not be given back"),
            }
        }
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
