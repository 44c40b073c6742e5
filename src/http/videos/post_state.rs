//! What there is to see of a post, in words: TikTok names a public id late, or never.

use serde::Serialize;
use utoipa::ToSchema;

use crate::creator::{PostOptions, Privacy};
use crate::ledger::{Status, Video};

/// `code` for programs (PUBLIC, PRIVATE, LIMITED, NOT_YET_PUBLIC), `text` for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct PostState {
    code: &'static str,
    text: &'static str,
}

impl PostState {
    pub(super) fn of(video: &Video) -> Option<Self> {
        if video.status != Status::Posted {
            return None;
        }
        let (code, text) = match (video.post_ids.is_empty(), PostOptions::of(video).privacy_level) {
            (false, _) => ("PUBLIC", "TikTok shows the post and has named its public id"),
            (true, Privacy::SelfOnly) => {
                ("PRIVATE", "posted for its creator alone; TikTok names no public id of private posts")
            }
            (true, Privacy::MutualFollowFriends | Privacy::FollowerOfCreator) => {
                ("LIMITED", "posted for a limited audience; TikTok names the public id of public posts only")
            }
            (true, Privacy::PublicToEveryone) => (
                "NOT_YET_PUBLIC",
                "TikTok has taken the post and has not named a public id: it looks through new posts (moderation), \
                 mostly within a minute, sometimes for hours; what it keeps back stays without one",
            ),
        };
        Some(Self { code, text })
    }
}
