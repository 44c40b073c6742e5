//! Where log lines go.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Sends log lines to stderr from here on. A second call changes nothing.
pub fn log_to_stderr(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only a subscriber that is there already makes it fail.
    match config.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init().ok(),
        LogFormat::Json => builder.json().try_init().ok(),
    };
}
