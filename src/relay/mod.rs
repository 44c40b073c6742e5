//! The relay: due tasks go out to their streams.
//!
//! Whoever commits a task as `queued` appends its entry right after the commit ([`Dispatch::append`]): the request that
//! made it, the stage that settled the one before, or the loop in [`run()`], which is the safety net for all of them. Many
//! relays may run; the ledger lets each turn of a task be released once.

mod dispatch;
mod run;

pub use dispatch::Dispatch;
pub use run::{release_due, run};
