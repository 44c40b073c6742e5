//! One connection to Redis, and how a command goes over it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientInterface, ClientLike};
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy, Server, ServerConfig, TcpConfig};

use super::cluster::Route;
use super::line::Line;
use super::quota::Quota;
use super::{Meter, Options, Purpose, Result, StreamError};
use crate::outage::Outage;

/// After so many commands in a row without an answer the connection is replaced: a peer that is gone without a word is
/// not noticed otherwise.
const UNHEARD: u32 = 3;

/// The first pause between two attempts to connect, and what is added to each at random, so that a fleet doesn't come back
/// all at once. Milliseconds.
const FIRST_PAUSE: u32 = 100;
const JITTER: u32 = 1_000;

/// How long a connection stands before that alone shows that Redis works: longer than a reader waits with its next try.
const PROVED: Duration = Duration::from_secs(5);

/// To whom a connection tells what becomes of it.
#[derive(Clone)]
pub(super) struct Witnesses {
    pub(super) meter: Meter,
    pub(super) quota: Arc<Quota>,
    pub(super) outage: Arc<Outage>,
    /// Whoever answered last could not serve: a replica, or a node without the stream. Such a one lets us in, too.
    misled: Arc<AtomicBool>,
}

impl Witnesses {
    /// Of a connection that the log calls so.
    pub(super) fn of(what: &'static str, meter: &Meter, quota: &Arc<Quota>) -> Self {
        Self { meter: meter.clone(), quota: quota.clone(), outage: Arc::new(Outage::of(what)), misled: Arc::default() }
    }

    /// It stands. That ends an outage, unless somebody finds out meanwhile that what answers does not serve.
    pub(super) fn let_in(&self) {
        if self.outage.why().is_none() {
            return;
        }
        let (outage, misled) = (self.outage.clone(), self.misled.clone());
        tokio::spawn(async move {
            tokio::time::sleep(PROVED).await;
            if !misled.load(Ordering::Relaxed) && outage.calm_for() >= PROVED {
                outage.worked();
            }
        });
    }

    fn misled(&self) {
        self.misled.store(true, Ordering::Relaxed);
    }

    fn served(&self) {
        self.misled.store(false, Ordering::Relaxed);
        self.outage.worked();
    }
}

/// A connection that comes back by itself; cheap to clone.
#[derive(Clone)]
pub(super) struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    line: RwLock<Line>,
    config: Config,
    options: Options,
    witnesses: Witnesses,
    /// In a cluster: where the stream is.
    route: Option<Route>,
    moves: tokio::sync::Mutex<Moves>,
    /// Commands in a row that got no answer on a connection that seems to stand.
    unheard: AtomicU32,
    /// When somebody looked for it last without having a command for it.
    looked: Mutex<Option<Instant>>,
}

/// Changes of node. Many commands may learn at once that one is due; the first one makes it.
#[derive(Debug, Clone, Copy, Default)]
struct Moves {
    number: u64,
    failed: bool,
}

impl Link {
    pub(super) async fn open(
        config: &Config,
        options: &Options,
        witnesses: Witnesses,
        route: Option<Route>,
    ) -> Result<Self> {
        let line = match &route {
            None => connect(config, options, &witnesses).await?,
            Some(route) => connect_any(config, options, &witnesses, route).await?,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                line: RwLock::new(line),
                config: config.clone(),
                options: options.clone(),
                witnesses,
                route,
                moves: tokio::sync::Mutex::default(),
                unheard: AtomicU32::new(0),
                looked: Mutex::default(),
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
        self.inner.witnesses.quota.open()?;
        let answer = self.send_in_spite(purpose, command).await;
        self.inner.witnesses.quota.heard(&answer);
        answer
    }

    /// Also while the quota is used up.
    pub(super) async fn send_in_spite<T, F>(
        &self,
        purpose: Purpose,
        command: impl Fn(Client) -> F + Send + Sync,
    ) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let Some(route) = &self.inner.route else {
            return Ok(self.send_once(purpose, &command).await??);
        };
        let failed = |error: StreamError| {
            self.outage().failed(&error);
            error
        };
        let mut before = self.inner.moves.lock().await.number;
        if !self.connected() {
            let Inner { config, options, witnesses, .. } = &*self.inner;
            witnesses.misled();
            self.change(before, connect_any(config, options, witnesses, route)).await.map_err(failed)?;
            before = self.inner.moves.lock().await.number;
        }
        let answer = self.send_once(purpose, &command).await?;
        let Some(to) = moved(&answer) else { return Ok(answer?) };
        route.moved(&to);
        let config = at(&self.inner.config, route.owner());
        if self.change(before, connect(&config, &self.inner.options, &self.inner.witnesses)).await.is_err() {
            return Err(failed(away(&to)));
        }
        let answer = self.send_once(purpose, &command).await?;
        match moved(&answer) {
            None => Ok(answer?),
            Some(to) => {
                route.moved(&to);
                Err(failed(away(&to)))
            }
        }
    }

    async fn send_once<T, F>(&self, purpose: Purpose, command: impl Fn(Client) -> F) -> Result<Result<T, Error>>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let client = self.line().ready().await?;
        self.inner.witnesses.meter.count(purpose, 1);
        let answer = command(client).await;
        let replica =
            matches!(&answer, Err(error) if matches!(StreamError::from(error.clone()), StreamError::Replica(_)));
        if replica || moved(&answer).is_some() {
            self.inner.witnesses.misled();
        } else if answer.is_ok() {
            self.inner.witnesses.served();
        }
        let useless = match &answer {
            // A replica answers well enough, and would for ever.
            _ if replica => UNHEARD,
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
        Ok(answer)
    }

    /// Takes another client, unless another command did so meanwhile: then that one's success is everybody's.
    async fn change(&self, before: u64, connecting: impl Future<Output = Result<Line>>) -> Result<()> {
        let mut moves = self.inner.moves.lock().await;
        if moves.number == before {
            let connected = connecting.await;
            *moves = Moves { number: before + 1, failed: connected.is_err() };
            let new = connected?;
            let old = std::mem::replace(&mut *self.inner.line.write().unwrap_or_else(PoisonError::into_inner), new);
            tokio::spawn(async move { old.close().await });
        }
        if moves.failed { Err(StreamError::Unavailable("the cluster's nodes don't answer".to_owned())) } else { Ok(()) }
    }

    async fn replace(self) {
        self.outage().failed(&"Redis does not answer, or is a replica: the connection is replaced");
        self.reconnect().await;
        self.inner.unheard.store(0, Ordering::Relaxed);
    }

    /// Whether it was replaced in time. If not, it is still tried.
    pub(super) async fn reconnect(&self) -> bool {
        let client = self.line().client();
        let replaced = tokio::time::timeout(self.inner.options.connect_timeout, client.force_reconnection());
        matches!(replaced.await, Ok(Ok(())))
    }

    /// Whether it stands, or rests and could be had. Costs no command.
    pub(super) fn connected(&self) -> bool {
        self.line().stands()
    }

    /// Whether a command may get through: in a cluster it finds a node for itself.
    pub(super) fn usable(&self) -> bool {
        self.inner.route.is_some() || self.connected()
    }

    /// True once in each of the pauses that lie between two attempts to connect.
    pub(super) fn may_look(&self) -> bool {
        let mut looked = self.inner.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.is_some_and(|looked| looked.elapsed() < self.inner.options.longest_pause) {
            return false;
        }
        *looked = Some(Instant::now());
        true
    }

    /// Its id at the server, by which another connection can wake it.
    pub(super) fn id(&self) -> Option<i64> {
        self.line().client().connection_ids().into_values().next()
    }

    pub(super) fn route(&self) -> Option<&Route> {
        self.inner.route.as_ref()
    }

    pub(super) async fn close(&self) {
        self.line().close().await;
    }

    /// Whether it fails, and since when the log knows.
    pub(super) fn outage(&self) -> &Outage {
        &self.inner.witnesses.outage
    }

    fn line(&self) -> Line {
        self.inner.line.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn connect(config: &Config, options: &Options, witnesses: &Witnesses) -> Result<Line> {
    let line = Line::new(build(config, options)?, witnesses.clone());
    match line.ready().await {
        // A process that starts while the quota is used up waits like those that run.
        Ok(_) | Err(StreamError::QuotaExceeded(_)) => Ok(line),
        Err(error) => Err(error),
    }
}

/// To the node that has the stream, or else to any that answers: it knows where the stream is.
async fn connect_any(config: &Config, options: &Options, witnesses: &Witnesses, route: &Route) -> Result<Line> {
    let mut failed = StreamError::Unavailable("no node of the cluster is known".to_owned());
    for server in route.in_turn() {
        match connect(&at(config, Some(server)), options, witnesses).await {
            Ok(line) => return Ok(line),
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
        Err(error @ StreamError::Rejected(_)) => outage.refused(error),
        Err(error @ (StreamError::Unavailable(_) | StreamError::Replica(_))) => outage.failed(error),
        // The quota has a line of its own.
        Err(StreamError::NoGroup | StreamError::Refused(_) | StreamError::QuotaExceeded(_)) => {}
    }
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
