//! Starting with services that are not there yet: tried with growing pauses, but not for ever.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Failure;
use crate::app::Exit;
use crate::ledger::{ConnectError, LedgerError};
use crate::media::MediaError;
use crate::outcome::backoff;
use crate::stream::StreamError;

/// How long a service may be away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// At a start: its machine may be starting, too.
    Start,
    /// Who asks wants to know how it is now.
    Now,
}

impl Patience {
    fn long(self) -> Duration {
        match self {
            Patience::Start => Duration::from_secs(30),
            Patience::Now => Duration::ZERO,
        }
    }
}

/// How long a single attempt may take for one who is in a hurry.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Why an attempt failed.
pub(super) enum Refusal {
    /// Doesn't resolve, refuses or is silent: worth another try.
    Away(String),
    /// Wrong password, certificate or protocol: waiting changes nothing.
    Wrong(String),
    /// It is there, and something is wrong with what it holds or does.
    Broken(String),
}

/// `what` names the service and its setting, as in "Redis (REDIS_URL)"; `shown` is its address without secrets.
pub(super) async fn connected<T, F>(
    what: &str,
    shown: &str,
    patience: Patience,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let deadline = Instant::now() + patience.long();
    let least = if patience == Patience::Now { ATTEMPT } else { Duration::from_secs(1) };
    let mut tries = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let refusal = match tokio::time::timeout(left.max(least), attempt()).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(refusal)) => refusal,
            Err(_) => Refusal::Away("it does not answer".to_owned()),
        };
        match refusal {
            Refusal::Wrong(text) => {
                let text = text.trim_end_matches('.');
                let message = format!("{what} at {shown}: {text}; correct the setting and start again");
                return Err(Failure::new(Exit::Configuration, message));
            }
            Refusal::Broken(text) => return Err(Failure::failed(format!("{what} at {shown}: {text}"))),
            Refusal::Away(text) if patience == Patience::Now => {
                let text = text.trim_end_matches('.');
                let message = format!("{what} at {shown} can't be reached: {text}; start it, or correct the setting");
                return Err(Failure::unavailable(message));
            }
            Refusal::Away(text) => {
                tries += 1;
                let pause = backoff(Duration::from_millis(250), Duration::from_secs(5), tries, rand::random());
                if Instant::now() + pause >= deadline {
                    let message = format!(
                        "{what} at {shown} can't be reached: {text}; tried for {} s. Start it, or correct the setting",
                        patience.long().as_secs()
                    );
                    return Err(Failure::unavailable(message));
                }
                if tries == 1 {
                    tracing::info!(
                        "{what} at {shown} can't be reached yet ({text}); trying for {} s",
                        patience.long().as_secs()
                    );
                }
                sleep(pause).await;
            }
        }
    }
}

impl From<ConnectError> for Refusal {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unreachable(text) => Self::Away(text),
            ConnectError::Rejected(_) | ConnectError::Migration(_) | ConnectError::Newer(_) => {
                Self::Wrong(error.to_string())
            }
        }
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable(_) => Self::Away(error.to_string()),
            LedgerError::Refused(_) | LedgerError::Conflict | LedgerError::Corrupt(_) => {
                Self::Broken(error.to_string())
            }
        }
    }
}

impl From<StreamError> for Refusal {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Unavailable(text) | StreamError::Replica(text) => Self::Away(text),
            StreamError::QuotaExceeded(_) | StreamError::NoGroup => Self::Away(error.to_string()),
            StreamError::Rejected(_) | StreamError::Refused(_) => Self::Wrong(error.to_string()),
        }
    }
}

impl From<MediaError> for Refusal {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Unavailable(_) | MediaError::Full | MediaError::NoRoom(_) => Self::Away(error.to_string()),
            MediaError::Refused(_) | MediaError::Missing(_) | MediaError::Exists(_) => Self::Wrong(error.to_string()),
        }
    }
}
