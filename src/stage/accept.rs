//! What becomes of an entry that was read, claimed or found pending: its task is leased and run, or set aside for the next
//! free slot, or the entry is acknowledged and forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::lease::{self, Taken};
use super::streamed::{Fault, Worker};
use super::{Admission, Work, run, settle};
use crate::event::{LeaseToken, TaskId};
use crate::ledger::{LedgerError, TaskRow};
use crate::stream::{Content, Delivery, Reader};
use crate::task::State;

/// Abandoned tasks that are looked at at once.
const ABANDONED: i64 = 200;

/// What runs in this process: by its lease, the task and the entry under which it was read.
pub(super) type InHand = Arc<Mutex<HashMap<LeaseToken, (TaskId, Option<String>)>>>;

/// Out of hand when it is dropped, also by a panic.
struct Held {
    in_hand: InHand,
    token: LeaseToken,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.token);
    }
}

impl<W: Work> Worker<W> {
    /// What is to be had without a read: tasks of dead workers, whose leases are over and stayed so (not those that this
    /// process is at work on: it is alive, and will renew them), and, while the stage is open, what was read ahead and set
    /// aside, and what a stopped worker handed back.
    pub(super) async fn abandoned(&self, now: i64) -> Result<Vec<TaskRow>, LedgerError> {
        let rows = self.engine.ledger.abandoned(W::STAGE, now, ABANDONED).await?;
        let ours: Vec<TaskId> = self.hands().values().map(|(task, _)| *task).collect();
        let foreign = rows.into_iter().filter(|row| !ours.contains(&row.task.id));
        let (stalled, ready): (Vec<TaskRow>, Vec<TaskRow>) = foreign.partition(|row| row.task.state == State::Running);
        let mut abandoned = {
            let mut overdue = self.overdue.lock().unwrap_or_else(PoisonError::into_inner);
            overdue.ripe(stalled, Instant::now(), self.engine.ledger.calm_for())
        };
        if !ready.is_empty() && self.look().await? == Admission::Open {
            abandoned.extend(ready);
        }
        Ok(abandoned)
    }

    /// Rules 3, 7 and 11.
    pub(super) async fn take_over_abandoned(&self, permits: &mut Vec<OwnedSemaphorePermit>) -> Result<(), Fault> {
        let now = self.engine.ledger.now().await?;
        for row in self.abandoned(now).await? {
            let Some(permit) = permits.pop() else { break };
            let entry = match &row.task.entry {
                Some(id) if row.task.is_set_aside() => Some(id.clone()),
                Some(id) => {
                    tracing::info!(stage = %W::STAGE, video.id = %row.task.video, holder = row.task.holder, "taking over abandoned work");
                    self.claim(id).await
                }
                None => None,
            };
            permits.extend(self.start(row.task.id, entry, permit).await?);
        }
        Ok(())
    }

    /// The entry, if it could be claimed. Where it is gone, or Redis is, the task runs all the same and acknowledges
    /// nothing.
    async fn claim(&self, entry: &str) -> Option<String> {
        if !self.streams.usable(W::STAGE) {
            return None;
        }
        let claimed = async {
            match self.streams.pending_entry(W::STAGE, entry).await? {
                None => Ok(None),
                Some(_) => self.streams.claim(W::STAGE, &self.identity.name, entry).await,
            }
        };
        match claimed.await {
            Ok(delivery) => delivery.map(|delivery| delivery.id),
            Err(error) => {
                error.tell("an entry could not be claimed; its task runs without it");
                None
            }
        }
    }

    /// What this consumer has pending and knows nothing of: left by a read whose answer was lost.
    pub(super) async fn left_behind(&self, reader: &Reader) -> Result<Vec<Delivery>, Fault> {
        let mut left = Vec::new();
        let mut after = "0".to_owned();
        loop {
            let page = reader.own_pending(&after, 100).await?;
            let Some(last) = page.last() else { return Ok(left) };
            after = last.id.clone();
            left.extend(page.into_iter().filter(|delivery| !self.knows(&delivery.id)));
        }
    }

    /// Starts what can be run, acknowledges what needs no run, sets aside what there is no slot for.
    pub(super) async fn accept(
        &self,
        deliveries: Vec<Delivery>,
        permits: &mut Vec<OwnedSemaphorePermit>,
    ) -> Result<(), Fault> {
        let mut ahead = Vec::new();
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
                    None => ahead.push((entry.task, delivery.id)),
                },
            }
        }
        for entry in lease::set_aside(&self.engine, ahead).await? {
            self.acknowledge(entry).await;
        }
        Ok(())
    }

    /// Leases and runs a task; or gives the slot back, and acknowledges the entry that nobody needs any more.
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
            Taken::Elsewhere | Taken::SetAside => Ok(Some(permit)),
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
        fields: &HashMap<String, String>,
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

    /// Whether this entry is being worked on here, or is over and waits for its acknowledgement.
    pub(super) fn knows(&self, entry: &str) -> bool {
        self.engine.acks.holds(entry) || self.hands().values().any(|(_, held)| held.as_deref() == Some(entry))
    }

    fn hands(&self) -> MutexGuard<'_, HashMap<LeaseToken, (TaskId, Option<String>)>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rule 11, for what was read and not leased.
    pub(super) async fn give_back(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let Content::Entry(entry) = delivery.content else { continue };
            match lease::give_back(&self.engine, entry.task).await {
                Ok(()) => self.acknowledge(delivery.id).await,
                Err(error) => error.tell("an entry that was just read could not be given back"),
            }
        }
    }
}
