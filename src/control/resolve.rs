//! The three ways out of NEEDS_REVIEW: an operator has looked at TikTok and says what is there.

use serde_json::json;

use super::{Refused, impossible};
use crate::event::{Stage, VideoId};
use crate::ledger::{Ledger, Status, Tx, VideoPatch};
use crate::relay::Dispatch;
use crate::stage::publish::operator::{self, Resolution};
use crate::stage::publish::post_url;
use crate::stage::publish::record::{self, Written};
use crate::task::State;
use crate::torture::{self, Point};

/// "It is there", "it is not there, post again" (the caller has asked for the typed confirmation), or "give up".
pub async fn resolve(
    ledger: &Ledger,
    dispatch: &Dispatch,
    id: VideoId,
    resolution: &Resolution,
    by: &str,
) -> Result<(), Refused> {
    let tx = ledger.begin().await?;
    let video = tx.video(id).await?.ok_or(Refused::NoSuchVideo)?;
    let not_in_review =
        || impossible("not_in_review", format!("the video is not waiting for a decision; it is {}", video.status));
    let seen = record::load(&tx, id).await?.ok_or_else(not_in_review)?;
    let write = operator::resolve(&seen.publication, resolution).map_err(|error| match error {
        operator::Unresolvable::NotInReview => not_in_review(),
        operator::Unresolvable::NotAPostId => impossible("not_a_post_id", error.to_string()),
    })?;
    if record::operate(&tx, id, &seen, &write).await? == Written::Lost {
        return Err(impossible("not_ended", "a worker is at it; try again in a moment"));
    }
    let (event, patch) = match resolution {
        Resolution::There { post_id } => {
            let post_ids = vec![post_id.clone()];
            let url = post_url(&tx, &video, &post_ids).await?;
            let patch = VideoPatch {
                status: Some(Status::Posted),
                progress: Some(100),
                post_ids: Some(post_ids),
                post_url: url,
                reason: Some(None),
                ..VideoPatch::default()
            };
            ("resolved as posted", patch)
        }
        Resolution::PostAgain => {
            let patch = VideoPatch { status: Some(Status::Edited), reason: Some(None), ..VideoPatch::default() };
            ("resolved: post again", patch)
        }
        Resolution::GiveUp => {
            let patch = VideoPatch {
                status: Some(Status::Failed),
                reason: Some(write.row.reason.clone()),
                ..VideoPatch::default()
            };
            ("given up", patch)
        }
    };
    tx.patch_video(id, patch).await?;
    tx.note(id, Some(Stage::Publish), event, json!({ "by": by })).await?;
    end_review(&tx, id, resolution).await?;
    let released = dispatch.release(&tx, Stage::Publish).await?;
    tx.commit().await?;
    torture::at(Point::ControlResolve);
    dispatch.append(&released).await;
    Ok(())
}

/// The tasks no longer stand in review; publishing begins a new turn where it was asked for.
async fn end_review(tx: &Tx, id: VideoId, resolution: &Resolution) -> Result<(), Refused> {
    let post_again = *resolution == Resolution::PostAgain;
    for row in tx.tasks_of(id).await? {
        let again = post_again && row.task.stage == Stage::Publish;
        let after = if again {
            row.task.replay(tx.now()).map_err(|refused| impossible("not_ended", refused.to_string()))?
        } else if row.task.state == State::Review || (post_again && row.task.state == State::Dead) {
            let state = if *resolution == Resolution::GiveUp { State::Dead } else { State::Done };
            crate::task::Task { state, ..row.task.clone() }
        } else {
            continue;
        };
        tx.put_task(&row.task, &after).await?;
    }
    Ok(())
}
