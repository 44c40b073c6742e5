//! A new turn of one stage of a video: whether it may have one, and the writes that give it.
//!
//! Everything is looked at before anything is written, so that one video's refusal leaves no trace among many.

use serde_json::Value;

use super::{Refused, impossible};
use crate::event::{Stage, VideoId};
use crate::ledger::{Bytes, Status, TaskRow, Tx, Video, VideoPatch};
use crate::stage::publish::operator::{may_replay_edit, may_replay_publish, replay_publish};
use crate::stage::publish::record::{self, Record, Written};
use crate::stage::publish::step::Write;
use crate::task::{State, Task};

/// Which turn is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Of the stage that did not end well, of a video that failed or was canceled.
    WhereItEnded,
    /// The same of a dead letter, which nobody has canceled.
    OfDeadLetter,
    /// Of this stage, however it ended.
    Of(Stage),
}

/// A turn that a video may have, and that nobody has written yet.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) video: Video,
    /// The task as it ended.
    pub(super) row: TaskRow,
    pub(super) again: Task,
    /// A publication that begins anew.
    publication: Option<(Record, Write)>,
    /// The publish task that waited for what is now edited anew.
    overtaken: Option<TaskRow>,
}

impl Turn {
    pub(super) async fn of(tx: &Tx, id: VideoId, wanted: Again) -> Result<Self, Refused> {
        let video = tx.video(id).await?.ok_or(Refused::NoSuchVideo)?;
        let may = match video.status {
            Status::Canceled if wanted == Again::OfDeadLetter => {
                return Err(impossible("not_dead", "it is no dead letter; it was canceled"));
            }
            Status::Failed | Status::Canceled => true,
            Status::NeedsReview => {
                let text = "nobody knows whether it was posted; look at TikTok, then resolve it";
                return Err(impossible("needs_review", text));
            }
            Status::Posted => return Err(impossible("posted", "it is posted; another turn could post it twice")),
            _ => matches!(wanted, Again::Of(_)),
        };
        if !may {
            let text = format!("only what failed or was canceled can be tried again; it is {}", video.status);
            return Err(impossible("not_ended", text));
        }
        let stage = match wanted {
            Again::Of(stage) => stage,
            Again::WhereItEnded | Again::OfDeadLetter => stage_that_ended(tx, &video).await?,
        };
        if stage == Stage::Publish && video.edited_key.is_none() {
            return Err(impossible("not_edited", "there is no edited video to publish; replay its edit"));
        }
        if tx.account(&video.account).await?.is_none() {
            return Err(impossible("account_removed", "its account was removed; upload it to another one"));
        }
        let needed = if stage == Stage::Publish { Bytes::Result } else { Bytes::Source };
        if tx.is_given_up(id, needed).await? {
            let text = "its bytes were kept as long as `retain` says and are gone; upload it again";
            return Err(impossible("bytes_gone", text));
        }
        let (publication, overtaken) = match stage {
            Stage::Edit => (None, before_publishing(tx, id).await?),
            Stage::Publish | Stage::Confirm => (reopened(tx, id).await?, None),
        };
        let row = tx.task_of(id, stage).await?;
        let row =
            row.ok_or_else(|| impossible("no_task", "nothing is known of how it was to go on; upload it again"))?;
        let due = if stage == Stage::Publish { video.publish_at.unwrap_or(0).max(tx.now()) } else { tx.now() };
        let again = row.task.replay(due).map_err(|_| {
            impossible("not_ended", format!("its {stage} has not ended; its task is {}", row.task.state.as_str()))
        })?;
        Ok(Self { video, row, again, publication, overtaken })
    }

    pub(super) async fn write(&self, tx: &Tx, event: &str, detail: Value) -> Result<(), Refused> {
        let id = self.video.id;
        if let Some((seen, write)) = &self.publication
            && record::operate(tx, id, seen, write).await? == Written::Lost
        {
            return Err(impossible("not_ended", "a worker is at it; try again in a moment"));
        }
        if let Some(row) = &self.overtaken {
            let canceled = row.task.cancel().map_err(|refused| impossible("not_ended", refused.to_string()))?;
            tx.put_task(&row.task, &canceled).await?;
        }
        tx.put_task(&self.row.task, &self.again).await?;
        let edit = self.again.stage == Stage::Edit;
        let patch = VideoPatch {
            status: Some(if edit { Status::EditingQueued } else { Status::Edited }),
            // Of what was whole already, the bar begins anew.
            progress: (edit && self.video.edited_key.is_some()).then_some(0),
            reason: Some(None),
            ..VideoPatch::default()
        };
        tx.patch_video(id, patch).await?;
        Ok(tx.note(id, Some(self.again.stage), event, detail).await?)
    }
}

/// A rendition may stand from an edit before the one that failed.
async fn stage_that_ended(tx: &Tx, video: &Video) -> Result<Stage, Refused> {
    if video.edited_key.is_none() {
        return Ok(Stage::Edit);
    }
    let edit = tx.task_of(video.id, Stage::Edit).await?;
    Ok(if edit.is_none_or(|row| row.task.state == State::Done) { Stage::Publish } else { Stage::Edit })
}

/// An edit may be done again only before its result was fixed for TikTok. Gives the publish task that waits for it.
async fn before_publishing(tx: &Tx, id: VideoId) -> Result<Option<TaskRow>, Refused> {
    let seen = record::load(tx, id).await?;
    if !may_replay_edit(seen.as_ref().map(|seen| &seen.publication)) {
        let text = "its publishing has begun, which fixes what is sent; it can't be edited anew";
        return Err(impossible("already_publishing", text));
    }
    let waiting = tx.task_of(id, Stage::Publish).await?.filter(|row| !row.task.state.ended());
    if waiting.as_ref().is_some_and(|row| row.task.state == State::Running) {
        return Err(impossible("not_ended", "a worker is just publishing it"));
    }
    Ok(waiting)
}

/// A publication may begin anew only where no post can have come of it.
async fn reopened(tx: &Tx, id: VideoId) -> Result<Option<(Record, Write)>, Refused> {
    let Some(seen) = record::load(tx, id).await? else { return Ok(None) };
    if !may_replay_publish(Some(&seen.publication)) {
        let text = "TikTok had begun on this post; if it is not there, an operator can resolve it as \"post again\"";
        return Err(impossible("may_be_posted", text));
    }
    Ok(replay_publish(&seen.publication).map(|write| (seen, write)))
}
