//! The record: what was asked of the sandbox and what was posted, for a checker to judge a client by. It consists of
//! [`Call`]s, one for each request to TikTok's part of the sandbox, and [`Post`]s, one for each publish id whose bytes all
//! came in and that nothing can stop any more. Neither holds a token or an upload URL.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::fault::Target;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    CreatorInfo,
    Init,
    Chunk,
    Status,
    Token,
    Revoke,
    Userinfo,
    Authorize,
    /// A path or method that isn't there.
    Unknown,
}

impl Kind {
    pub(super) fn target(self) -> Option<Target> {
        match self {
            Self::CreatorInfo => Some(Target::CreatorInfo),
            Self::Init => Some(Target::Init),
            Self::Chunk => Some(Target::Chunk),
            Self::Status => Some(Target::Status),
            Self::Token => Some(Target::Token),
            Self::Userinfo => Some(Target::Userinfo),
            Self::Revoke | Self::Authorize | Self::Unknown => None,
        }
    }
}

/// One request and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// Arrival on the sandbox's clock, which `Date` follows.
    pub time: DateTime<Utc>,
    /// Arrival on the wall clock.
    pub wall_time: DateTime<Utc>,
    /// From arrival to the answer, in wall time.
    pub took_ms: i64,
    pub kind: Kind,
    pub method: String,
    /// Without the query.
    pub path: String,
    pub open_id: Option<String>,
    pub publish_id: Option<String>,
    /// `refresh_token` and the like.
    pub grant_type: Option<String>,
    /// At init, as asked for.
    pub video_size: Option<i64>,
    pub chunk_size: Option<i64>,
    pub total_chunk_count: Option<i64>,
    /// At a PUT: the request's `Content-Range`.
    pub range: Option<String>,
    /// Bytes of the body that came in.
    pub bytes: u64,
    /// HTTP status of the answer, sent or not.
    pub status: Option<u16>,
    /// `ok`, the error code, or why there is none.
    pub outcome: String,
    pub message: Option<String>,
    /// Whether the answer was handed to the connection whole.
    pub answered: bool,
    /// The rule that the client broke, of these:
    ///
    /// | at | |
    /// |---|---|
    /// | all | `path` (or method), `trailing_slash`, `content_type`, `body`, `field_missing` |
    /// | the API | `authorization`, `token_unknown`, `scope`, `calls_per_minute`, `json`, `json_type`, `fields` |
    /// | init | `title_length`, `privacy_level`, `unaudited_client`, `branded_self_only`, `source`, `video_size`, `chunk_size`, `chunk_count` |
    /// | chunk | `upload_url`, `transfer_encoding`, `content_length`, `content_range`, `range_length`, `range_total`, `chunk_plan`, `chunk_order` |
    /// | status | `publish_id`, `publish_id_owner` |
    /// | login | `client`, `redirect_uri`, `response_type`, `scope`, `state`, `code_challenge`, `code`, `code_verifier`, `grant_type`, `token_unknown` |
    ///
    /// What happens to a faultless client is none of them: expired tokens and URLs, caps, a chunk sent again.
    pub rule: Option<String>,
    /// The fault that hit it.
    pub fault: Option<String>,
    /// What the status answered.
    pub post_status: Option<String>,
    pub request_id: Option<String>,
    pub user_agent: Option<String>,
    pub peer: String,
    pub log_id: String,
    /// When it was counted toward a limit, Unix milliseconds on the sandbox's clock.
    pub counted_at: Option<i64>,
}

/// A video that TikTok has taken and will show.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Post {
    pub publish_id: String,
    pub open_id: String,
    pub title: String,
    pub privacy_level: String,
    /// Lower-case hex, of all bytes in order.
    pub sha256: String,
    pub size: u64,
    pub content_type: String,
    /// When the last byte was in, on the sandbox's clock.
    pub time: DateTime<Utc>,
}

/// Which calls to take from the record; what isn't set doesn't matter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    pub kind: Option<Kind>,
    pub open_id: Option<String>,
    pub publish_id: Option<String>,
    pub request_id: Option<String>,
    pub rule: Option<String>,
    /// Only calls that broke a rule.
    pub violations: bool,
    /// Only calls that arrived at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// At most this many, the newest.
    pub limit: Option<usize>,
}

impl Filter {
    pub(super) fn takes(&self, call: &Call) -> bool {
        fn same<T: PartialEq>(wanted: &Option<T>, found: Option<&T>) -> bool {
            wanted.as_ref().is_none_or(|wanted| found == Some(wanted))
        }
        same(&self.kind, Some(&call.kind))
            && same(&self.open_id, call.open_id.as_ref())
            && same(&self.publish_id, call.publish_id.as_ref())
            && same(&self.request_id, call.request_id.as_ref())
            && same(&self.rule, call.rule.as_ref())
            && (!self.violations || call.rule.is_some())
            && self.since.is_none_or(|since| call.time >= since)
    }
}

pub(super) fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}
