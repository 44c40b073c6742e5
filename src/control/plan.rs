//! A plan: what an act on many videos would do, told before it is done.
//!
//! A plan is the act itself in a transaction that is not committed, so it can't say anything else than what would
//! happen. Its mark stands for all that it says; whoever sends it back gets that act or none.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Refused, impossible};
use crate::access::hex;
use crate::event::{TaskId, VideoId};
use crate::ledger::Released;
use crate::outcome::Reason;

/// At most so many videos in one act.
pub const MOST: usize = 500;

/// Whether it is only told, or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Tell,
    /// As this plan's mark has it, or as things stand.
    Do {
        mark: Option<String>,
    },
}

/// What can't be done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// As it was named.
    pub id: String,
    pub video: Option<VideoId>,
    pub reason: Reason,
}

/// What it costs of Redis, as the server counts it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commands {
    /// With the act itself, by the command's name.
    pub now: BTreeMap<&'static str, u64>,
    /// XADDs of tasks that go out once there is room, a limit opens or their time comes.
    pub later: u64,
}

impl Commands {
    pub fn total(&self) -> u64 {
        self.now.values().sum::<u64>() + self.later
    }

    pub(super) fn add(&mut self, name: &'static str, number: usize) {
        if number > 0 {
            *self.now.entry(name).or_default() += number as u64;
        }
    }

    /// One XADD for each release, now or later.
    pub(super) fn releases(&mut self, released: &[Released], ours: &[TaskId]) {
        self.add("XADD", released.len());
        let out = ours.iter().filter(|task| released.iter().any(|one| one.entry.task == **task)).count();
        self.later += (ours.len() - out) as u64;
    }
}

/// What would be done, or was.
#[derive(Debug, Clone)]
pub struct Plan<T> {
    pub mark: String,
    pub done: bool,
    pub accepted: Vec<T>,
    pub refused: Vec<Refusal>,
    pub commands: Commands,
    /// When the limits let the last of them begin, behind what waits already.
    pub last_start: Option<i64>,
    /// More matched than one act takes.
    pub more: bool,
}

/// Stands for what a plan says: each line is one thing.
pub(super) fn mark(lines: impl IntoIterator<Item = String>) -> String {
    let mut digest = Sha256::new();
    for line in lines {
        digest.update(line.as_bytes());
        digest.update(b"\n");
    }
    hex(&digest.finalize())[..16].to_owned()
}

/// Whether this is to be committed. Refused where things have changed since the plan that was agreed to.
pub(super) fn agreed(act: &Act, mark: &str) -> Result<bool, Refused> {
    match act {
        Act::Tell => Ok(false),
        Act::Do { mark: Some(planned) } if planned != mark => {
            let text = "things have changed since that plan; nothing was done, look at a new one";
            Err(impossible("plan_changed", text))
        }
        Act::Do { .. } => Ok(true),
    }
}

/// What was said of one video, as a refusal of it; anything else ends the act.
pub(super) fn refusal(id: String, video: Option<VideoId>, refused: Refused) -> Result<Refusal, Refused> {
    let reason = match refused {
        Refused::Impossible(reason) | Refused::Contradiction(reason) => reason,
        Refused::Unfit(misfit) => misfit.reason,
        Refused::NoSuchVideo => Reason::new("not_found", "there is no such video, task or entry"),
        Refused::Ledger(error) => return Err(Refused::Ledger(error)),
    };
    Ok(Refusal { id, video, reason })
}
