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
use crate::outage::Outage;

#[derive(Debug, Clone)]
pub struct Options {
    /// How long a command may take. The ledger doubts an append only after more than this.
    pub command_timeout: Duration,
    /// How long an attempt to connect may take.
    pub connect_timeout: Duration,
    /// The longest pause between two attempts to connect, without its jitter. An attempt and a pause together stay well
    /// below the ten seconds in which everything moves again when Redis is back.
    pub longest_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            command_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(3),
            longest_pause: Duration::from_secs(3),
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
    link: Arc<Outage>,
    pub(super) appending: Outage,
}

/// The first pause between two attempts to connect, and what is added to each at random, so that a fleet doesn't come back
/// all at once. Milliseconds.
const FIRST_PAUSE: u32 = 100;
const JITTER: u32 = 1_000;

/// After so many the connection is replaced: a peer that is gone without a word is not noticed otherwise.
const UNHEARD: u32 = 3;

/// For how long a failed append speaks against Redis in a process that appends nothing more.
const RECENT: Duration = Duration::from_secs(60);

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
        let link = Arc::new(Outage::of("the connection to Redis"));
        watch(&client, &link);
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                config,
                options,
                meter,
                trim: Mutex::default(),
                unheard: AtomicU32::new(0),
                link,
                appending: Outage::of("appending to Redis"),
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

    /// Why Redis can't be used right now, as far as is known. Costs no command.
    pub fn trouble(&self) -> Option<String> {
        let full = || self.inner.appending.why().filter(|_| self.inner.appending.calm_for() < RECENT);
        let lost = || (!self.connected()).then(|| "Redis is not available: the connection is lost".to_owned());
        self.inner.link.why().or_else(full).or_else(lost)
    }

    /// Whether the last append failed: another one is a probe.
    pub fn appends_fail(&self) -> bool {
        self.inner.appending.why().is_some()
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
        let silent = matches!(&answer, Err(error) if *error.kind() == ErrorKind::Timeout && self.connected());
        let answer = answer.map_err(StreamError::from);
        // A replica answers well enough, and would for ever.
        let useless = if matches!(answer, Err(StreamError::Replica(_))) { UNHEARD } else { u32::from(silent) };
        if useless == 0 {
            self.inner.unheard.store(0, Ordering::Relaxed);
        } else {
            let before = self.inner.unheard.fetch_add(useless, Ordering::Relaxed);
            if before < UNHEARD && before + useless >= UNHEARD {
                tokio::spawn(self.clone().reconnect());
            }
        }
        answer
    }

    async fn reconnect(self) {
        self.inner.link.failed(&"Redis does not answer, or is a replica: the connection is replaced");
        let replaced = tokio::time::timeout(self.inner.options.connect_timeout, self.inner.client.force_reconnection());
        if matches!(replaced.await, Ok(Ok(()))) {
            self.inner.link.worked();
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
    let longest_pause = u32::try_from(options.longest_pause.as_millis()).unwrap_or(3_000);
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
        .set_policy(pauses(longest_pause))
        .build()?)
}

/// 0 attempts means for ever.
fn pauses(longest: u32) -> ReconnectPolicy {
    let mut policy = ReconnectPolicy::new_exponential(0, FIRST_PAUSE, longest, 2);
    policy.set_jitter(JITTER.min(longest));
    policy
}

/// Each attempt to connect that fails, and the one that succeeds.
fn watch(client: &Client, outage: &Arc<Outage>) {
    let (failing, working) = (outage.clone(), outage.clone());
    client.on_error(move |(error, _)| {
        note::<()>(&failing, &Err(error.into()));
        async { Ok(()) }
    });
    client.on_reconnect(move |_| {
        working.worked();
        async { Ok(()) }
    });
}

/// Takes note of an answer that says whether Redis can be used.
pub(super) fn note<T>(outage: &Outage, answer: &Result<T>) {
    match answer {
        Ok(_) => outage.worked(),
        Err(error @ (StreamError::Rejected(_) | StreamError::QuotaExceeded(_))) => outage.refused(error),
        Err(error @ (StreamError::Unavailable(_) | StreamError::Replica(_))) => outage.failed(error),
        Err(StreamError::NoGroup | StreamError::Refused(_)) => {}
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_to_connect_are_bounded_and_jittered_and_none_is_far_from_the_next() {
        let longest = u32::try_from(Options::default().longest_pause.as_millis()).unwrap();
        let schedule = |attempts: usize| {
            let mut policy = pauses(longest);
            (0..attempts).map(|_| policy.next_delay().expect("tried for ever")).collect::<Vec<_>>()
        };
        let pauses = schedule(2_000);
        let longest = u64::from(longest + JITTER);
        assert!(pauses.iter().all(|pause| (u64::from(FIRST_PAUSE)..longest).contains(pause)), "{pauses:?}");
        assert!(Duration::from_millis(longest) + Options::default().connect_timeout < Duration::from_secs(9));
        let mut hour = 3_600_000;
        let in_an_hour = pauses.iter().take_while(|pause| {
            hour -= i64::try_from(**pause).unwrap();
            hour > 0
        });
        assert!(in_an_hour.count() <= 1_210);
        assert_ne!(schedule(20), schedule(20), "no two processes come back in step");
    }
}
