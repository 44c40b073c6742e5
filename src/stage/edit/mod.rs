//! Editing: the account's brand on the creator's video, in one run of FFmpeg.
//!
//! The source is read in place where the store is a folder, and fetched where it isn't. The rendition and its thumbnail
//! are stored under keys that name the lease, so a worker that lost it overwrites nothing; the settlement says which
//! rendition counts, and makes the publish task.

mod run;

use serde_json::json;

use crate::event::Stage;
use crate::ffmpeg::Tools;
use crate::ledger::{Edited, Ledger, LedgerError, Released, Status, TaskRow, Tx, VideoPatch};
use crate::limit::{self, Ask};
use crate::media::Media;
use crate::outcome::{Outcome, Reason};
use crate::relay::Dispatch;
use crate::stage::{Admission, Lease, Run, Work, store};
use crate::task::Task;

/// What editing works with.
#[derive(Clone)]
pub struct Edit {
    pub ledger: Ledger,
    pub dispatch: Dispatch,
    pub media: Media,
    pub tools: Tools,
    pub limit: Option<crate::config::Rate>,
}

/// A rendition that is stored and not yet in the ledger.
#[derive(Debug, Clone)]
pub struct Rendition {
    edited: Edited,
    thumbnail_key: String,
    detail: serde_json::Value,
}

impl Edit {
    fn ask(&self) -> [Ask; 1] {
        [Ask { key: limit::Key::Edit, rate: self.limit }]
    }
}

impl Work for Edit {
    type Made = Rendition;
    const STAGE: Stage = Stage::Edit;

    async fn look(&self, ledger: &Ledger) -> Result<Admission, LedgerError> {
        if let closed @ Admission::Closed { .. } = store::look(&self.media, ledger).await? {
            return Ok(closed);
        }
        Ok(limit::look(ledger, ledger.now().await?, &self.ask()).await?.into())
    }

    fn limit(&self) -> Option<Ask> {
        let [ask] = self.ask();
        Some(ask).filter(|ask| ask.rate.is_some())
    }

    /// The permit is taken here, with the lease: a run of FFmpeg is the limited act.
    async fn admit(&self, tx: &Tx, task: &TaskRow) -> Result<Admission, LedgerError> {
        let admission = limit::take(tx, &self.ask()).await?.into();
        if admission == Admission::Open {
            tx.mark_permitted(task.task.id).await?;
        }
        Ok(admission)
    }

    async fn run(&self, lease: &Lease) -> Run<Rendition> {
        run::run(self, lease).await
    }

    async fn settle(
        &self,
        tx: &Tx,
        task: &TaskRow,
        outcome: &Outcome,
        made: Option<Rendition>,
    ) -> Result<Vec<Released>, LedgerError> {
        let failed = |status, reason: &Reason| VideoPatch {
            status: Some(status),
            reason: Some(Some(reason.clone())),
            ..VideoPatch::default()
        };
        let video = task.task.video;
        match (outcome, made) {
            (Outcome::Done, Some(made)) => self.edited(tx, task, made).await,
            (Outcome::Dead(reason), _) => {
                tx.patch_video(video, failed(Status::Failed, reason)).await?;
                Ok(Vec::new())
            }
            (Outcome::NeedsReview(reason), _) => {
                tx.patch_video(video, failed(Status::NeedsReview, reason)).await?;
                Ok(Vec::new())
            }
            (Outcome::Done | Outcome::Retry(_) | Outcome::Parked { .. }, _) => Ok(Vec::new()),
        }
    }

    async fn last(&self, _: &Tx, _: &TaskRow, reason: Reason) -> Result<Outcome, LedgerError> {
        Ok(Outcome::Dead(reason))
    }
}

impl Edit {
    async fn edited(&self, tx: &Tx, task: &TaskRow, made: Rendition) -> Result<Vec<Released>, LedgerError> {
        let id = task.task.video;
        let video = tx.video(id).await?.ok_or(LedgerError::Conflict)?;
        let patch = VideoPatch {
            status: Some(Status::Edited),
            progress: Some(100),
            edited: Some(made.edited),
            thumbnail_key: Some(made.thumbnail_key),
            reason: Some(None),
            ..VideoPatch::default()
        };
        tx.patch_video(id, patch).await?;
        tx.note(id, Some(Stage::Edit), "edited", made.detail).await?;
        let due = video.publish_at.unwrap_or(0).max(tx.now());
        match tx.task_of(id, Stage::Publish).await? {
            Some(row) => {
                let again = row.task.replay(due).map_err(|_| LedgerError::Conflict)?;
                tx.put_task(&row.task, &again).await?;
            }
            None => tx.insert_task(&TaskRow { task: Task::new(id, Stage::Publish, due), ..task.clone() }).await?,
        }
        if due > tx.now() {
            tx.note(id, Some(Stage::Publish), "scheduled", json!({ "until": due })).await?;
        }
        self.dispatch.release(tx, Stage::Publish).await
    }
}
