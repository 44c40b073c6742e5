//! How a video is to be posted, as the form says it and as the ledger's `videos.options` keeps it.

use serde::{Deserialize, Serialize};

/// Who may see the post. TikTok's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Privacy {
    PublicToEveryone,
    MutualFollowFriends,
    FollowerOfCreator,
    #[default]
    SelfOnly,
}

impl Privacy {
    pub const ALL: [Privacy; 4] =
        [Privacy::PublicToEveryone, Privacy::MutualFollowFriends, Privacy::FollowerOfCreator, Privacy::SelfOnly];

    pub fn as_str(self) -> &'static str {
        match self {
            Privacy::PublicToEveryone => "PUBLIC_TO_EVERYONE",
            Privacy::MutualFollowFriends => "MUTUAL_FOLLOW_FRIENDS",
            Privacy::FollowerOfCreator => "FOLLOWER_OF_CREATOR",
            Privacy::SelfOnly => "SELF_ONLY",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PostOptions {
    pub privacy_level: Privacy,
    pub allow_comment: bool,
    pub allow_duet: bool,
    pub allow_stitch: bool,
    /// Paid partnership. TikTok doesn't take it together with `SELF_ONLY`.
    pub branded_content: bool,
    /// The creator's own business.
    pub your_brand: bool,
    pub ai_generated: bool,
}
