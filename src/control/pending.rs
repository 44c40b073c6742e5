//! What is being worked on: the ledger's leases beside Redis' pending list.
//!
//! The ledger alone says what runs. Redis knows besides which entries were delivered and not acknowledged, to whom, how often
//! and how long ago: those of ended tasks wait for their acknowledgement, those set aside wait for a slot, and what no
//! task knows was read and not begun. To ask costs one XPENDING a stream.

use std::collections::HashMap;

use crate::config::StagesConfig;
use crate::event::Stage;
use crate::ledger::{Ledger, LedgerError, TaskRow};
use crate::stream::{self, Streams};
use crate::task::State;

use super::claim::idle;

/// As many of a stage are shown.
const MOST: u64 = 1000;

/// One task or entry that is in somebody's hands.
#[derive(Debug, Clone)]
pub struct Held {
    pub stage: Stage,
    /// None: the ledger knows of no task under this entry.
    pub row: Option<TaskRow>,
    /// None: Redis was not asked, or the entry is not pending there.
    pub entry: Option<stream::Pending>,
}

/// What it means that it is in somebody's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Under a lease.
    Running,
    /// Its lease is over: its worker is gone, or was kept from renewing it.
    Stalled,
    /// Read ahead of a free slot.
    SetAside,
    /// Over; its acknowledgement waits for company, or failed and is left to the sweep.
    Ended,
    /// The ledger knows of no task under this entry: it was read just now, or its reader died before it began, or the entry is none
    /// of ours. What is begun under it, or swept, is decided by its content.
    Unknown,
}

impl Standing {
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Running => "running",
            Standing::Stalled => "stalled",
            Standing::SetAside => "setAside",
            Standing::Ended => "ended",
            Standing::Unknown => "unknown",
        }
    }
}

impl Held {
    pub fn standing(&self, now: i64) -> Standing {
        let Some(task) = self.row.as_ref().map(|row| &row.task) else { return Standing::Unknown };
        match task.state {
            State::Running if task.lease_until < now => Standing::Stalled,
            State::Running => Standing::Running,
            State::Queued if task.is_set_aside() => Standing::SetAside,
            state if state.ended() => Standing::Ended,
            _ => Standing::Unknown,
        }
    }

    /// Of what runs since its lease was renewed, of everything else since Redis delivered it.
    pub fn idle(&self, config: &StagesConfig, now: i64) -> Option<i64> {
        match (&self.row, &self.entry) {
            (Some(row), _) if row.task.state == State::Running => Some(idle(row, config, now)),
            (_, Some(entry)) => i64::try_from(entry.idle_ms).ok(),
            (_, None) => None,
        }
    }
}

/// What is in hand of these stages.
#[derive(Debug, Clone)]
pub struct InHand {
    /// Of each stage what runs first, longest first.
    pub held: Vec<Held>,
    /// Redis commands that were sent for it; none: it is the ledger's view alone.
    pub commands: u64,
}

/// With Redis' list where `streams` are given and answer.
pub async fn pending(ledger: &Ledger, streams: Option<&Streams>, stages: &[Stage]) -> Result<InHand, LedgerError> {
    let mut in_hand = InHand { held: Vec::new(), commands: 0 };
    for &stage in stages {
        let mut entries: HashMap<String, stream::Pending> = HashMap::new();
        if let Some(streams) = streams {
            match streams.look_at_pending(stage, MOST).await {
                Ok(listed) => {
                    in_hand.commands += 1;
                    entries.extend(listed.into_iter().map(|entry| (entry.id.clone(), entry)));
                }
                Err(error) => error.tell("Redis did not tell what is pending; the ledger does"),
            }
        }
        let held = &mut in_hand.held;
        for row in ledger.running(stage, i64::try_from(MOST).unwrap_or(1000)).await? {
            let entry = row.task.entry.as_ref().and_then(|id| entries.remove(id));
            held.push(Held { stage, row: Some(row), entry });
        }
        let ids: Vec<String> = entries.keys().cloned().collect();
        let mut rows: HashMap<String, TaskRow> = HashMap::new();
        for row in ledger.tasks_under(stage, &ids).await? {
            rows.extend(row.task.entry.clone().map(|entry| (entry, row)));
        }
        let mut rest: Vec<stream::Pending> = entries.into_values().collect();
        rest.sort_by_key(|entry| std::cmp::Reverse(entry.idle_ms));
        held.extend(rest.into_iter().map(|entry| Held { stage, row: rows.remove(&entry.id), entry: Some(entry) }));
    }
    Ok(in_hand)
}
