//! Acknowledgements that wait for company: one XACK for many entries. An entry that is over and still pending is nobody's
//! trouble (the ledger knows its task's end), so under load it costs nothing to wait; an idle worker waits for nothing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many go at once, whatever they wait for.
const FULL: usize = 100;

/// Of one worker; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Acks {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    /// The reader finds its stream empty, so no company is to be expected.
    idle: AtomicBool,
    /// An acknowledgement failed, so that something is pending of which the ledger knows nothing: the sweep has to look.
    owing: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: BTreeSet<String>,
    since: Option<Instant>,
}

impl Acks {
    pub(super) fn add(&self, entry: String) {
        let mut waiting = self.waiting();
        waiting.entries.insert(entry);
        waiting.since.get_or_insert_with(Instant::now);
    }

    /// Whether this entry is over and waits here.
    pub(super) fn holds(&self, entry: &str) -> bool {
        self.waiting().entries.contains(entry)
    }

    /// What has waited long enough for company, or has it.
    pub(super) fn due(&self, longest: Duration) -> Vec<String> {
        let mut waiting = self.waiting();
        let late = waiting.since.is_some_and(|since| since.elapsed() >= longest);
        if late || waiting.entries.len() >= FULL || self.inner.idle.load(Ordering::Relaxed) {
            waiting.since = None;
            return std::mem::take(&mut waiting.entries).into_iter().collect();
        }
        Vec::new()
    }

    /// From here on nothing waits for company.
    pub(super) fn go_idle(&self) {
        self.inner.idle.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.inner.idle.load(Ordering::Relaxed)
    }

    pub(super) fn owe(&self) {
        self.inner.owing.store(true, Ordering::Relaxed);
    }

    pub(super) fn owing(&self) -> bool {
        self.inner.owing.load(Ordering::Relaxed)
    }

    /// The sweep looks now.
    pub(super) fn swept(&self) {
        self.inner.owing.store(false, Ordering::Relaxed);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read under way: when it ends, however it does, the worker is idle no more.
pub(super) struct Reading<'a>(pub(super) &'a Acks);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.inner.idle.store(false, Ordering::Relaxed);
    }
}
