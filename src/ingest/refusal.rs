//! Why an upload was not accepted.

use crate::creator::Misfit;
use crate::ledger::LedgerError;
use crate::media::MediaError;
use crate::outcome::Reason;

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The form itself is wrong: unknown fields, two files, none.
    #[error("{}", .0.text)]
    Form(Reason),
    /// A value, or the file, is not one that we can take.
    #[error("{}", .0.text)]
    Content(Reason),
    /// Its creator's account does not allow it so; with what it does.
    #[error("{}", .0.reason.text)]
    Unfit(Misfit),
    #[error("the file is larger than {limit} bytes, the largest that is accepted; send a smaller one")]
    TooLarge { limit: u64 },
    #[error("the Idempotency-Key was used for another upload within 24 hours; use a new key for other content")]
    KeyReused,
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Our own fault: a full disk, a tool that is gone.
    #[error("{}", .0.text)]
    Machine(Reason),
    /// The commit's answer was lost: the video may be there. Its bytes stay until the sweep knows.
    #[error("whether the upload was accepted can't be told: {0}; send it again with the same Idempotency-Key")]
    Uncertain(LedgerError),
    /// The work of accepting ended without an answer.
    #[error("the upload could not be accepted")]
    Broken,
}

impl Refusal {
    pub(super) fn form(code: &str, text: impl Into<String>) -> Self {
        Self::Form(Reason::new(code, text))
    }

    pub(super) fn content(code: &str, text: impl Into<String>) -> Self {
        Self::Content(Reason::new(code, text))
    }
}
