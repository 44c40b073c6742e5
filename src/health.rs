//! The pulse of a process: each long-running loop says at every turn that it lives, and one that was silent for longer
//! than it promised makes the process not ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Cheap to clone; one a process.
#[derive(Debug, Clone, Default)]
pub struct Health {
    loops: Arc<Mutex<BTreeMap<&'static str, Loop>>>,
}

#[derive(Debug)]
struct Loop {
    seen: Instant,
    promised: Duration,
}

impl Health {
    /// Names a loop, which beats at least every `promised`.
    pub fn watch(&self, name: &'static str, promised: Duration) {
        self.lock().insert(name, Loop { seen: Instant::now(), promised });
    }

    pub fn beat(&self, name: &'static str) {
        if let Some(one) = self.lock().get_mut(name) {
            one.seen = Instant::now();
        }
    }

    /// A loop that ended as it should.
    pub fn forget(&self, name: &'static str) {
        self.lock().remove(name);
    }

    /// The loops that were silent for too long.
    pub fn silent(&self) -> Vec<&'static str> {
        let loops = self.lock();
        loops.iter().filter(|(_, one)| one.seen.elapsed() > one.promised).map(|(name, _)| *name).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Loop>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_falls_silent_is_named_until_it_beats_again_or_ends() {
        let health = Health::default();
        health.watch("relay", Duration::ZERO);
        health.watch("edit", Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(health.silent(), ["relay"]);
        health.watch("relay", Duration::from_secs(60));
        health.beat("relay");
        assert!(health.silent().is_empty());
        health.watch("publish", Duration::ZERO);
        health.forget("publish");
        assert!(health.silent().is_empty());
    }
}
