//! What a person may do to a video: cancel it, try it again, say what became of it, ask for another way to post it; and to
//! many at once: replay, claim, drop, each with its plan.
//!
//! Each is one transaction over the video, its tasks and its publication, and follows the publish protocol: nothing here
//! can make a second post, unless an operator says so in words.

mod cancel;
pub mod claim;
pub mod dismiss;
mod options;
pub mod plan;
pub mod replay;
mod resolve;
mod retry;
mod turn;

pub use cancel::cancel;
pub use options::{OptionsChange, change_options};
pub use resolve::resolve;
pub use retry::retry;
pub use turn::Again;

use crate::creator::Misfit;
use crate::ledger::LedgerError;
use crate::outcome::Reason;

#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("there is no such video")]
    NoSuchVideo,
    /// It can't be, as things stand; why.
    #[error("{}", .0.text)]
    Impossible(Reason),
    /// What is asked for excludes itself.
    #[error("{}", .0.text)]
    Contradiction(Reason),
    /// The creator's account does not allow it.
    #[error("{}", .0.reason.text)]
    Unfit(Misfit),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

fn impossible(code: &str, text: impl Into<String>) -> Refused {
    Refused::Impossible(Reason::new(code, text))
}
