//! Counts commands where they are sent. The ledger keeps the sums (`ledger::usage`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What a command was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Setting up a connection.
    Connect,
    /// XADD.
    Append,
    /// XREADGROUP.
    Read,
    /// XACK.
    Acknowledge,
    /// XPENDING, XCLAIM, XGROUP: the repair of what a dead worker or a wiped Redis left.
    Repair,
    /// XINFO, XLEN, INFO: what pages and checks ask for.
    Look,
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Connect => "connect",
            Purpose::Append => "append",
            Purpose::Read => "read",
            Purpose::Acknowledge => "acknowledge",
            Purpose::Repair => "repair",
            Purpose::Look => "look",
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Meter {
    counts: Arc<Mutex<BTreeMap<Purpose, u64>>>,
}

impl Meter {
    pub fn count(&self, purpose: Purpose, commands: u64) {
        *self.lock().entry(purpose).or_default() += commands;
    }

    /// What was counted and not taken yet.
    pub fn peek(&self) -> BTreeMap<Purpose, u64> {
        self.lock().clone()
    }

    /// What was counted since the last call.
    pub fn take(&self) -> BTreeMap<Purpose, u64> {
        std::mem::take(&mut *self.lock())
    }

    /// Gives back what could not be written down.
    pub fn put_back(&self, counts: BTreeMap<Purpose, u64>) {
        let mut mine = self.lock();
        for (purpose, commands) in counts {
            *mine.entry(purpose).or_default() += commands;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Purpose, u64>> {
        self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
