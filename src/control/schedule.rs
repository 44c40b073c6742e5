//! When a video is to be posted, changed later.

use serde_json::json;

use super::{Refused, impossible};
use crate::event::{Stage, VideoId};
use crate::ledger::{Ledger, SystemClock, VideoPatch};
use crate::outcome::Reason;
use crate::relay::Dispatch;
use crate::stage::publish::operator::may_cancel;
use crate::stage::publish::record;
use crate::task::Refused as Unmoved;

/// How far ahead a time may lie: a hundred years, beyond which a year is mistyped.
pub const FURTHEST_DAYS: i64 = 36_500;

/// A slip in the year is seen at once and not when nothing is posted. `name` is the field's.
pub fn near_enough(name: &str, time: i64) -> Result<(), Reason> {
    if time > SystemClock::now() + FURTHEST_DAYS * 86_400_000 {
        let text = format!("{name} can be at most {FURTHEST_DAYS} days ahead; choose an earlier time");
        return Err(Reason::new("time_too_far", text));
    }
    Ok(())
}

/// `None`, or a time that is over: as soon as possible. Only as long as publishing has not begun.
pub async fn schedule(
    ledger: &Ledger,
    dispatch: &Dispatch,
    id: VideoId,
    publish_at: Option<i64>,
) -> Result<(), Refused> {
    let tx = ledger.begin().await?;
    let video = tx.video(id).await?.ok_or(Refused::NoSuchVideo)?;
    if video.status.ended() {
        return Err(impossible("already_ended", format!("the video has ended already: it is {}", video.status)));
    }
    let begun = || impossible("already_publishing", "publishing has begun, so its time can't be changed any more");
    if !may_cancel(record::load(&tx, id).await?.as_ref().map(|seen| &seen.publication)) {
        return Err(begun());
    }
    if let Some(row) = tx.task_of(id, Stage::Publish).await? {
        match row.task.reschedule(publish_at.unwrap_or(0), tx.now()) {
            Ok(moved) => tx.put_task(&row.task, &moved).await?,
            Err(Unmoved::Leased) => return Err(begun()),
            // It is on its way to be edited again, and will be made anew after that.
            Err(Unmoved::Ended) => {}
            Err(other) => return Err(impossible("not_ended", other.to_string())),
        }
    }
    tx.patch_video(id, VideoPatch { publish_at: Some(publish_at), ..VideoPatch::default() }).await?;
    tx.note(id, Some(Stage::Publish), "rescheduled", json!({ "publishAt": publish_at })).await?;
    let released = dispatch.release(&tx, Stage::Publish).await?;
    tx.commit().await?;
    dispatch.append(&released).await;
    Ok(())
}
