//! Trying a video again that failed or was canceled.

use serde_json::json;

use super::{Refused, impossible};
use crate::event::{Stage, VideoId};
use crate::ledger::{Bytes, Ledger, Status, Tx, VideoPatch};
use crate::relay::Dispatch;
use crate::stage::publish::operator::{may_replay_publish, replay_publish};
use crate::stage::publish::record::{self, Written};
use crate::torture::{self, Point};

/// Goes on at the stage that did not end well. Refused where a post may have come of it: that is `resolve`'s.
pub async fn retry(ledger: &Ledger, dispatch: &Dispatch, id: VideoId) -> Result<(), Refused> {
    let tx = ledger.begin().await?;
    let video = tx.video(id).await?.ok_or(Refused::NoSuchVideo)?;
    match video.status {
        Status::Failed | Status::Canceled => {}
        Status::NeedsReview => {
            let text = "nobody knows whether it was posted; look at TikTok, then resolve it";
            return Err(impossible("needs_review", text));
        }
        _ => {
            return Err(impossible(
                "not_ended",
                format!("only what failed or was canceled can be tried again; it is {}", video.status),
            ));
        }
    }
    if tx.account(&video.account).await?.is_none() {
        return Err(impossible("account_removed", "its account was removed; upload it to another one"));
    }
    let edited = video.edited_key.is_some();
    let needed = if edited { Bytes::Result } else { Bytes::Source };
    if tx.is_given_up(id, needed).await? {
        return Err(impossible(
            "bytes_gone",
            "its bytes were kept as long as `retain` says and are gone; upload it again",
        ));
    }
    if edited {
        reopen(&tx, id).await?;
    }
    let (stage, status) = if edited { (Stage::Publish, Status::Edited) } else { (Stage::Edit, Status::EditingQueued) };
    let row = tx.task_of(id, stage).await?;
    let row = row.ok_or_else(|| impossible("no_task", "nothing is known of how it was to go on; upload it again"))?;
    let due = if edited { video.publish_at.unwrap_or(0).max(tx.now()) } else { tx.now() };
    let again = row.task.replay(due).map_err(|refused| impossible("not_ended", refused.to_string()))?;
    tx.put_task(&row.task, &again).await?;
    let patch = VideoPatch { status: Some(status), reason: Some(None), ..VideoPatch::default() };
    tx.patch_video(id, patch).await?;
    tx.note(id, Some(stage), "tried again", json!({})).await?;
    let released = dispatch.release(&tx, stage).await?;
    tx.commit().await?;
    torture::at(Point::ControlRetry);
    dispatch.append(&released).await;
    Ok(())
}

/// A publication may begin anew only where no post can have come of it.
async fn reopen(tx: &Tx, id: VideoId) -> Result<(), Refused> {
    let Some(seen) = record::load(tx, id).await? else { return Ok(()) };
    if !may_replay_publish(Some(&seen.publication)) {
        let text = "TikTok had begun on this post; if it is not there, an operator can resolve it as \"post again\"";
        return Err(impossible("may_be_posted", text));
    }
    match replay_publish(&seen.publication) {
        Some(write) if record::operate(tx, id, &seen, &write).await? == Written::Lost => {
            Err(impossible("not_ended", "a worker is at it; try again in a moment"))
        }
        Some(_) | None => Ok(()),
    }
}
