//! How a command ends when it doesn't end well.

use std::process::ExitCode;

use super::embedded::{EmbeddedRedisError, FolderError};
use crate::config::Problem;

/// Exit codes, which scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Failed = 1,
    Usage = 2,
    NothingMatched = 3,
    Unavailable = 69,
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An exit code and the one message that goes with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    /// Each problem is a line of its own.
    pub fn configuration(problems: &[Problem]) -> Self {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Self::new(Exit::Configuration, lines.join("\n"))
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        let exit = if matches!(error, FolderError::Unusable { .. }) { Exit::Configuration } else { Exit::Failed };
        Self::new(exit, error.to_string())
    }
}

impl From<EmbeddedRedisError> for Failure {
    fn from(error: EmbeddedRedisError) -> Self {
        Self::unavailable(error.to_string())
    }
}
