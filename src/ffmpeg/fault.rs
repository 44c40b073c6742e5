//! How a run can go wrong, by who is to blame.

use std::io;

use crate::outcome::Reason;

/// Codes of `Refused`: `empty`, `too_large`, `too_long`, `not_a_video`, `playlist`, `no_video_stream`, `truncated`,
/// `external_reference`, `too_many_pixels`, `unsupported_codec`, `undecodable`, `edited_too_large`,
/// `watermark_missing`, `watermark_invalid`. Of `Failed`: `ffmpeg_failed`, `ffmpeg_killed`, `ffmpeg_crashed`,
/// `ffmpeg_memory`, `ffmpeg_stalled`, `ffmpeg_timeout`, `result_invalid`. Of `Environment`: `disk_full`,
/// `ffmpeg_missing`, `io`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A permanent fault of the video or of what comes with it.
    #[error("{}", .0.text)]
    Refused(Reason),
    /// This run failed; another may not.
    #[error("{}", .0.text)]
    Failed(Reason),
    /// Ended because it was asked to; nothing runs any more.
    #[error("canceled")]
    Canceled,
    /// The machine's fault: a full disk, a tool that is gone. No attempt of the video's.
    #[error("{}", .0.text)]
    Environment(Reason),
}

impl Fault {
    pub(super) fn refused(code: &str, text: impl Into<String>) -> Self {
        Self::Refused(Reason::new(code, text))
    }

    pub(super) fn failed(code: &str, text: impl Into<String>) -> Self {
        Self::Failed(Reason::new(code, text))
    }

    pub(super) fn environment(code: &str, text: impl Into<String>) -> Self {
        Self::Environment(Reason::new(code, text))
    }

    /// An error of ours on a local file: `doing` says what was being done. Carries no path.
    pub(super) fn io(doing: &str, error: &io::Error) -> Self {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let code = if full { "disk_full" } else { "io" };
        Self::environment(code, format!("{doing}: {}", error.kind()))
    }

    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Refused(reason) | Self::Failed(reason) | Self::Environment(reason) => Some(reason),
            Self::Canceled => None,
        }
    }
}
