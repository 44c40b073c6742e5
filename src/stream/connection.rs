//! Connections to Redis: one for all commands, one more for each reader.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::{Config, ReconnectPolicy, TcpConfig};
use fred::types::{Builder, ClientState};

use super::commands::older;
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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            command_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(5),
            longest_pause: Duration::from_secs(5),
        }
    }
}

/// The commands of one connection's set-up: PING (or HELLO with a password), CLIENT ID, INFO server. A database number
/// in the URL adds SELECT.
pub(super) const COMMANDS_TO_CONNECT: u64 = 3;

/// A handle on Redis; cheap to clone.
#[derive(Clone)]
pub struct Streams {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) client: Client,
    config: Config,
    options: Options,
    pub(super) meter: Meter,
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
        let client = build(&config, &options)?;
        start(&client, &meter, &config).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                config,
                options,
                meter,
                trim: Mutex::default(),
                unheard: AtomicU32::new(0),
            }),
        })
    }

    pub fn meter(&self) -> &Meter {
        &self.inner.meter
    }

    /// Whether the command connection stands. Costs no command.
    pub fn connected(&self) -> bool {
        self.inner.client.state() == ClientState::Connected
    }

    pub async fn close(&self) {
        self.inner.client.quit().await.ok();
    }

    pub(super) fn command_timeout(&self) -> Duration {
        self.inner.options.command_timeout
    }

    pub(super) fn clustered(&self) -> bool {
        self.inner.config.server.is_clustered()
    }

    /// Another connection of the same kind.
    pub(super) async fn another(&self) -> Result<Client> {
        let client = build(&self.inner.config, &self.inner.options)?;
        start(&client, &self.inner.meter, &self.inner.config).await?;
        Ok(client)
    }

    /// Takes note whether a command was answered.
    pub(super) fn heard<T>(&self, answer: Result<T, fred::error::Error>) -> Result<T> {
        match &answer {
            Err(error) if *error.kind() == ErrorKind::Timeout && self.connected() => {
                if self.inner.unheard.fetch_add(1, Ordering::Relaxed) + 1 == UNHEARD {
                    tokio::spawn(self.clone().reconnect());
                }
            }
            _ => self.inner.unheard.store(0, Ordering::Relaxed),
        }
        Ok(answer?)
    }

    async fn reconnect(self) {
        tracing::warn!("Redis does not answer on the connection for commands: it is replaced");
        let replaced = tokio::time::timeout(self.inner.options.connect_timeout, self.inner.client.force_reconnection());
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

async fn start(client: &Client, meter: &Meter, config: &Config) -> Result<()> {
    let commands = COMMANDS_TO_CONNECT + u64::from(config.database.is_some());
    client.init().await?;
    meter.count(Purpose::Connect, commands);
    let meter = meter.clone();
    client.on_reconnect(move |_| {
        meter.count(Purpose::Connect, commands);
        async { Ok(()) }
    });
    Ok(())
}
