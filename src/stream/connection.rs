//! A handle on Redis: a connection for all commands, in a cluster one for each stream, and one more for each reader.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::StreamsInterface;
use fred::types::config::Config;
use rustls::pki_types::CertificateDer;

use super::cluster::{Nodes, Route};
use super::commands::{names, older};
use super::info::Server;
use super::link::{Link, Witnesses};
use super::quota::Quota;
use super::{Meter, Purpose, Result, StreamError, tls};
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
    /// While the quota is used up: the first and the longest pause between two questions whether it still is.
    pub quota_pauses: (Duration, Duration),
    /// The authorities that may have signed a server's certificate; empty: those that the system trusts.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            command_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(3),
            longest_pause: Duration::from_secs(3),
            quota_pauses: (Duration::from_secs(20), Duration::from_secs(300)),
            authorities: Vec::new(),
        }
    }
}

/// A handle on Redis; cheap to clone.
#[derive(Clone)]
pub struct Streams {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    /// One, or in a cluster one for each stream.
    links: Vec<Link>,
    config: Config,
    options: Options,
    meter: Meter,
    quota: Arc<Quota>,
    /// False once Redis has refused to wake a reader: some know no CLIENT UNBLOCK.
    pub(super) unblocks: AtomicBool,
    trim: Mutex<[Trim; 2]>,
    server: OnceLock<Server>,
    appending: Outage,
}

/// What the log calls them.
const COMMANDS: &str = "the connection to Redis";
const READING: &str = "reading from Redis";

/// For how long a failure speaks against a Redis that has not been asked since.
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
        if config.tls.is_some() && !options.authorities.is_empty() {
            config.tls = Some(tls::trusting(&options.authorities)?.into());
        }
        let quota = Arc::new(Quota::new(options.quota_pauses.0, options.quota_pauses.1));
        let witnesses = || Witnesses::of(COMMANDS, &meter, &quota);
        let links = match Nodes::of(&config) {
            None => vec![Link::open(&config, &options, witnesses(), None).await?],
            Some(nodes) => {
                let mut links = Vec::new();
                for stage in Stage::STREAMED {
                    let route = Route::new(nodes.clone());
                    let link = Link::open(&config, &options, witnesses(), Some(route)).await?;
                    find(&link, stage).await?;
                    links.push(link);
                }
                links
            }
        };
        let server = OnceLock::new();
        Ok(Self {
            inner: Arc::new(Inner {
                links,
                config,
                options,
                meter,
                quota,
                unblocks: AtomicBool::new(true),
                trim: Mutex::default(),
                server,
                appending: Outage::of("appending to Redis"),
            }),
        })
    }

    pub fn meter(&self) -> &Meter {
        &self.inner.meter
    }

    /// Whether the connections for commands stand, and commands are taken on them. Costs no command.
    pub fn connected(&self) -> bool {
        self.inner.links.iter().all(Link::connected) && self.over_quota().is_none()
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
        let Ok((stream, _)) = names(Stage::Edit) else { return };
        let ask = |client: Client| async move { client.xlen::<u64, _>(stream).await };
        match self.link(Stage::Edit).send_in_spite(Purpose::Look, ask).await {
            Err(StreamError::QuotaExceeded(_) | StreamError::Unavailable(_)) => {}
            Ok(_) | Err(_) => self.inner.quota.end(),
        }
    }

    /// In a cluster: looks now and then for a stream whose node was lost. Elsewhere a lost connection comes back by itself;
    /// here only the next command would bring it back, and until then nobody would know that it can be had. Returns at once.
    pub fn look_for_lost(&self) {
        if !self.clustered() || self.over_quota().is_some() {
            return;
        }
        let lost = |stage: &Stage| !self.link(*stage).connected() || self.link(*stage).outage().why().is_some();
        for stage in Stage::STREAMED.into_iter().filter(lost) {
            let link = self.link(stage).clone();
            if link.may_look() {
                tokio::spawn(async move { find(&link, stage).await.ok() });
            }
        }
    }

    /// Whether a command of this stage may get through. Costs no command.
    pub fn usable(&self, stage: Stage) -> bool {
        self.link(stage).usable() && self.over_quota().is_none()
    }

    /// Why Redis can't be used right now, as far as is known. Costs no command.
    pub fn trouble(&self) -> Option<String> {
        let recent = |outage: &Outage| outage.why().filter(|_| outage.calm_for() < RECENT);
        let full = || recent(&self.inner.appending);
        let lost = || (!self.connected()).then(|| "Redis is not available: the connection is lost".to_owned());
        let why = |link: &Link| if link.connected() { recent(link.outage()) } else { link.outage().why() };
        let links = || self.inner.links.iter().find_map(why);
        self.over_quota().or_else(links).or_else(full).or_else(lost)
    }

    /// Whether the last append failed: another one is a probe.
    pub fn appends_fail(&self) -> bool {
        self.inner.appending.why().is_some()
    }

    pub(super) fn appending(&self) -> &Outage {
        &self.inner.appending
    }

    pub async fn close(&self) {
        for link in &self.inner.links {
            link.close().await;
        }
    }

    pub(super) fn command_timeout(&self) -> Duration {
        self.inner.options.command_timeout
    }

    pub(super) fn clustered(&self) -> bool {
        self.inner.links.len() > 1
    }

    /// The connection for a stage's commands.
    pub(super) fn link(&self, stage: Stage) -> &Link {
        &self.inner.links[slot(stage) % self.inner.links.len()]
    }

    /// Another connection to where the stage's stream is.
    pub(super) async fn another(&self, stage: Stage) -> Result<Link> {
        let inner = &self.inner;
        let route = self.link(stage).route().map(Route::again);
        inner.quota.open()?;
        let witnesses = Witnesses::of(READING, &inner.meter, &inner.quota);
        Link::open(&inner.config, &inner.options, witnesses, route).await
    }

    /// What was learned of the server when the process started.
    pub fn about(&self) -> Option<&Server> {
        self.inner.server.get()
    }

    pub(super) fn learned(&self, server: Server) -> &Server {
        self.inner.server.get_or_init(|| server)
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

/// Asks for the stream, so that the connection comes to the node that has it. One that is away is found later.
async fn find(link: &Link, stage: Stage) -> Result<()> {
    let (stream, _) = names(stage)?;
    match link.send(Purpose::Connect, |client| async move { client.xlen::<u64, _>(stream).await }).await {
        Err(error @ StreamError::Rejected(_)) => Err(error),
        _ => Ok(()),
    }
}
