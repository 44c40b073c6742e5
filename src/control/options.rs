//! Asking for another way to post a video.

use serde::Deserialize;
use serde_json::json;

use super::{Refused, impossible};
use crate::creator::{self, PostOptions, Privacy};
use crate::event::{Stage, VideoId};
use crate::ledger::{Ledger, Status, TaskRow, Tx, Video, VideoPatch};
use crate::relay::Dispatch;
use crate::stage::publish::operator;
use crate::stage::publish::record::{self, Written};
use crate::task::State;

/// What is named is changed; the rest stays.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OptionsChange {
    /// PUBLIC_TO_EVERYONE, MUTUAL_FOLLOW_FRIENDS, FOLLOWER_OF_CREATOR or SELF_ONLY.
    #[schema(value_type = Option<String>)]
    privacy_level: Option<Privacy>,
    allow_comment: Option<bool>,
    allow_duet: Option<bool>,
    allow_stitch: Option<bool>,
    branded_content: Option<bool>,
    your_brand: Option<bool>,
    ai_generated: Option<bool>,
}

impl OptionsChange {
    fn over(&self, known: &PostOptions) -> PostOptions {
        PostOptions {
            privacy_level: self.privacy_level.unwrap_or(known.privacy_level),
            allow_comment: self.allow_comment.unwrap_or(known.allow_comment),
            allow_duet: self.allow_duet.unwrap_or(known.allow_duet),
            allow_stitch: self.allow_stitch.unwrap_or(known.allow_stitch),
            branded_content: self.branded_content.unwrap_or(known.branded_content),
            your_brand: self.your_brand.unwrap_or(known.your_brand),
            ai_generated: self.ai_generated.unwrap_or(known.ai_generated),
        }
    }
}

/// Only while nothing of the post can be at TikTok. A held video looks again at once, also when nothing changed: its
/// creator may have changed the account instead.
pub async fn change_options(
    ledger: &Ledger,
    dispatch: &Dispatch,
    id: VideoId,
    change: &OptionsChange,
) -> Result<(), Refused> {
    let tx = ledger.begin().await?;
    let video = tx.video(id).await?.ok_or(Refused::NoSuchVideo)?;
    if video.status.ended() && !matches!(video.status, Status::Failed | Status::Canceled) {
        return Err(impossible("already_ended", format!("the video has ended already: it is {}", video.status)));
    }
    let options = change.over(&PostOptions::of(&video));
    if let Some(reason) = options.contradiction() {
        return Err(Refused::Contradiction(reason));
    }
    fits(&tx, &video, &options).await?;
    let publish = tx.task_of(id, Stage::Publish).await?;
    if publish.as_ref().is_some_and(|row| row.task.state == State::Running) {
        return Err(impossible("publishing", "a worker is posting it just now; try again in a moment"));
    }
    write(&tx, &video, &options).await?;
    if let Some(row) = publish {
        wake(&tx, &row, &video).await?;
    }
    let released = dispatch.release(&tx, Stage::Publish).await?;
    tx.commit().await?;
    dispatch.append(&released).await;
    Ok(())
}

/// As far as something recent is known; else the publish stage asks, and holds it again.
async fn fits(tx: &Tx, video: &Video, options: &PostOptions) -> Result<(), Refused> {
    let Some(account) = tx.account(&video.account).await? else { return Ok(()) };
    let Some(creator) = creator::recent(tx, &account.open_id, tx.now()).await? else { return Ok(()) };
    let misfit = creator::fits(options, &video.title, creator::length(&video.probe), &creator);
    match misfit {
        // No option mends that, and the account may have changed: the publish stage asks.
        Err(misfit) if misfit.reason.code == "duration_check_failed" => Ok(()),
        misfit => misfit.map_err(Refused::Unfit),
    }
}

async fn write(tx: &Tx, video: &Video, options: &PostOptions) -> Result<(), Refused> {
    if let Some(seen) = record::load(tx, video.id).await? {
        if !operator::may_change_options(Some(&seen.publication)) {
            let text = "the post has been begun on TikTok; how it looks can't be changed from here any more";
            return Err(impossible("already_publishing", text));
        }
        let write = operator::change_options(&seen.publication, options.privacy_level != Privacy::SelfOnly);
        if record::operate(tx, video.id, &seen, &write).await? == Written::Lost {
            return Err(impossible("publishing", "a worker is posting it just now; try again in a moment"));
        }
    }
    let options = serde_json::to_value(options).unwrap_or_default();
    tx.patch_video(video.id, VideoPatch { options: Some(options.clone()), ..VideoPatch::default() }).await?;
    tx.note(video.id, None, "options changed", json!({ "options": options })).await?;
    Ok(())
}

async fn wake(tx: &Tx, row: &TaskRow, video: &Video) -> Result<(), Refused> {
    if !row.task.is_held() {
        return Ok(());
    }
    let due = video.publish_at.unwrap_or(0).max(tx.now());
    if let Ok(awake) = row.task.wake(due) {
        tx.put_task(&row.task, &awake).await?;
    }
    Ok(())
}
