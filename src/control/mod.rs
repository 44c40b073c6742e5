//! What a person may do to a video: cancel it, try it again, post it at another time or in another way, say what became of
//! it; to many at once: replay, claim, drop, each with its plan; to a stage or an account: pause it; and to what
//! TikTok has closed: open it.
//!
//! What is done to a video is one transaction over the video, its tasks and its publication, and follows the publish protocol: nothing here
//! can make a second post, unless an operator says so in words.

mod cancel;
pub mod claim;
pub mod dismiss;
mod open;
mod options;
mod pause;
pub mod pending;
pub mod plan;
pub mod replay;
mod resolve;
mod retry;
pub mod schedule;
mod turn;

pub use cancel::cancel;
pub use open::{OF_THE_APP, open_account, open_app};
pub use options::{OptionsChange, change_options};
pub use pause::{pause, resume};
pub use resolve::resolve;
pub use retry::retry;
pub use schedule::schedule;
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
