//! Creators: the people whose accounts are posted to. They are made on request, and their open id follows from their
//! name, so that a wiped sandbox knows the same people again.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Creator {
    pub(super) name: String,
    pub(super) open_id: String,
    pub(super) display_name: String,
    /// A private account. An unaudited app may post to these alone.
    pub(super) private: bool,
    pub(super) comment_disabled: bool,
    pub(super) duet_disabled: bool,
    pub(super) stitch_disabled: bool,
    pub(super) max_video_post_duration_sec: i32,
    pub(super) banned: bool,
}

/// What is asked of a creator when they are made or looked up. Fields that are missing stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CreatorSpec {
    pub name: String,
    pub display_name: Option<String>,
    /// Default: private with an unaudited app, else public.
    pub private: Option<bool>,
    pub comment_disabled: Option<bool>,
    pub duet_disabled: Option<bool>,
    pub stitch_disabled: Option<bool>,
    /// Default 600.
    pub max_video_post_duration_sec: Option<i32>,
    pub banned: Option<bool>,
    /// Scopes of the tokens; default `user.info.basic` and `video.publish`.
    pub scopes: Option<Vec<String>>,
}

impl CreatorSpec {
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// A token pair as a login would have given it, with the identity it belongs to. Lifetimes in seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tokens {
    pub open_id: String,
    pub display_name: String,
    pub access_token: String,
    pub refresh_token: String,
    pub expires_in: u64,
    pub refresh_expires_in: u64,
    /// Comma separated.
    pub scope: String,
}

impl Creator {
    pub(super) fn new(name: &str, audited: bool) -> Self {
        Self {
            name: name.to_owned(),
            open_id: format!("-000{}", &hex(&Sha256::digest(name.as_bytes()))[..32]),
            display_name: name.to_owned(),
            private: !audited,
            comment_disabled: false,
            duet_disabled: false,
            stitch_disabled: false,
            max_video_post_duration_sec: 600,
            banned: false,
        }
    }

    pub(super) fn with(mut self, spec: &CreatorSpec) -> Self {
        self.display_name = spec.display_name.clone().unwrap_or(self.display_name);
        self.private = spec.private.unwrap_or(self.private);
        self.comment_disabled = spec.comment_disabled.unwrap_or(self.comment_disabled);
        self.duet_disabled = spec.duet_disabled.unwrap_or(self.duet_disabled);
        self.stitch_disabled = spec.stitch_disabled.unwrap_or(self.stitch_disabled);
        self.max_video_post_duration_sec = spec.max_video_post_duration_sec.unwrap_or(self.max_video_post_duration_sec);
        self.banned = spec.banned.unwrap_or(self.banned);
        self
    }

    /// The account's @name: what is left of its name in letters, digits, `_` and `.`.
    pub(super) fn username(&self) -> String {
        let kept = self.name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        kept.map(|c| c.to_ascii_lowercase()).collect()
    }

    pub(super) fn privacy_options(&self, self_only: bool) -> &'static [&'static str] {
        match (self_only, self.private) {
            (true, _) => &["SELF_ONLY"],
            (false, true) => &["FOLLOWER_OF_CREATOR", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"],
            (false, false) => &["PUBLIC_TO_EVERYONE", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"],
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
