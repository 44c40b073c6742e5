//! One cell: governor's GCRA of one per window, with the row as its state store and the ledger's time as its clock.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

/// Takes the cell at `now`: until when it is taken then. Or, when it is taken, until when it still is.
/// All in milliseconds on the ledger's clock.
pub(super) fn decide(window: Duration, taken_until: i64, now: i64) -> Result<i64, i64> {
    let Some(quota) = Quota::with_period(window).map(|quota| quota.allow_burst(NonZeroU32::MIN)) else {
        return Ok(now);
    };
    let row = Row { taken_until: (taken_until > 0).then(|| nanos(taken_until)), moved: Cell::new(None) };
    let limiter = RateLimiter::<NotKeyed, _, _, NoOpMiddleware<Nanos>>::new(quota, row, LedgerTime::new(now));
    match limiter.check() {
        Ok(()) => Ok(limiter.into_state_store().moved.get().map_or(now, millis)),
        Err(not_until) => Err(millis(not_until.earliest_possible())),
    }
}

/// Reads 0 while the limiter is built, and the ledger's time from then on: so the limiter's state is absolute.
#[derive(Debug, Clone)]
struct LedgerTime {
    now: Nanos,
    built: Cell<bool>,
}

impl LedgerTime {
    fn new(now: i64) -> Self {
        Self { now: nanos(now), built: Cell::new(false) }
    }
}

impl Clock for LedgerTime {
    type Instant = Nanos;
    fn now(&self) -> Nanos {
        if self.built.replace(true) { self.now } else { Nanos::new(0) }
    }
}

struct Row {
    taken_until: Option<Nanos>,
    moved: Cell<Option<Nanos>>,
}

impl StateStore for Row {
    type Key = NotKeyed;
    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (answer, moved) = decide(self.taken_until)?;
        self.moved.set(Some(moved));
        Ok(answer)
    }
}

fn nanos(millis: i64) -> Nanos {
    Nanos::new(u64::try_from(millis).unwrap_or(0).saturating_mul(1_000_000))
}

/// Rounded up, so that a cell is never free early.
fn millis(nanos: Nanos) -> i64 {
    i64::try_from(nanos.as_u64().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}
