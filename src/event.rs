//! The ids that travel, and the entry that carries them on a stream.
//!
//! An entry holds ids only: what a task is about stands in the ledger, so an entry can be lost, doubled or late
//! without anything being lost, doubled or late.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id. Ids sort by the time at which they were made.
            #[expect(clippy::new_without_default, reason = "every call gives another id")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

ids! {
    /// A video, from upload to post.
    VideoId,
    /// One stage of one video.
    TaskId,
    /// A video's trace: what ties its log lines and spans together, over processes.
    TraceId,
    /// A lease's token. Never used twice.
    LeaseToken,
}

impl TraceId {
    /// As W3C's Trace Context and OpenTelemetry write it.
    pub fn hex(&self) -> String {
        self.0.simple().to_string()
    }
}

/// One that somebody else began.
impl From<Uuid> for TraceId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl VideoId {
    /// Milliseconds since 1970, by the wall clock of the process that made it.
    pub fn made_at(&self) -> i64 {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
        i64::try_from(seconds).unwrap_or(0) * 1000 + i64::from(nanos / 1_000_000)
    }
}

/// What is done to a video. Each stage has at most one task per video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Brand it with FFmpeg. Read from `video.uploaded`.
    Edit,
    /// Hand its bytes to TikTok. Read from `video.edited`.
    Publish,
    /// Ask TikTok what became of it. Taken from the ledger by due time, never from a stream.
    Confirm,
}

impl Stage {
    pub const ALL: [Stage; 3] = [Stage::Edit, Stage::Publish, Stage::Confirm];
    /// The stages whose tasks are handed out by Redis.
    pub const STREAMED: [Stage; 2] = [Stage::Edit, Stage::Publish];

    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Edit => "edit",
            Stage::Publish => "publish",
            Stage::Confirm => "confirm",
        }
    }

    /// The stage whose settlement makes this one's tasks, one at a time, and appends them.
    pub fn fed_by(self) -> Option<Stage> {
        match self {
            Stage::Publish => Some(Stage::Edit),
            Stage::Edit | Stage::Confirm => None,
        }
    }

    /// The stream this stage's tasks are released to, and the name of the group that reads it is the stage's own.
    pub fn stream(self) -> Option<&'static str> {
        match self {
            Stage::Edit => Some("video.uploaded"),
            Stage::Publish => Some("video.edited"),
            Stage::Confirm => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is no stage; a stage is edit, publish or confirm")]
pub struct UnknownStage(String);

impl FromStr for Stage {
    type Err = UnknownStage;
    fn from_str(text: &str) -> Result<Self, UnknownStage> {
        Stage::ALL.into_iter().find(|stage| stage.as_str() == text).ok_or_else(|| UnknownStage(text.to_owned()))
    }
}

/// What stands on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub task: TaskId,
    pub video: VideoId,
    pub trace: TraceId,
}

/// Why the fields of a stream entry are none of ours.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Undecodable {
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    #[error("the field `{0}` is not an id")]
    NotAnId(&'static str),
}

impl Entry {
    pub fn fields(&self) -> [(&'static str, String); 3] {
        [("task", self.task.to_string()), ("video", self.video.to_string()), ("trace", self.trace.to_string())]
    }

    pub fn decode(fields: &HashMap<String, String>) -> Result<Self, Undecodable> {
        fn id<T: FromStr>(fields: &HashMap<String, String>, name: &'static str) -> Result<T, Undecodable> {
            let text = fields.get(name).ok_or(Undecodable::Missing(name))?;
            text.parse().map_err(|_| Undecodable::NotAnId(name))
        }
        Ok(Self { task: id(fields, "task")?, video: id(fields, "video")?, trace: id(fields, "trace")? })
    }
}
