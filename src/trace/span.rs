//! A span, before it has a form.

use sha2::{Digest, Sha256};

use crate::event::{Stage, TraceId, VideoId};

/// Eight bytes, never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

impl SpanId {
    /// The same for whoever tells of the same thing.
    fn of(video: VideoId, what: &str) -> Self {
        let hash = Sha256::digest(format!("{video} {what}"));
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        id[0] |= u8::from(id == [0; 8]);
        Self(id)
    }

    /// The root of a video's trace.
    pub fn upload(video: VideoId) -> Self {
        Self::of(video, "upload")
    }

    /// `began` is the time of its lease.
    pub fn run(video: VideoId, stage: Stage, began: i64) -> Self {
        Self::of(video, &format!("run {stage} {began}"))
    }

    pub(super) fn wait(video: VideoId, since: i64) -> Self {
        Self::of(video, &format!("wait {since}"))
    }

    /// Of what is told once, by one process.
    pub fn random() -> Self {
        Self(rand::random::<[u8; 8]>().map(|byte| byte.max(1)))
    }
}

/// As OpenTelemetry's `SpanKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Internal = 1,
    /// Answers a request.
    Server = 2,
    /// Asks somebody else's server.
    Client = 3,
    /// Works on what was handed out by a stream.
    Consumer = 5,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(i64),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// Times are microseconds on the ledger's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub trace: TraceId,
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub name: String,
    pub kind: Kind,
    pub start: i64,
    pub end: i64,
    pub attributes: Vec<(&'static str, Value)>,
    /// What went wrong, where something did.
    pub error: Option<String>,
}
