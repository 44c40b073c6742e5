//! Appending what was released.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::budget::Budget;
use crate::config::{Rate, StagesConfig};
use crate::event::Stage;
use crate::ledger::{Released, Room, Tx};
use crate::limit::{self, Ask};
use crate::metrics::metrics;
use crate::stream::{StreamError, Streams};
use crate::task::Task;
use crate::torture::{self, Point};

/// What will have its permit so soon goes out already: two turns of the relay.
const AHEAD: Duration = Duration::from_secs(2);

/// How a process releases tasks; cheap to clone. Without Redis nothing is released: tasks wait in the ledger.
#[derive(Clone)]
pub struct Dispatch {
    streams: Option<Streams>,
    stages: Arc<StagesConfig>,
    /// Slots of the live workers of each streamed stage, as the relay last saw them.
    slots: Arc<[AtomicUsize; 2]>,
    budget: Budget,
}

impl Dispatch {
    pub fn new(streams: Option<Streams>, stages: StagesConfig) -> Self {
        Self { streams, stages: Arc::new(stages), slots: Arc::default(), budget: Budget::default() }
    }

    pub fn streams(&self) -> Option<&Streams> {
        self.streams.as_ref()
    }

    /// What this process holds back while the plan's commands run short.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(super) fn saw_slots(&self, stage: Stage, slots: usize) {
        self.slots[usize::from(stage != Stage::Edit)].store(slots, Ordering::Relaxed);
    }

    /// The rate that holds for each creator's posts.
    pub(super) fn per_creator(&self) -> Option<Rate> {
        self.stages.publish.limit_per_account
    }

    /// Of the workers that are alive; at least one's.
    pub fn slots(&self, stage: Stage) -> usize {
        let seen = self.slots[usize::from(stage != Stage::Edit)].load(Ordering::Relaxed);
        seen.max(self.stages.of(stage).concurrency)
    }

    /// The room, and how much of it the stage's limit lets start soon.
    pub async fn room_now(&self, tx: &Tx, stage: Stage) -> Result<Room, crate::ledger::LedgerError> {
        Ok(Room { permits: self.permits(tx, stage).await?, ..self.room(stage) })
    }

    /// Permits that the stage's limit has now and will have before the next turn of the relay.
    async fn permits(&self, tx: &Tx, stage: Stage) -> Result<Option<i64>, crate::ledger::LedgerError> {
        let (key, rate) = match stage {
            Stage::Edit => (limit::Key::Edit, self.stages.edit.limit),
            Stage::Publish | Stage::Confirm => (limit::Key::Publish, self.stages.publish.limit),
        };
        limit::open_within(tx, tx.now(), AHEAD, &Ask { key, rate }).await
    }

    pub fn room(&self, stage: Stage) -> Room {
        let config = self.stages.of(stage);
        Room::for_slots(self.slots(stage), config.limit_per_account.map(|rate| rate.count))
    }

    /// Whether an append could succeed, and may be made: Redis is there to be used, its plan's commands are not used up,
    /// and what is left of them is not kept for another stage.
    pub fn releases(&self, stage: Stage) -> bool {
        self.streams.as_ref().is_some_and(|streams| streams.over_quota().is_none())
            && !(stage == Stage::Edit && self.budget.holds_edits())
    }

    /// Releases what is due of a stage, within the caller's transaction. After its commit: [`Dispatch::append`].
    pub async fn release(&self, tx: &Tx, stage: Stage) -> Result<Vec<Released>, crate::ledger::LedgerError> {
        if !self.releases(stage) {
            return Ok(Vec::new());
        }
        torture::at(Point::ReleaseRead);
        let room = self.room_now(tx, stage).await?;
        let released = tx.release(stage, room).await?;
        if !released.is_empty() {
            torture::at(Point::ReleaseWriting);
        }
        Ok(released)
    }

    /// Puts one that was just handed back within reach of a waiting reader. After the commit: [`Dispatch::append`].
    pub async fn release_handed_back(
        &self,
        tx: &Tx,
        task: &Task,
    ) -> Result<Option<Released>, crate::ledger::LedgerError> {
        if task.stage.stream().is_none() || !self.releases(task.stage) {
            return Ok(None);
        }
        tx.release_handed_back(task).await
    }

    /// Appends committed releases. What fails here is not lost: the ledger comes to doubt it and releases it anew.
    pub async fn append(&self, released: impl IntoIterator<Item = &Released>) {
        let Some(streams) = &self.streams else { return };
        let mut released = released.into_iter().peekable();
        if released.peek().is_none() {
            return;
        }
        torture::at(Point::ReleaseCommitted);
        let appended = released.map(|one| async move { (one, streams.append(one.stage, &one.entry).await) });
        let mut failed: Option<(usize, StreamError)> = None;
        for (one, done) in futures::future::join_all(appended).await {
            match done {
                Ok(id) => {
                    metrics().released(one.stage);
                    tracing::debug!(stage = %one.stage, task.id = %one.entry.task, entry.id = %id, "released");
                }
                // Said once, where it begins.
                Err(StreamError::QuotaExceeded(_)) => metrics().append_failed(one.stage),
                Err(error) => {
                    metrics().append_failed(one.stage);
                    failed = Some((failed.map_or(0, |(number, _)| number) + 1, error));
                }
            }
        }
        torture::at(Point::ReleaseAppended);
        if let Some((number, error)) = failed {
            error.tell(&format!(
                "{number} entries could not be appended; their tasks are released anew once Redis answers"
            ));
        }
    }
}
