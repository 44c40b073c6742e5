//! Whether a post can go to a creator's account as it is asked for. Before init, so that nothing is found out at the end.

use std::time::Duration;

use super::refusal::{Class, Refusal};
use super::wire::{CreatorInfo, PostInfo};

/// TikTok's limit of a title, in UTF-16 units.
pub const LONGEST_TITLE: usize = 2200;

/// What the account's comment, duet and stitch settings forbid is not refused: TikTok lets them win over the post's.
pub fn fits(post: &PostInfo, length: Duration, creator: &CreatorInfo) -> Result<(), Refusal> {
    let refused = |code: &str, text: String| Err(Refusal::ours(Class::PermanentForVideo, code, text));
    let units = post.title.encode_utf16().count();
    if units > LONGEST_TITLE {
        return refused("title_too_long", format!("the title has {units} characters; TikTok takes {LONGEST_TITLE}"));
    }
    if post.brand_content_toggle && post.privacy_level == "SELF_ONLY" {
        let text = "a paid partnership can't be posted as SELF_ONLY; choose another privacy level".to_owned();
        return refused("privacy_level_option_mismatch", text);
    }
    // Options that are not named are for init to refuse.
    if !creator.privacy_level_options.is_empty() && !creator.privacy_level_options.contains(&post.privacy_level) {
        let offered = creator.privacy_level_options.join(", ");
        let text = format!("the account does not allow {}; choose one of: {offered}", post.privacy_level);
        return refused("privacy_level_option_mismatch", text);
    }
    match creator.max_video_post_duration_sec {
        Some(longest) if length > Duration::from_secs(u64::from(longest)) => {
            let text = format!("the video has {} s; this account may post {longest} s", length.as_secs_f64().ceil());
            refused("duration_check_failed", text)
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_account_does_not_allow_is_refused_with_what_it_does() {
        let creator: CreatorInfo = serde_json::from_str(
            r#"{"privacy_level_options":["SELF_ONLY","FOLLOWER_OF_CREATOR"],"max_video_post_duration_sec":60}"#,
        )
        .unwrap();
        let post: PostInfo = serde_json::from_str(
            r#"{"title":"t","privacy_level":"SELF_ONLY","disable_duet":true,"disable_comment":true,"disable_stitch":true,
                "brand_content_toggle":false,"brand_organic_toggle":false,"is_aigc":false}"#,
        )
        .unwrap();
        let minute = Duration::from_secs(60);
        assert_eq!(fits(&post, minute, &creator), Ok(()));
        let code = |post: &PostInfo, length| fits(post, length, &creator).unwrap_err().code;
        assert_eq!(code(&post, minute + Duration::from_millis(1)), "duration_check_failed");
        let public = PostInfo { privacy_level: "PUBLIC_TO_EVERYONE".to_owned(), ..post.clone() };
        assert_eq!(code(&public, minute), "privacy_level_option_mismatch");
        assert!(fits(&public, minute, &creator).unwrap_err().text.contains("SELF_ONLY, FOLLOWER_OF_CREATOR"));
        assert_eq!(code(&PostInfo { title: "😀".repeat(1101), ..post.clone() }, minute), "title_too_long");
        assert_eq!(code(&PostInfo { brand_content_toggle: true, ..post }, minute), "privacy_level_option_mismatch");
    }
}
