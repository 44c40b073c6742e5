//! Accepts an upload: bytes to the object store, then video, edit task and idempotency row in one transaction, then
//! the release.
//!
//! A [`Draft`] takes a form's parts in any order while they arrive: the file's bytes go to the object store as they
//! come and are hashed on the way, everything else is small and is kept. Nothing is visible in the store before
//! [`Draft::accept`], which runs as a task of its own, so that a client who vanishes after its last byte can't stop it
//! half way: it ends with a video and its objects, or with neither. A draft that is dropped leaves nothing.

mod accept;
mod brand;
mod check;
mod draft;
mod form;
mod refusal;

pub use accept::Accepted;
pub use brand::whole_brand;
pub use check::watermark;
pub use draft::{Draft, FIELDS, FILE_FIELDS, MAX_CAPTIONS, MAX_FIELD};
pub use refusal::Refusal;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::ffmpeg::Tools;
use crate::ledger::{Ledger, Role};
use crate::media::Media;
use crate::relay::Dispatch;

/// Who uploads.
#[derive(Debug, Clone)]
pub struct Uploader {
    pub user: String,
    pub role: Role,
}

/// What accepting needs; cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    ledger: Ledger,
    media: Media,
    dispatch: Dispatch,
    tools: Arc<Tools>,
    max_upload: u64,
    /// Acceptances under way: a shutdown waits for them.
    accepting: TaskTracker,
    /// So many of them at once. A thousand uploads that end together would start as many ffprobes, and wait in vain for
    /// a connection to the database.
    turns: Arc<Semaphore>,
}

/// Two for each core, since an acceptance also waits for the disk; and never so few that slow ones keep all others waiting.
fn turns() -> usize {
    std::thread::available_parallelism().map_or(4, |cores| (2 * cores.get()).max(4))
}

impl Ingest {
    /// `max_upload` is the largest file, in bytes.
    pub fn new(ledger: Ledger, media: Media, dispatch: Dispatch, tools: Arc<Tools>, max_upload: u64) -> Self {
        let turns = Arc::new(Semaphore::new(turns()));
        Self { ledger, media, dispatch, tools, max_upload, accepting: TaskTracker::new(), turns }
    }

    pub fn max_upload(&self) -> u64 {
        self.max_upload
    }

    pub fn draft(&self, uploader: Uploader) -> Draft {
        Draft::new(self.clone(), uploader)
    }

    /// Waits for the acceptances that are under way; no new one may be begun meanwhile.
    pub async fn settled(&self) {
        self.accepting.close();
        self.accepting.wait().await;
    }
}
