//! Everything that can be set, as one value that is known to be sound.

use std::time::Duration;

/// At most `count` in every sliding window of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub window: Duration,
}

/// One stream of `streams.toml` and the stage that reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageConfig {
    /// Runs at once, per process.
    pub concurrency: usize,
    pub limit: Option<Rate>,
    pub limit_per_account: Option<Rate>,
    /// Faults of a video before it is dead.
    pub attempts: u32,
    /// The first pause after a fault; doubles, with jitter.
    pub backoff: Duration,
    pub lease: Duration,
    /// How often Redis' pending list is compared with the ledger while anything is pending.
    pub stalled_check: Duration,
    /// How long source, result and history stay after the video ended.
    pub retain: Duration,
}
