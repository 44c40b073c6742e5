//! Canceling.

use serde_json::json;

use super::{Refused, impossible};
use crate::event::VideoId;
use crate::ledger::{Ledger, Status, VideoPatch};
use crate::stage::publish::operator::may_cancel;
use crate::stage::publish::record;
use crate::trace::{self, Told};

/// Wins only while no intent to init is open: later the post may be on TikTok already.
pub async fn cancel(ledger: &Ledger, id: VideoId) -> Result<(), Refused> {
    let tx = ledger.begin().await?;
    let video = tx.video(id).await?.ok_or(Refused::NoSuchVideo)?;
    if video.status.ended() {
        return Err(impossible("already_ended", format!("the video has ended already: it is {}", video.status)));
    }
    let seen = record::load(&tx, id).await?;
    if !may_cancel(seen.as_ref().map(|seen| &seen.publication)) {
        return Err(impossible(
            "already_publishing",
            "the post has been begun on TikTok; it can't be taken back from here",
        ));
    }
    for row in tx.tasks_of(id).await? {
        if let Ok(canceled) = row.task.cancel() {
            tx.put_task(&row.task, &canceled).await?;
        }
    }
    tx.patch_video(id, VideoPatch { status: Some(Status::Canceled), ..VideoPatch::default() }).await?;
    tx.note(id, None, "canceled", json!({})).await?;
    tx.commit().await?;
    trace::tell(|| Told::Canceled { video: id });
    Ok(())
}
