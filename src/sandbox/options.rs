//! What a sandbox is started with. The defaults are the documented values, read strictly; [`Readings`] holds the points
//! on which the documents are silent, so that a client can be tried under each.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::fault::Fault;

/// All durations but a fault's delay run on the sandbox's own clock, see `clock_scale`.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port 0 takes a free one. Anything but a loopback address is refused unless `remote` is set.
    pub listen: SocketAddr,
    /// Allows to listen on an address that other machines reach. The `/sandbox/` routes ask nobody for a password.
    pub remote: bool,
    /// Where the journal and the videos are; made when missing. One sandbox at a time holds it.
    pub folder: PathBuf,
    pub client_key: String,
    pub client_secret: SecretString,
    /// The registered redirect addresses, with `*` for any port; empty takes every well-formed one.
    pub redirect_uris: Vec<String>,
    /// The consent page answers by itself with yes, as the creator of this name.
    pub auto_approve: Option<String>,
    /// Where webhooks are sent to, if anywhere.
    pub webhook_url: Option<Url>,
    /// How many times faster than the wall clock the sandbox's clock runs. `Date` follows it.
    pub clock_scale: f64,
    /// How long an upload URL lives.
    pub url_expiry: Duration,
    pub access_token_lifetime: Duration,
    pub refresh_token_lifetime: Duration,
    /// How long a used refresh token still answers, with the pair that replaced it.
    pub refresh_grace: Duration,
    /// From the last byte to PUBLISH_COMPLETE or FAILED; zero: complete at the first status.
    pub processing: Duration,
    /// From PUBLISH_COMPLETE to the public post id.
    pub moderation: Duration,
    /// An audited app may post publicly and to public accounts.
    pub audited: bool,
    pub limits: Limits,
    pub readings: Readings,
    pub faults: Vec<Fault>,
    /// Whether what must not be forgotten is on the disk, not only in the system's cache, before it is answered.
    pub fsync: bool,
    /// Whether the bytes of a finished post are kept for the page; the record keeps size and hash anyway.
    pub keep_videos: bool,
}

impl Options {
    /// The documented values, on a free loopback port.
    pub fn new(folder: impl Into<PathBuf>, client_key: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            remote: false,
            folder: folder.into(),
            client_key: client_key.into(),
            client_secret: SecretString::from(client_secret.into()),
            redirect_uris: Vec::new(),
            auto_approve: None,
            webhook_url: None,
            clock_scale: 1.0,
            url_expiry: Duration::from_hours(1),
            access_token_lifetime: Duration::from_hours(2),
            refresh_token_lifetime: Duration::from_hours(180 * 24),
            refresh_grace: Duration::ZERO,
            processing: Duration::from_millis(1500),
            moderation: Duration::from_secs(1),
            audited: false,
            limits: Limits::default(),
            readings: Readings::default(),
            faults: Vec::new(),
            fsync: true,
            keep_videos: true,
        }
    }
}

/// The documented limits, all inclusive. Where MB may be 10^6 or 2^20 the defaults hold under both readings.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Calls per creator in any 60 seconds.
    pub init_per_minute: usize,
    pub creator_info_per_minute: usize,
    pub status_per_minute: usize,
    /// Direct Posts per creator in any 24 hours.
    pub posts_per_day: usize,
    /// Creators that may post with an unaudited app in any 24 hours; `None`: no cap.
    pub posting_users: Option<usize>,
    /// Unfinished posts per creator; the documents name it for drafts only, so it is off.
    pub pending: Option<usize>,
    /// Bytes of a chunk that isn't the last.
    pub chunk_min: u64,
    pub chunk_max: u64,
    pub last_chunk_max: u64,
    pub chunk_count: u64,
    pub video_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            init_per_minute: 6,
            creator_info_per_minute: 20,
            status_per_minute: 30,
            posts_per_day: 15,
            posting_users: Some(5),
            pending: None,
            chunk_min: 5_242_880,
            chunk_max: 64_000_000,
            last_chunk_max: 128_000_000,
            chunk_count: 1000,
            video_max: 4_000_000_000,
        }
    }
}

/// How the sandbox behaves where the documents leave it open.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// `Content-Range: bytes 0-N/TOTAL` in answers to a PUT: what N is.
    pub range_answer: RangeAnswer,
    /// A second PUT of a chunk that is stored.
    pub stored_again: StoredAgain,
    /// A PUT after the 201.
    pub after_complete: AfterComplete,
    /// What the status says of an upload that ran out of time.
    pub abandoned: Abandoned,
    /// OAuth refusals come with HTTP 200 instead of 400.
    pub oauth_refusal_is_200: bool,
    /// A refresh also kills the access token it replaces.
    pub refresh_kills_access_token: bool,
    /// A used refresh token that comes back kills its successors too.
    pub reuse_kills_family: bool,
    /// Inits that were never uploaded count toward the daily cap.
    pub orphan_inits_count: bool,
    /// An unaudited app is offered SELF_ONLY alone.
    pub unaudited_sees_self_only: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RangeAnswer {
    #[default]
    Count,
    LastIndex,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StoredAgain {
    /// 416
    #[default]
    Refused,
    /// 206, and the bytes are ignored.
    Accepted,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterComplete {
    /// 404
    #[default]
    NotFound,
    /// 403
    Forbidden,
    /// 416
    RangeNotSatisfiable,
    /// 201 once more; it makes no second post.
    Created,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Abandoned {
    /// PROCESSING_UPLOAD for ever.
    #[default]
    Processing,
    /// FAILED, `internal`.
    Failed,
    /// 400 invalid_publish_id.
    Unknown,
}
