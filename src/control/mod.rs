//! What a person may do to a video: cancel it, try it again, say what became of it; and to what TikTok has closed: open it.
//!
//! Each is one transaction over the video, its tasks and its publication, and follows the publish protocol: nothing here
//! can make a second post, unless an operator says so in words.

mod cancel;
mod open;
mod resolve;
mod retry;

pub use cancel::cancel;
pub use open::{OF_THE_APP, open_account, open_app};
pub use resolve::resolve;
pub use retry::retry;

use crate::ledger::LedgerError;
use crate::outcome::Reason;

#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("there is no such video")]
    NoSuchVideo,
    /// It can't be, as things stand; why.
    #[error("{}", .0.text)]
    Impossible(Reason),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

fn impossible(code: &str, text: impl Into<String>) -> Refused {
    Refused::Impossible(Reason::new(code, text))
}
