//! What a task can end as, and how long it waits before it is tried again. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why something failed, was refused or needs a person: `code` for programs, `text` for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reason {
    pub code: String,
    pub text: String,
}

impl Reason {
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into() }
    }
}

/// How one run of a task ended. Settling a task takes one of these and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The stage's work is done.
    Done,
    /// A fault of this video: counts as an attempt, and is tried again after the backoff while attempts are left.
    Retry(Reason),
    /// Nobody's fault: waits until then (milliseconds on the ledger's clock) and costs no attempt.
    Parked { until: i64, reason: Reason },
    /// Will never work, whatever is tried.
    Dead(Reason),
    /// What became of it can't be known; only an operator ends it.
    NeedsReview(Reason),
}

/// Exponential backoff with jitter: the pause after attempt `attempt` (1 is the first) is `first` doubled each time,
/// at most `ceiling`, and spread over the upper half so that what failed together doesn't come back together.
/// `spread` is a random number from 0 to 1.
pub fn backoff(first: Duration, ceiling: Duration, attempt: u32, spread: f64) -> Duration {
    let doubled = first.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    let longest = doubled.min(ceiling);
    longest.mul_f64(0.5 + 0.5 * spread.clamp(0.0, 1.0))
}
