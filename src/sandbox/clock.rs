//! The sandbox's own clock: the wall clock, or one that runs faster or was set forward. It never goes back while the
//! sandbox runs, and a restart continues it from the last [`Anchor`] in the journal.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// At this wall time it was this time here, and from then on time ran `scale` times as fast. Unix milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Anchor {
    pub(super) wall_ms: i64,
    pub(super) sandbox_ms: i64,
    pub(super) scale: f64,
}

impl Anchor {
    fn after(&self, passed_ms: i64) -> i64 {
        self.sandbox_ms + (passed_ms as f64 * self.scale) as i64
    }
}

pub(super) struct Clock {
    now: Mutex<(Instant, Anchor)>,
}

impl Clock {
    /// Goes on where `last` is by now, or at the wall time, from now on at `scale`.
    pub(super) fn start(last: Option<Anchor>, scale: f64) -> Self {
        let wall_ms = wall_ms();
        let sandbox_ms = last.map_or(wall_ms, |last| last.after((wall_ms - last.wall_ms).max(0)));
        Self { now: Mutex::new((Instant::now(), Anchor { wall_ms, sandbox_ms, scale })) }
    }

    pub(super) fn anchor(&self) -> Anchor {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Unix milliseconds on this clock.
    pub(super) fn now(&self) -> i64 {
        let (since, anchor) = *self.now.lock().unwrap_or_else(PoisonError::into_inner);
        anchor.after(millis(since.elapsed()))
    }

    /// Sets the clock forward and gives the new anchor.
    pub(super) fn advance(&self, by: Duration) -> Anchor {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let sandbox_ms = now.1.after(millis(now.0.elapsed())) + millis(by);
        *now = (Instant::now(), Anchor { wall_ms: wall_ms(), sandbox_ms, scale: now.1.scale });
        now.1
    }
}

pub(super) fn wall_ms() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
