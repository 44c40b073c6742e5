//! What an end of the protocol means for the task, the video and the tasks that come next.

use serde_json::json;

use super::driver::{Broken, Drive, Ended, Publisher};
use super::operator::exhausted;
use super::record;
use super::step::{End, Role};
use crate::event::{LeaseToken, Stage};
use crate::ledger::{LedgerError, Released, Status, TaskRow, Tx, Video, VideoPatch};
use crate::outcome::{Outcome, Reason};
use crate::stage::{Lease, Run, millis, store};
use crate::task::Task;

impl Publisher {
    pub(super) async fn drive(&self, lease: &Lease, role: Role) -> Run<Ended> {
        let ended = async { Drive::begin(self, lease, role).await?.run().await };
        match ended.await {
            Ok(ended) => Run::Ended(outcome(&ended.end), Some(ended)),
            Err(Broken::Stopped) => Run::Interrupted,
            Err(Broken::Reason(reason)) => Run::Ended(Outcome::Retry(reason), None),
            // An outage is no attempt.
            Err(Broken::Store(pause)) => {
                let now = self.ledger.now().await.unwrap_or(lease.row.task.lease_until);
                let reason = Reason::new(store::AWAY, "the object store is away");
                Run::Ended(Outcome::Parked { until: now + millis(pause), reason }, None)
            }
            Err(Broken::Ledger(error)) => {
                error.tell("the ledger does not answer; the task waits");
                let reason = Reason::new("ledger_away", "the database did not answer");
                let until = lease.row.task.started_at.unwrap_or(0) + millis(self.config.lease);
                Run::Ended(Outcome::Parked { until, reason }, None)
            }
        }
    }

    pub(super) async fn settle_end(
        &self,
        tx: &Tx,
        task: &TaskRow,
        outcome: &Outcome,
        ended: Option<Ended>,
    ) -> Result<Vec<Released>, LedgerError> {
        if let Some(ended) = &ended {
            self.write_end(tx, task, ended).await?;
        }
        match ended.map(|ended| ended.end) {
            Some(End::Posted { post_ids, look_again }) => self.posted(tx, task, post_ids, look_again).await,
            Some(End::Confirm { due }) => {
                let status = VideoPatch { status: Some(Status::Processing), ..VideoPatch::default() };
                tx.patch_video(task.task.video, status).await?;
                self.turn(tx, task, Stage::Confirm, due).await?;
                Ok(Vec::new())
            }
            Some(End::PublishAgain { due, reason }) => {
                let status = VideoPatch { status: Some(Status::Edited), ..VideoPatch::default() };
                tx.patch_video(task.task.video, status).await?;
                let detail = json!({ "code": reason.code, "text": reason.text });
                tx.note(task.task.video, Some(Stage::Publish), "again", detail).await?;
                self.turn(tx, task, Stage::Publish, due).await?;
                self.dispatch.release(tx, Stage::Publish).await
            }
            Some(End::Failed(_) | End::NeedsReview(_) | End::Parked { .. } | End::Stop) | None => {
                ended_badly(tx, task, outcome).await?;
                Ok(Vec::new())
            }
        }
    }

    async fn posted(
        &self,
        tx: &Tx,
        task: &TaskRow,
        post_ids: Vec<String>,
        look_again: Option<i64>,
    ) -> Result<Vec<Released>, LedgerError> {
        let Some(video) = tx.video(task.task.video).await? else { return Ok(Vec::new()) };
        let url = post_url(tx, &video, &post_ids).await?;
        let first = video.status != Status::Posted;
        let patch = VideoPatch {
            status: first.then_some(Status::Posted),
            progress: Some(100),
            post_ids: Some(post_ids.clone()),
            post_url: url.clone(),
            reason: Some(None),
            ..VideoPatch::default()
        };
        tx.patch_video(video.id, patch).await?;
        if first || !post_ids.is_empty() {
            tx.note(video.id, Some(Stage::Publish), "posted", json!({ "postIds": post_ids, "postUrl": url })).await?;
        }
        if let Some(due) = look_again {
            self.turn(tx, task, Stage::Confirm, due).await?;
        }
        Ok(Vec::new())
    }

    /// A new turn of the video's task in that stage, or its first.
    async fn turn(&self, tx: &Tx, task: &TaskRow, stage: Stage, due: i64) -> Result<(), LedgerError> {
        match tx.task_of(task.task.video, stage).await? {
            Some(row) => match row.task.replay(due) {
                Ok(again) => tx.put_task(&row.task, &again).await,
                // It waits already.
                Err(_) => Ok(()),
            },
            None => {
                let first = Task::new(task.task.video, stage, due);
                tx.insert_task(&TaskRow { task: first, ..task.clone() }).await
            }
        }
    }

    /// A video that may have been posted can't simply fail.
    pub(super) async fn exhaust(&self, tx: &Tx, task: &TaskRow, reason: Reason) -> Result<Outcome, LedgerError> {
        let Some(seen) = record::load(tx, task.task.video).await? else { return Ok(Outcome::Dead(reason)) };
        let lease = task.task.token.unwrap_or_else(LeaseToken::new);
        let (write, outcome) = exhausted(&seen.publication, reason, lease);
        if let Some(write) = write {
            record::write_settled(tx, task, &seen, &write).await?;
        }
        Ok(outcome)
    }
}

fn outcome(end: &End) -> Outcome {
    match end {
        End::Posted { .. } | End::Confirm { .. } | End::PublishAgain { .. } | End::Stop => Outcome::Done,
        End::Failed(reason) => Outcome::Dead(reason.clone()),
        End::NeedsReview(reason) => Outcome::NeedsReview(reason.clone()),
        End::Parked { until, reason } => Outcome::Parked { until: *until, reason: reason.clone() },
    }
}

/// From the post's own id and the creator's name; never from the publish id.
pub async fn post_url(tx: &Tx, video: &Video, post_ids: &[String]) -> Result<Option<String>, LedgerError> {
    let account = tx.account_even_removed(&video.account).await?;
    let username = account.and_then(|account| account.username);
    Ok(match (username, post_ids.first()) {
        (Some(username), Some(id)) => Some(format!("https://www.tiktok.com/@{username}/video/{id}")),
        (_, None) | (None, _) => None,
    })
}

async fn ended_badly(tx: &Tx, task: &TaskRow, outcome: &Outcome) -> Result<(), LedgerError> {
    let (status, reason) = match outcome {
        Outcome::Dead(reason) => (Status::Failed, reason),
        Outcome::NeedsReview(reason) => (Status::NeedsReview, reason),
        Outcome::Done | Outcome::Retry(_) | Outcome::Parked { .. } => return Ok(()),
    };
    let patch = VideoPatch { status: Some(status), reason: Some(Some(reason.clone())), ..VideoPatch::default() };
    tx.patch_video(task.task.video, patch).await
}
