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

/// The commands of one connection's set-up: PING (or AUTH with a password), CLIENT ID, INFO server. A database number in
/// the URL adds SELECT.
const COMMANDS_TO_CONNECT: u64 = 3;

/// After so many commands in a row without an answer the connection is replaced: a peer that is gone without a word is
/// not noticed otherwise.
const UNHEARD: u32 = 3;

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
}

/// Changes of node. Many commands may learn at once that one is due; the first one makes it.
#[derive(Debug, Clone, Copy, Default)]
struct Moves {
    number: u64,
    failed: bool,
}

impl Link {
    pub(super) async fn open(config: &Config, options: &Options, meter: &Meter, route: Option<Route>) -> Result<Self> {
        let client = match &route {
            None => connect(config, options, meter).await?,
            Some(route) => connect_any(config, options, meter, route).await?,
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
            self.change(before, connect_any(&self.inner.config, &self.inner.options, &self.inner.meter, route)).await?;
            before = self.inner.moves.lock().await.number;
        }
        let answer = self.send_once(purpose, &command).await;
        let Some(to) = moved(&answer) else { return Ok(answer?) };
        route.moved(&to);
        let config = at(&self.inner.config, route.owner());
        if self.change(before, connect(&config, &self.inner.options, &self.inner.meter)).await.is_err() {
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
        match &answer {
            Err(error) if *error.kind() == ErrorKind::Timeout && self.connected() => {
                if self.inner.unheard.fetch_add(1, Ordering::Relaxed) + 1 == UNHEARD {
                    tokio::spawn(self.clone().replace());
                }
            }
            _ => self.inner.unheard.store(0, Ordering::Relaxed),
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
        tracing::warn!("Redis does not answer on the connection for commands: it is replaced");
        if !self.reconnect().await {
            tracing::warn!("the connection for commands can't be replaced yet; Redis is still tried");
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

async fn connect(config: &Config, options: &Options, meter: &Meter) -> Result<Client> {
    let client = build(config, options)?;
    let commands = COMMANDS_TO_CONNECT + u64::from(config.database.is_some());
    client.init().await?;
    meter.count(Purpose::Connect, commands);
    let meter = meter.clone();
    client.on_reconnect(move |_| {
        meter.count(Purpose::Connect, commands);
        async { Ok(()) }
    });
    Ok(client)
}

/// To the node that has the stream, or else to any that answers: it knows where the stream is.
async fn connect_any(config: &Config, options: &Options, meter: &Meter, route: &Route) -> Result<Client> {
    let mut failed = StreamError::Unavailable("no node of the cluster is known".to_owned());
    for server in route.in_turn() {
        match connect(&at(config, Some(server)), options, meter).await {
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
    let longest_pause = u32::try_from(options.longest_pause.as_millis()).unwrap_or(5_000);
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
        // With jitter by fred; 0 attempts means for ever.
        .set_policy(ReconnectPolicy::new_exponential(0, 100, longest_pause, 2))
        .build()?)
}
