//! The whole pipeline, as real processes that are killed, stopped, cut off and limited; the sandbox is the oracle.

mod accounts;
mod bill;
mod control;
mod crowd;
mod deaths;
mod disabled;
mod held;
mod limits;
mod metrics;
mod refusals;
mod shutdown;
mod story;
mod traces;
mod trouble;
mod up;
mod upstash;
