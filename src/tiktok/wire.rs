//! What TikTok sends and takes, as types. Spellings are TikTok's; both of them where its pages disagree.

use secrecy::SecretString;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

/// The envelope's `error`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "ApiErrorSpelt")]
pub struct ApiError {
    pub code: String,
    pub message: String,
    pub log_id: Option<String>,
}

/// With both spellings, which may come together: an alias would refuse that.
#[derive(Deserialize)]
struct ApiErrorSpelt {
    #[serde(default, deserialize_with = "or_default")]
    code: String,
    #[serde(default, deserialize_with = "or_default")]
    message: String,
    #[serde(default)]
    log_id: serde_json::Value,
    #[serde(default)]
    logid: serde_json::Value,
}

impl From<ApiErrorSpelt> for ApiError {
    fn from(spelt: ApiErrorSpelt) -> Self {
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Self { code: spelt.code, message: spelt.message, log_id: text(spelt.log_id).or_else(|| text(spelt.logid)) }
    }
}

/// Null is as good as missing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The envelope. `data` may be missing, empty or null when `error.code` is not `ok`.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    #[serde(default)]
    pub(super) data: serde_json::Value,
    pub(super) error: ApiError,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatorInfo {
    #[serde(default, deserialize_with = "or_default")]
    pub creator_avatar_url: String,
    #[serde(default, deserialize_with = "or_default")]
    pub creator_username: String,
    #[serde(default, deserialize_with = "or_default")]
    pub creator_nickname: String,
    #[serde(default, deserialize_with = "or_default")]
    pub privacy_level_options: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub comment_disabled: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub duet_disabled: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub stitch_disabled: bool,
    /// Absent: not known, so no limit of ours.
    #[serde(default)]
    pub max_video_post_duration_sec: Option<u32>,
}

/// How the post is to look. `title` has at most 2200 UTF-16 units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostInfo {
    pub title: String,
    pub privacy_level: String,
    pub disable_duet: bool,
    pub disable_comment: bool,
    pub disable_stitch: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub video_cover_timestamp_ms: Option<i32>,
    pub brand_content_toggle: bool,
    pub brand_organic_toggle: bool,
    pub is_aigc: bool,
}

/// FILE_UPLOAD only: with PULL_FROM_URL TikTok starts at init, and a lost answer would be a second post.
#[derive(Debug, Serialize)]
pub(super) struct SourceInfo {
    pub(super) source: &'static str,
    pub(super) video_size: u64,
    pub(super) chunk_size: u64,
    pub(super) total_chunk_count: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct InitRequest<'a> {
    pub(super) post_info: &'a PostInfo,
    pub(super) source_info: SourceInfo,
}

#[derive(Deserialize)]
pub(super) struct InitData {
    pub(super) publish_id: String,
    pub(super) upload_url: String,
}

/// `status` of a publish id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusKind {
    /// Bytes are missing, or all are in and being processed.
    ProcessingUpload,
    ProcessingDownload,
    SendToUserInbox,
    PublishComplete,
    Failed,
    /// New to us: keep asking.
    Unknown(String),
}

impl StatusKind {
    pub fn as_str(&self) -> &str {
        match self {
            StatusKind::ProcessingUpload => "PROCESSING_UPLOAD",
            StatusKind::ProcessingDownload => "PROCESSING_DOWNLOAD",
            StatusKind::SendToUserInbox => "SEND_TO_USER_INBOX",
            StatusKind::PublishComplete => "PUBLISH_COMPLETE",
            StatusKind::Failed => "FAILED",
            StatusKind::Unknown(text) => text,
        }
    }
}

impl<'de> Deserialize<'de> for StatusKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "PROCESSING_UPLOAD" => StatusKind::ProcessingUpload,
            "PROCESSING_DOWNLOAD" => StatusKind::ProcessingDownload,
            "SEND_TO_USER_INBOX" => StatusKind::SendToUserInbox,
            "PUBLISH_COMPLETE" => StatusKind::PublishComplete,
            "FAILED" => StatusKind::Failed,
            _ => StatusKind::Unknown(text),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "PostStatusSpelt")]
pub struct PostStatus {
    pub status: StatusKind,
    pub fail_reason: Option<String>,
    /// Text, whatever TikTok sent: a float would lose digits.
    pub post_ids: Vec<String>,
    /// A count. Missing is not zero.
    pub uploaded_bytes: Option<u64>,
}

/// With both spellings, which may come together.
#[derive(Deserialize)]
struct PostStatusSpelt {
    status: StatusKind,
    #[serde(default)]
    fail_reason: Option<String>,
    #[serde(default, deserialize_with = "post_ids")]
    publicaly_available_post_id: Vec<String>,
    #[serde(default, deserialize_with = "post_ids")]
    publicly_available_post_id: Vec<String>,
    #[serde(default)]
    uploaded_bytes: Option<u64>,
}

impl From<PostStatusSpelt> for PostStatus {
    fn from(spelt: PostStatusSpelt) -> Self {
        let (first, second) = (spelt.publicaly_available_post_id, spelt.publicly_available_post_id);
        Self {
            status: spelt.status,
            fail_reason: spelt.fail_reason,
            post_ids: if first.is_empty() { second } else { first },
            uploaded_bytes: spelt.uploaded_bytes,
        }
    }
}

fn post_ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    fn one<E: de::Error>(value: serde_json::Value) -> Result<Option<String>, E> {
        match value {
            serde_json::Value::Null => Ok(None),
            serde_json::Value::String(text) if text.is_empty() => Ok(None),
            serde_json::Value::String(text) => Ok(Some(text)),
            serde_json::Value::Number(number) if number.is_i64() || number.is_u64() => Ok(Some(number.to_string())),
            other => Err(E::custom(format!("{other} is no post id"))),
        }
    }
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Array(ids) => ids.into_iter().filter_map(|id| one(id).transpose()).collect(),
        single => Ok(one(single)?.into_iter().collect()),
    }
}

/// A token pair. Lifetimes are seconds, and only these count: TikTok's pages disagree about them.
#[derive(Debug, Clone, Deserialize)]
pub struct Tokens {
    pub access_token: SecretString,
    /// Absent or empty: TikTok did not rotate it; keep the one you have.
    #[serde(default, deserialize_with = "not_empty")]
    pub refresh_token: Option<SecretString>,
    #[serde(default)]
    pub expires_in: Option<i64>,
    #[serde(default)]
    pub refresh_expires_in: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    pub open_id: String,
    /// Comma separated: what the person really granted.
    #[serde(default, deserialize_with = "or_default")]
    pub scope: String,
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(SecretString::from))
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UserInfo {
    pub open_id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub display_name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub avatar_url: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn post_ids_are_text_in_either_spelling_and_never_a_float() {
        let read = |json: &str| serde_json::from_str::<PostStatus>(json);
        let many = read(r#"{"status":"PUBLISH_COMPLETE","publicaly_available_post_id":[7527234567890123456,"81"]}"#);
        assert_eq!(many.unwrap().post_ids, ["7527234567890123456", "81"]);
        let other = read(r#"{"status":"PUBLISH_COMPLETE","publicly_available_post_id":["9"]}"#);
        assert_eq!(other.unwrap().post_ids, ["9"]);
        assert!(read(r#"{"status":"PUBLISH_COMPLETE","publicaly_available_post_id":[7.5e18]}"#).is_err());
        assert!(read(r#"{"status":"PROCESSING_UPLOAD"}"#).unwrap().post_ids.is_empty());
    }

    #[test]
    fn both_spellings_may_come_together_and_null_is_as_good_as_missing() {
        let both = r#"{"status":"PUBLISH_COMPLETE","fail_reason":null,"uploaded_bytes":null,
            "publicaly_available_post_id":null,"publicly_available_post_id":["9"]}"#;
        assert_eq!(serde_json::from_str::<PostStatus>(both).unwrap().post_ids, ["9"]);
        let error = r#"{"code":"ok","message":null,"log_id":"L1","logid":"L1"}"#;
        let error: ApiError = serde_json::from_str(error).unwrap();
        assert_eq!((error.code.as_str(), error.log_id.as_deref()), ("ok", Some("L1")));
        let creator = r#"{"creator_avatar_url":null,"privacy_level_options":null,"duet_disabled":null}"#;
        assert!(serde_json::from_str::<CreatorInfo>(creator).unwrap().privacy_level_options.is_empty());
    }

    #[test]
    fn an_unknown_status_is_kept_as_it_came() {
        let status: PostStatus = serde_json::from_str(r#"{"status":"UNDER_REVIEW","uploaded_bytes":5}"#).unwrap();
        assert_eq!(status.status, StatusKind::Unknown("UNDER_REVIEW".to_owned()));
        assert_eq!(status.uploaded_bytes, Some(5));
    }
}
