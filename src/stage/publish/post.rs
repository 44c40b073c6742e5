//! What a post says of itself.

use crate::creator::{PostOptions, Privacy};
use crate::ledger::Video;
use crate::tiktok::wire::{CreatorInfo, PostInfo};

/// Nobody but the creator sees it, so TikTok gives it no public id.
pub(super) fn is_private(video: &Video) -> bool {
    PostOptions::of(video).privacy_level == Privacy::SelfOnly
}

/// The account's own setting wins: what the creator has switched off stays off.
pub(super) fn info(video: &Video, creator: &CreatorInfo) -> PostInfo {
    let options = PostOptions::of(video);
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
