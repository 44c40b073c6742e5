//! Whether a post can go to its creator's account as it is asked for.

use std::time::Duration;

use serde::Serialize;

use super::{PostOptions, Privacy};
use crate::outcome::Reason;
use crate::tiktok::wire::CreatorInfo;

/// TikTok's limit of a title, in UTF-16 units.
pub const LONGEST_TITLE: usize = 2200;

/// What a creator may choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allowed {
    /// In TikTok's order. Empty: TikTok named none.
    pub privacy_levels: Vec<String>,
    pub comment: bool,
    pub duet: bool,
    pub stitch: bool,
    /// Null: TikTok named no limit.
    pub longest_seconds: Option<u32>,
}

impl From<&CreatorInfo> for Allowed {
    fn from(creator: &CreatorInfo) -> Self {
        Self {
            privacy_levels: creator.privacy_level_options.clone(),
            comment: !creator.comment_disabled,
            duet: !creator.duet_disabled,
            stitch: !creator.stitch_disabled,
            longest_seconds: creator.max_video_post_duration_sec,
        }
    }
}

/// Why it can't be posted so, and how it could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    pub reason: Reason,
    pub allowed: Allowed,
}

/// A video's length as ingest has measured it.
pub fn length(probe: &serde_json::Value) -> Duration {
    Duration::from_millis(probe.get("durationMs").and_then(serde_json::Value::as_u64).unwrap_or(0))
}

pub fn fits(options: &PostOptions, title: &str, length: Duration, creator: &CreatorInfo) -> Result<(), Misfit> {
    let allowed = Allowed::from(creator);
    match unfit(options, title, length, &allowed) {
        Some(reason) => Err(Misfit { reason, allowed }),
        None => Ok(()),
    }
}

fn unfit(options: &PostOptions, title: &str, length: Duration, allowed: &Allowed) -> Option<Reason> {
    let units = title.encode_utf16().count();
    if units > LONGEST_TITLE {
        let text = format!("the title has {units} UTF-16 units; TikTok takes {LONGEST_TITLE}");
        return Some(Reason::new("title_too_long", text));
    }
    if let Some(reason) = options.contradiction() {
        return Some(reason);
    }
    let level = options.privacy_level.as_str();
    // Options that are not named are for init to refuse.
    if !allowed.privacy_levels.is_empty() && !allowed.privacy_levels.iter().any(|offered| offered == level) {
        let offered = allowed.privacy_levels.join(", ");
        let text = format!("the account does not allow {level}; choose one of: {offered}");
        return Some(Reason::new("privacy_level_option_mismatch", text));
    }
    for (wanted, may, what) in [
        (options.allow_comment, allowed.comment, "comment"),
        (options.allow_duet, allowed.duet, "duet"),
        (options.allow_stitch, allowed.stitch, "stitch"),
    ] {
        if wanted && !may {
            let text = format!("the account has {what} switched off at TikTok; leave it off for this post, too");
            return Some(Reason::new(format!("{what}_disabled"), text));
        }
    }
    match allowed.longest_seconds {
        Some(longest) if length > Duration::from_secs(u64::from(longest)) => {
            let seconds = length.as_secs_f64().ceil();
            let text = format!(
                "the video has {seconds} s, and this account may post {longest} s; cancel it and upload a shorter one"
            );
            Some(Reason::new("duration_check_failed", text))
        }
        Some(_) | None => None,
    }
}

impl PostOptions {
    /// What no account allows.
    pub fn contradiction(&self) -> Option<Reason> {
        let text = "branded content can't be posted as SELF_ONLY on TikTok; choose another privacyLevel";
        (self.branded_content && self.privacy_level == Privacy::SelfOnly)
            .then(|| Reason::new("branded_content_private", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_account_does_not_allow_is_refused_with_what_it_does() {
        let creator: CreatorInfo = serde_json::from_str(
            r#"{"privacy_level_options":["SELF_ONLY","FOLLOWER_OF_CREATOR"],"duet_disabled":true,
                "max_video_post_duration_sec":60}"#,
        )
        .unwrap();
        let (plain, minute) = (PostOptions { allow_comment: true, ..PostOptions::default() }, Duration::from_secs(60));
        assert_eq!(fits(&plain, "t", minute, &creator), Ok(()));
        let refused = |options: &PostOptions, title: &str, length| fits(options, title, length, &creator).unwrap_err();
        let code = |options: &PostOptions, title: &str| refused(options, title, minute).reason.code;
        let long = refused(&plain, "t", minute + Duration::from_millis(1));
        assert_eq!((long.reason.code.as_str(), long.allowed.longest_seconds), ("duration_check_failed", Some(60)));
        let public = refused(&PostOptions { privacy_level: Privacy::PublicToEveryone, ..plain.clone() }, "t", minute);
        assert_eq!(public.reason.code, "privacy_level_option_mismatch");
        assert!(public.reason.text.contains("SELF_ONLY, FOLLOWER_OF_CREATOR"), "{public:?}");
        assert_eq!(public.allowed.privacy_levels, ["SELF_ONLY", "FOLLOWER_OF_CREATOR"]);
        assert_eq!(code(&PostOptions { allow_duet: true, ..plain.clone() }, "t"), "duet_disabled");
        assert_eq!(code(&PostOptions { branded_content: true, ..plain.clone() }, "t"), "branded_content_private");
        assert_eq!(fits(&plain, &"😀".repeat(1100), minute, &creator), Ok(()));
        assert_eq!(code(&plain, &"😀".repeat(1101)), "title_too_long");
    }

    #[test]
    fn what_tiktok_does_not_name_is_left_to_it() {
        let silent: CreatorInfo = serde_json::from_str("{}").unwrap();
        let wide = PostOptions { privacy_level: Privacy::PublicToEveryone, allow_duet: true, ..PostOptions::default() };
        assert_eq!(fits(&wide, "", Duration::from_secs(3600), &silent), Ok(()));
    }
}
