//! What a person may do to a video that is under way.

use serde_json::json;

use crate::event::VideoId;
use crate::ledger::{Ledger, LedgerError, Status, VideoPatch};
use crate::outcome::Reason;
use crate::relay::Dispatch;
use crate::stage::publish::operator::{self, Resolution};
use crate::stage::publish::record;

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
    let record = record::load(&tx, id).await?;
    if !operator::may_cancel(record.as_ref().map(|record| &record.publication)) {
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

/// Gives a failed video another turn.
pub async fn retry(_ledger: &Ledger, _dispatch: &Dispatch, _id: VideoId) -> Result<(), Refused> {
    Err(not_yet("retried"))
}

/// An operator says what became of a video that needs review.
pub async fn resolve(
    _ledger: &Ledger,
    _dispatch: &Dispatch,
    _id: VideoId,
    _resolution: Resolution,
) -> Result<(), Refused> {
    Err(not_yet("resolved"))
}

fn not_yet(what: &str) -> Refused {
    Refused::Impossible(Reason::new("not_possible_yet", format!("videos can't be {what} by this version")))
}
