//! What a post says of itself, and whether its creator may post it so.

use crate::ingest::options::{PostOptions, Privacy};
use crate::ledger::Video;
use crate::tiktok::refusal::{Class, Refusal};
use crate::tiktok::wire::{CreatorInfo, PostInfo};

pub(super) fn options(video: &Video) -> PostOptions {
    serde_json::from_value(video.options.clone()).unwrap_or_default()
}

/// Nobody but the creator sees it, so TikTok gives it no public id.
pub(super) fn is_private(video: &Video) -> bool {
    options(video).privacy_level == Privacy::SelfOnly
}

/// The account's own setting wins: what the creator has switched off stays off.
pub(super) fn info(video: &Video, creator: &CreatorInfo) -> PostInfo {
    let options = options(video);
    PostInfo {
        title: video.title.clone(),
        privacy_level: options.privacy_level.as_str().to_owned(),
        disable_duet: !options.allow_duet || creator.duet_disabled,
        disable_comment: !options.allow_comment || creator.comment_disabled,
        disable_stitch: !options.allow_stitch || creator.stitch_disabled,
        video_cover_timestamp_ms: None,
        brand_content_toggle: options.branded_content,
        brand_organic_toggle: options.your_brand,
        is_aigc: options.ai_generated,
    }
}

/// Asked right before each init.
pub(super) fn fits(video: &Video, creator: &CreatorInfo) -> Result<(), Refusal> {
    let refused = |code, text: String| Err(Refusal::ours(Class::PermanentForVideo, code, text));
    let wanted = options(video).privacy_level.as_str();
    let allowed = &creator.privacy_level_options;
    if !allowed.is_empty() && !allowed.iter().any(|option| option == wanted) {
        let text = format!("the creator may not post as {wanted}; choose one of {}", allowed.join(", "));
        return refused("privacy_level_option_mismatch", text);
    }
    let seconds = video.probe.get("durationMs").and_then(serde_json::Value::as_u64).unwrap_or(0).div_ceil(1000);
    match creator.max_video_post_duration_sec {
        Some(longest) if seconds > u64::from(longest) => refused(
            "duration_check_failed",
            format!("the video lasts {seconds} s; this creator may post {longest} s at most"),
        ),
        _ => Ok(()),
    }
}
