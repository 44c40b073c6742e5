//! What keeps the stores from filling up: leftovers of the dead are swept ([`sweep()`]), what was kept long enough is
//! removed ([`retain()`]), images that no brand names any more go with it ([`sweep_watermarks`]).
//!
//! Each is a chore: whichever process finds it due takes it, and the ledger says until when. Should two be at it, nothing
//! is harmed: what is deleted is judged by the ledger each time, and deleting twice is no error.

mod retain;
mod run;
mod sweep;
mod watermarks;

pub use retain::{Removed, Retention, retain};
pub use run::run;
pub use sweep::{Swept, owner, sweep, sweep_at};
pub use watermarks::sweep_watermarks;

use crate::ledger::LedgerError;
use crate::media::MediaError;

#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(
        "the object store belongs to the installation {0}, whose database is another one; nothing in it is touched"
    )]
    Foreign(String),
}
