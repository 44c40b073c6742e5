//! Connections to Redis: one for all commands, one more for each reader.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy, TcpConfig};

use super::commands::{names, older};
use super::line::Line;
use super::quota::Quota;
use super::{Meter, Purpose, Result, StreamError};
use crate::event::Stage;

#[derive(Debug, Clone)]
pub struct Options {
    /// How long a command may take. The ledger doubts an append only after more than this.
    pub command_timeout: Duration,
    /// How long an attempt to connect may take.
    pub connect_timeout: Duration,
    /// The longest pause between two attempts to connect.
    pub longest_pause: Duration,
    /// While the quota is used up: the first and the longest pause between two questions whether it still is.
    pub quota_pauses: (Duration, Duration),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            command_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(5),
            longest_pause: Duration::from_secs(5),
            quota_pauses: (Duration::from_secs(20), Duration::from_secs(300)),
        }
    }
}

/// A handle on Redis; cheap to clone.
#[derive(Clone)]
pub struct Streams {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    line: Line,
    config: Config,
    options: Options,
    meter: Meter,
    pub(super) quota: Arc<Quota>,
    /// False once Redis has refused to wake a reader: some know no CLIENT UNBLOCK.
    pub(super) unblocks: AtomicBool,
    trim: Mutex<[Trim; 2]>,
    /// Commands in a row that got no answer on a connection that seems to stand.
    unheard: AtomicU32,
}

/// After so many the connection is replaced: a peer that is gone without a word is not noticed otherwise.
const UNHEARD: u32 = 3;

/// How far a stream may be trimmed, as far as is known.
#[derive(Default)]
struct Trim {
    below: Option<String>,
    /// The entry that was appended last.
    last: Option<String>,
}

impl Streams {
    /// Connects, or says at once why it can't. The URL's scheme was checked by `config`.
    pub async fn connect(url: &str, options: Options, meter: Meter) -> Result<Self> {
        let mut config = Config::from_url(url).map_err(|error| StreamError::Rejected(error.details().to_owned()))?;
        // A first connection fails at once; later ones are tried again for ever.
        config.fail_fast = true;
        let quota = Arc::new(Quota::new(options.quota_pauses.0, options.quota_pauses.1));
        let line = Line::new(build(&config, &options)?, meter.clone(), quota.clone());
        match line.ready().await {
            // A process that starts while the quota is used up waits like those that run.
            Ok(_) | Err(StreamError::QuotaExceeded(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            inner: Arc::new(Inner {
                line,
                config,
                options,
                meter,
                quota,
                unblocks: AtomicBool::new(true),
                trim: Mutex::default(),
                unheard: AtomicU32::new(0),
            }),
        })
    }

    pub fn meter(&self) -> &Meter {
        &self.inner.meter
    }

    /// Whether the command connection stands, and commands are taken on it. Costs no command.
    pub fn connected(&self) -> bool {
        self.inner.line.stands() && self.over_quota().is_none()
    }

    /// While the plan's commands are used up: what Redis said. Nothing is sent then, see [`Streams::ask_again`].
    pub fn over_quota(&self) -> Option<String> {
        self.inner.quota.over()
    }

    /// While the quota is used up: finds out now and then whether it still is, with one command. To be called by loops
    /// that have nothing better to do; at other times it does nothing.
    pub async fn ask_again(&self) {
        if !self.inner.quota.may_ask() {
            return;
        }
        let asked = async {
            let client = self.inner.line.ready().await?;
            self.inner.meter.count(Purpose::Look, 1);
            Ok::<u64, StreamError>(client.xlen(names(Stage::Edit)?.0).await?)
        };
        match asked.await {
            Err(StreamError::QuotaExceeded(_) | StreamError::Unavailable(_)) => {}
            Ok(_) | Err(_) => self.inner.quota.end(),
        }
    }

    /// The way to send so many commands: they are counted, and refused here while the quota is used up.
    pub(super) async fn client(&self, purpose: Purpose, commands: u64) -> Result<Client> {
        self.client_on(&self.inner.line, purpose, commands).await
    }

    /// The same, on a line of one's own.
    pub(super) async fn client_on(&self, line: &Line, purpose: Purpose, commands: u64) -> Result<Client> {
        self.inner.quota.open()?;
        let client = line.ready().await?;
        self.inner.meter.count(purpose, commands);
        Ok(client)
    }

    pub async fn close(&self) {
        self.inner.line.close().await;
    }

    pub(super) fn command_timeout(&self) -> Duration {
        self.inner.options.command_timeout
    }

    pub(super) fn clustered(&self) -> bool {
        self.inner.config.server.is_clustered()
    }

    /// Another connection of the same kind.
    pub(super) async fn another(&self) -> Result<Line> {
        self.inner.quota.open()?;
        let client = build(&self.inner.config, &self.inner.options)?;
        let line = Line::new(client, self.inner.meter.clone(), self.inner.quota.clone());
        line.ready().await?;
        Ok(line)
    }

    /// Takes note whether a command on the connection for commands was answered, and how.
    pub(super) fn heard<T>(&self, answer: Result<T, fred::error::Error>) -> Result<T> {
        match &answer {
            Err(error) if *error.kind() == ErrorKind::Timeout && self.inner.line.stands() => {
                if self.inner.unheard.fetch_add(1, Ordering::Relaxed) + 1 == UNHEARD {
                    tokio::spawn(self.clone().reconnect());
                }
            }
            _ => self.inner.unheard.store(0, Ordering::Relaxed),
        }
        let answer = answer.map_err(StreamError::from);
        self.inner.quota.heard(&answer);
        answer
    }

    async fn reconnect(self) {
        tracing::warn!("Redis does not answer on the connection for commands: it is replaced");
        let client = self.inner.line.client();
        let replaced = tokio::time::timeout(self.inner.options.connect_timeout, client.force_reconnection());
        if !matches!(replaced.await, Ok(Ok(()))) {
            tracing::warn!("the connection for commands can't be replaced yet; Redis is still tried");
        }
        self.inner.unheard.store(0, Ordering::Relaxed);
    }

    /// Below this id nothing on the stage's stream is live: the next append may trim there.
    pub fn may_trim(&self, stage: Stage, below: Option<String>) {
        self.trims()[slot(stage)].below = below;
    }

    pub(super) fn appended(&self, stage: Stage, id: &str) {
        self.trims()[slot(stage)].last = Some(id.to_owned());
    }

    /// The bound, if the stream's own ids have passed it. A Redis that was replaced by one whose clock is behind gives
    /// ids below it: trimming there would take what was just appended.
    pub(super) fn trim_bound(&self, stage: Stage) -> Option<String> {
        let trim = &self.trims()[slot(stage)];
        let (below, last) = (trim.below.as_ref()?, trim.last.as_ref()?);
        older(below, last).then(|| below.clone())
    }

    fn trims(&self) -> std::sync::MutexGuard<'_, [Trim; 2]> {
        self.inner.trim.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn slot(stage: Stage) -> usize {
    usize::from(stage != Stage::Edit)
}

fn build(config: &Config, options: &Options) -> Result<Client> {
    let clustered = config.server.is_clustered();
    let longest_pause = u32::try_from(options.longest_pause.as_millis()).unwrap_or(5_000);
    Ok(Builder::from_config(config.clone())
        .with_connection_config(|connection| {
            connection.connection_timeout = options.connect_timeout;
            connection.internal_command_timeout = options.connect_timeout;
            connection.max_command_attempts = 1;
            connection.disable_cluster_health_check = !clustered;
            // A bounded buffer: while Redis is away, calls fail in bounded time and memory stays flat.
            connection.max_command_buffer_len = 10_000;
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        })
        .with_performance_config(|performance| performance.default_command_timeout = options.command_timeout)
        // With jitter by fred; 0 attempts means for ever.
        .set_policy(ReconnectPolicy::new_exponential(0, 100, longest_pause, 2))
        .build()?)
}
