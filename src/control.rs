//! What a person may do to a video that is under way.

use serde_json::json;

use crate::event::VideoId;
use crate::ledger::{Ledger, LedgerError, Status, VideoPatch};
use crate::outcome::Reason;
use crate::relay::Dispatch;

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

/// Cancels a video. Wins only before the intent to init is committed: later its post may be on TikTok already.
pub async fn cancel(ledger: &Ledger, _dispatch: &Dispatch, id: VideoId) -> Result<(), Refused> {
    let tx = ledger.begin().await?;
    let video = tx.video(id).await?.ok_or(Refused::NoSuchVideo)?;
    if video.status.ended() {
        let text = format!("the video has ended already: it is {}", video.status);
        return Err(Refused::Impossible(Reason::new("already_ended", text)));
    }
    if tx.publication(id).await?.is_some_and(|publication| publication.inits > 0) {
        let text = "the post has been begun on TikTok; it can't be taken back from here".to_owned();
        return Err(Refused::Impossible(Reason::new("already_publishing", text)));
    }
    for row in tx.tasks_of(id).await? {
        if let Ok(canceled) = row.task.cancel() {
            tx.put_task(&row.task, &canceled).await?;
        }
    }
    tx.patch_video(id, VideoPatch { status: Some(Status::Canceled), ..VideoPatch::default() }).await?;
    tx.note(id, None, "canceled", json!({})).await?;
    Ok(tx.commit().await?)
}
