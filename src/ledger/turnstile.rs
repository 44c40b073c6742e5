//! SQLite's writers wait for each other by sleeping ever longer between attempts, so a lock that is free lies idle while
//! they sleep. Here they queue up before it: a lock on a file beside the database, which wakes the next one at once.
//!
//! It keeps an order and guards nothing: SQLite's own lock still decides, and whoever waited here for long tries that one.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Turnstile(Arc<Inner>);

struct Inner {
    file: Arc<File>,
    ours: Arc<Mutex<()>>,
    /// A thread waits for the lock, for somebody who gave up.
    stuck: AtomicBool,
}

/// A turn; the next one comes when it is dropped.
pub(super) struct Turn {
    file: Option<Arc<File>>,
    _ours: OwnedMutexGuard<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            file.unlock().ok();
        }
    }
}

impl Turnstile {
    pub(super) fn beside(database: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).truncate(false).write(true).open(database.with_extension("turns"))?;
        Ok(Self(Arc::new(Inner { file: Arc::new(file), ours: Arc::default(), stuck: AtomicBool::new(false) })))
    }

    /// Waits for `longest` at most; then it goes without the lock.
    pub(super) async fn pass(&self, longest: Duration) -> Turn {
        let ours = self.0.ours.clone().lock_owned().await;
        let without = |ours| Turn { file: None, _ours: ours };
        if self.0.stuck.load(Ordering::Acquire) {
            return without(ours);
        }
        if self.0.file.try_lock().is_ok() {
            return Turn { file: Some(self.0.file.clone()), _ours: ours };
        }
        let (inner, (tell, told)) = (self.0.clone(), tokio::sync::oneshot::channel());
        self.0.stuck.store(true, Ordering::Release);
        tokio::task::spawn_blocking(move || {
            let locked = inner.file.lock().is_ok();
            inner.stuck.store(false, Ordering::Release);
            // Nobody waits for it any more.
            if tell.send(locked).is_err() && locked {
                inner.file.unlock().ok();
            }
        });
        match tokio::time::timeout(longest, told).await {
            Ok(Ok(true)) => Turn { file: Some(self.0.file.clone()), _ours: ours },
            _ => without(ours),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_come_one_after_the_other_and_nobody_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("ledger.db");
        let (one, other) = (Turnstile::beside(&database).unwrap(), Turnstile::beside(&database).unwrap());
        let soon = Duration::from_millis(50);
        let held = one.pass(soon).await;
        assert!(held.file.is_some());
        assert!(other.pass(soon).await.file.is_none(), "the other process goes without after a while");
        drop(held);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let turn = other.pass(Duration::from_secs(10)).await;
            if turn.file.is_some() {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "its thread comes back");
            drop(turn);
            tokio::task::yield_now().await;
        }
        assert!(one.pass(Duration::from_secs(10)).await.file.is_some());
    }
}
