//! Redis: the two streams on which due tasks are handed out, and the life of an entry.
//!
//! An entry is appended once its task is committed as `queued` ([`Streams::append`]), read by one consumer of the
//! stage's group ([`Reader`]), lies in that consumer's pending list while it is worked on, and is acknowledged when the
//! ledger knows what became of it ([`Streams::acknowledge`]). Entries whose consumer died are seen with
//! [`Streams::pending`] and taken over with [`Streams::claim`]. Nothing here is the truth: a lost, doubled or late entry
//! is the ledger's to judge.
//!
//! Every command is sent once (`max_attempts` 1): a repeated XADD doubles an entry, a repeated XREADGROUP skips some.
//! Every command is counted where it is sent ([`Meter`]). A blocking read has a connection of its own.

mod cluster;
mod commands;
mod connection;
mod info;
mod line;
mod link;
mod meter;
mod quota;
mod reader;
mod reply;
mod tls;

use std::collections::HashMap;

pub use connection::{Options, Streams};
pub use info::{ConsumerInfo, GroupInfo, Server, StreamInfo};
pub use meter::{Meter, Purpose};
pub use reader::{Reader, Reading, Woken};

use crate::event::{Entry, Undecodable};

/// An entry as a consumer got it.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: String,
    pub content: Content,
}

#[derive(Debug, Clone)]
pub enum Content {
    Entry(Entry),
    /// None of ours; the fields are kept to be looked at.
    Undecodable {
        reason: Undecodable,
        fields: HashMap<String, String>,
    },
    /// Pending, but trimmed or deleted from the stream.
    Gone,
}

/// One line of the pending list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub id: String,
    pub consumer: String,
    pub idle_ms: u64,
    pub deliveries: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("Redis is not available: {0}")]
    Unavailable(String),
    /// What we speak to has become a replica: the primary answers on a new connection.
    #[error("Redis has become a replica: {0}")]
    Replica(String),
    /// The group or the stream is gone: Redis was wiped.
    #[error("the stream's group is gone")]
    NoGroup,
    /// The plan's command cap is used up.
    #[error("Redis' command quota is used up: {0}")]
    QuotaExceeded(String),
    /// Wrong password, wrong protocol, wrong certificate: won't change by waiting.
    #[error("Redis refused the connection: {0}")]
    Rejected(String),
    #[error("Redis refused a command: {0}")]
    Refused(String),
}

const ONE_OF_A_CLUSTER: &str = "it is a node of a Redis Cluster, which has the two streams on different nodes; \
    expected a URL that begins with redis-cluster:// (rediss-cluster:// with TLS)";

/// What people can read of an error of the operating system, which fred hands on in Rust's debug form:
/// `Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }`.
fn plain(details: &str) -> String {
    let quoted = |from: &str| {
        let (_, rest) = details.split_once(from)?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    match details {
        _ if details.starts_with("Os {") => quoted("message: \""),
        _ if details.starts_with("Custom {") => quoted("error: \""),
        _ => None,
    }
    .unwrap_or_else(|| details.to_owned())
}

impl From<fred::error::Error> for StreamError {
    fn from(error: fred::error::Error) -> Self {
        use fred::error::ErrorKind;
        let text = plain(error.details());
        if let Some(refused) = tls::refusal(&text) {
            return Self::Rejected(refused);
        }
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
        if text.starts_with("MOVED ") {
            return Self::Rejected(ONE_OF_A_CLUSTER.to_owned());
        }
        if starts(&["READONLY"]) || (starts(&["UNBLOCKED"]) && text.contains("instance state changed")) {
            return Self::Replica(text);
        }
        if starts(&["NOGROUP", "UNBLOCKED"]) {
            return Self::NoGroup;
        }
        if text.contains("max requests limit exceeded") || text.contains("max daily request limit exceeded") {
            return Self::QuotaExceeded(text);
        }
        if starts(&["WRONGPASS", "NOAUTH", "NOPERM", "ERR invalid password", "ERR AUTH", "ERR Client sent AUTH"]) {
            return Self::Rejected(text);
        }
        if starts(&[
            "ERR DB capacity quota exceeded",
            "ERR max concurrent connections exceeded",
            "LOADING",
            "OOM",
            "MASTERDOWN",
            "CLUSTERDOWN",
            "MISCONF",
            "BUSY ",
            "TRYAGAIN",
            "ASK ",
            "NOREPLICAS",
            // fred's own, when a connection breaks again and again under a command.
            "Too many failed write attempts",
            "Failed to route command",
        ]) {
            return Self::Unavailable(text);
        }
        // fred's own words for a command whose connection was lost under it.
        if starts(&["Failed to route command", "Too many failed write attempts"]) {
            return Self::Unavailable(text);
        }
        match error.kind() {
            ErrorKind::Auth | ErrorKind::Tls | ErrorKind::Config | ErrorKind::Url => Self::Rejected(text),
            ErrorKind::IO
            | ErrorKind::Timeout
            | ErrorKind::Canceled
            | ErrorKind::Backpressure
            | ErrorKind::Routing
            | ErrorKind::Cluster => Self::Unavailable(text),
            ErrorKind::Protocol => Self::Rejected(format!("the answer is not Redis' protocol: {text}")),
            _ => Self::Refused(text),
        }
    }
}

impl StreamError {
    /// One line of what could not be done, unless the lines on Redis' outage say it already.
    pub fn tell(&self, what: &str) {
        match self {
            Self::Unavailable(_) | Self::Replica(_) | Self::QuotaExceeded(_) => {
                tracing::debug!(error = %self, "{what}");
            }
            // A right that is missing for one command is no outage, and nothing else would tell of it.
            Self::NoGroup | Self::Rejected(_) | Self::Refused(_) => tracing::warn!(error = %self, "{what}"),
        }
    }
}

pub type Result<T, E = StreamError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_operating_system_read_as_people_write_them() {
        for (details, said) in [
            (r#"Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }"#, "Connection refused"),
            (r#"Custom { kind: Uncategorized, error: "failed to look up" }"#, "failed to look up"),
            ("WRONGPASS invalid username-password pair", "WRONGPASS invalid username-password pair"),
            ("Os { odd", "Os { odd"),
        ] {
            assert_eq!(plain(details), said);
        }
    }
}
