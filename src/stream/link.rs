//! One connection to Redis, and how a command goes over it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientInterface, ClientLike, EventInterface};
use fred::types::config::{Config, ReconnectPolicy, Server, ServerConfig, TcpConfig};
use fred::types::{Builder, ClientState};

use super::cluster::Route;
use super::{Meter, Options, Purpose, Result, StreamError};
use crate::outage::Outage;

/// The commands of one connection's set-up: PING (or AUTH with a password), CLIENT ID, INFO server. A database number in
/// the URL adds SELECT.
const COMMANDS_TO_CONNECT: u64 = 3;

/// After so many commands in a row without an answer the connection is replaced: a peer that is gone without a word is
/// not noticed otherwise.
const UNHEARD: u32 = 3;

/// The first pause between two attempts to connect, and what is added to each at random, so that a fleet doesn't come back
/// all at once. Milliseconds.
const FIRST_PAUSE: u32 = 100;
const JITTER: u32 = 1_000;

/// A connection that comes back by itself; cheap to clone.
#[derive(Clone)]
pub(super) struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    client: RwLock<Client>,
    config: Config,
    options: Options,
    meter: Meter,
    /// In a cluster: where the stream is.
    route: Option<Route>,
    moves: tokio::sync::Mutex<Moves>,
    /// Commands in a row that got no answer on a connection that seems to stand.
    unheard: AtomicU32,
    outage: Arc<Outage>,
}

/// Changes of node. Many commands may learn at once that one is due; the first one makes it.
#[derive(Debug, Clone, Copy, Default)]
struct Moves {
    number: u64,
    failed: bool,
}

impl Link {
    /// `what` it is for, as the log names it.
    pub(super) async fn open(
        what: &'static str,
        config: &Config,
        options: &Options,
        meter: &Meter,
        route: Option<Route>,
    ) -> Result<Self> {
        let outage = Arc::new(Outage::of(what));
        let client = match &route {
            None => connect(config, options, meter, &outage).await?,
            Some(route) => connect_any(config, options, meter, &outage, route).await?,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                client: RwLock::new(client),
                config: config.clone(),
                options: options.clone(),
                meter: meter.clone(),
                route,
                moves: tokio::sync::Mutex::default(),
                unheard: AtomicU32::new(0),
                outage,
            }),
        })
    }

    /// Sends a command once. In a cluster, a node that hasn't got the stream names the one that has, and does nothing:
    /// then it is sent there.
    pub(super) async fn send<T, F>(&self, purpose: Purpose, command: impl Fn(Client) -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let Some(route) = &self.inner.route else {
            return Ok(self.send_once(purpose, &command).await?);
        };
        let mut before = self.inner.moves.lock().await.number;
        if !self.connected() {
            let Inner { config, options, meter, outage, .. } = &*self.inner;
            self.change(before, connect_any(config, options, meter, outage, route)).await?;
            before = self.inner.moves.lock().await.number;
        }
        let answer = self.send_once(purpose, &command).await;
        let Some(to) = moved(&answer) else { return Ok(answer?) };
        route.moved(&to);
        let config = at(&self.inner.config, route.owner());
        let Inner { options, meter, outage, .. } = &*self.inner;
        if self.change(before, connect(&config, options, meter, outage)).await.is_err() {
            return Err(away(&to));
        }
        let answer = self.send_once(purpose, &command).await;
        match moved(&answer) {
            None => Ok(answer?),
            Some(to) => {
                route.moved(&to);
                Err(away(&to))
            }
        }
    }

    async fn send_once<T, F>(&self, purpose: Purpose, command: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.inner.meter.count(purpose, 1);
        let answer = command(self.client()).await;
        let useless = match &answer {
            // A replica answers well enough, and would for ever.
            Err(error) if matches!(StreamError::from(error.clone()), StreamError::Replica(_)) => UNHEARD,
            Err(error) if *error.kind() == ErrorKind::Timeout && self.connected() => 1,
            _ => 0,
        };
        if useless == 0 {
            self.inner.unheard.store(0, Ordering::Relaxed);
        } else {
            let before = self.inner.unheard.fetch_add(useless, Ordering::Relaxed);
            if before < UNHEARD && before + useless >= UNHEARD {
                tokio::spawn(self.clone().replace());
            }
        }
        answer
    }

    /// Takes another client, unless another command did so meanwhile: then that one's success is everybody's.
    async fn change(&self, before: u64, connecting: impl Future<Output = Result<Client>>) -> Result<()> {
        let mut moves = self.inner.moves.lock().await;
        if moves.number == before {
            let connected = connecting.await;
            *moves = Moves { number: before + 1, failed: connected.is_err() };
            let new = connected?;
            let old = std::mem::replace(&mut *self.inner.client.write().unwrap_or_else(PoisonError::into_inner), new);
            let meter = self.inner.meter.clone();
            tokio::spawn(async move { quit(&old, &meter).await });
        }
        if moves.failed { Err(StreamError::Unavailable("the cluster's nodes don't answer".to_owned())) } else { Ok(()) }
    }

    async fn replace(self) {
        self.inner.outage.failed(&"Redis does not answer, or is a replica: the connection is replaced");
        if self.reconnect().await {
            self.inner.outage.worked();
        }
        self.inner.unheard.store(0, Ordering::Relaxed);
    }

    /// Whether it was replaced in time. If not, it is still tried.
    pub(super) async fn reconnect(&self) -> bool {
        let client = self.client();
        let replaced = tokio::time::timeout(self.inner.options.connect_timeout, client.force_reconnection());
        matches!(replaced.await, Ok(Ok(())))
    }

    /// Whether it stands. Costs no command.
    pub(super) fn connected(&self) -> bool {
        self.client().state() == ClientState::Connected
    }

    /// Its id at the server, by which another connection can wake it.
    pub(super) fn id(&self) -> Option<i64> {
        self.client().connection_ids().into_values().next()
    }

    /// Whether it fails, and since when the log knows.
    pub(super) fn outage(&self) -> &Outage {
        &self.inner.outage
    }

    pub(super) fn route(&self) -> Option<&Route> {
        self.inner.route.as_ref()
    }

    pub(super) async fn close(&self) {
        quit(&self.client(), &self.inner.meter).await;
    }

    fn client(&self) -> Client {
        self.inner.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn connect(config: &Config, options: &Options, meter: &Meter, outage: &Arc<Outage>) -> Result<Client> {
    let client = build(config, options)?;
    let commands = COMMANDS_TO_CONNECT + u64::from(config.database.is_some());
    client.init().await?;
    meter.count(Purpose::Connect, commands);
    let (meter, failing, working) = (meter.clone(), outage.clone(), outage.clone());
    client.on_error(move |(error, _)| {
        note::<()>(&failing, &Err(error.into()));
        async { Ok(()) }
    });
    client.on_reconnect(move |_| {
        meter.count(Purpose::Connect, commands);
        working.worked();
        async { Ok(()) }
    });
    Ok(client)
}

/// To the node that has the stream, or else to any that answers: it knows where the stream is.
async fn connect_any(
    config: &Config,
    options: &Options,
    meter: &Meter,
    outage: &Arc<Outage>,
    route: &Route,
) -> Result<Client> {
    let mut failed = StreamError::Unavailable("no node of the cluster is known".to_owned());
    for server in route.in_turn() {
        match connect(&at(config, Some(server)), options, meter, outage).await {
            Ok(client) => return Ok(client),
            Err(error @ StreamError::Rejected(_)) => return Err(error),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn at(config: &Config, server: Option<Server>) -> Config {
    let mut config = config.clone();
    if let Some(server) = server {
        config.server = ServerConfig::Centralized { server };
    }
    config
}

async fn quit(client: &Client, meter: &Meter) {
    if client.state() == ClientState::Connected {
        meter.count(Purpose::Connect, 1);
    }
    client.quit().await.ok();
}

/// The node that was named doesn't let us in.
fn away(moved: &str) -> StreamError {
    StreamError::Unavailable(format!("the cluster's node that has the stream is away ({moved})"))
}

/// `MOVED 866 10.0.0.1:6379`.
fn moved<T>(answer: &Result<T, Error>) -> Option<String> {
    let details = answer.as_ref().err()?.details();
    details.starts_with("MOVED ").then(|| details.to_owned())
}

fn build(config: &Config, options: &Options) -> Result<Client> {
    let longest_pause = u32::try_from(options.longest_pause.as_millis()).unwrap_or(3_000);
    Ok(Builder::from_config(config.clone())
        .with_connection_config(|connection| {
            connection.connection_timeout = options.connect_timeout;
            connection.internal_command_timeout = options.connect_timeout;
            connection.max_command_attempts = 1;
            connection.disable_cluster_health_check = true;
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

/// Takes note of an answer that says whether Redis can be used.
pub(super) fn note<T>(outage: &Outage, answer: &Result<T>) {
    match answer {
        Ok(_) => outage.worked(),
        Err(error @ (StreamError::Rejected(_) | StreamError::QuotaExceeded(_))) => outage.refused(error),
        Err(error @ (StreamError::Unavailable(_) | StreamError::Replica(_))) => outage.failed(error),
        Err(StreamError::NoGroup | StreamError::Refused(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
