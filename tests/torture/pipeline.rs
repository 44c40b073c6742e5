//! One installation with everything short: leases of a second, the publish protocol's hours as seconds, chunks of a few
//! kilobytes, and FFmpeg stood in for, which copies its input. No two videos have the same bytes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use subiteya::sandbox::CreatorSpec;

use crate::support::fleet::Fleet;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::standin::StandIn;

/// No limits at all.
pub(crate) const LOOSE: &str = r#"
[streams."video.uploaded"]
limit = ""
lease = "1s"
backoff = "100ms"
stalled_check = "1s"
[streams."video.edited"]
limit = ""
limit_per_account = ""
lease = "1s"
backoff = "100ms"
stalled_check = "1s"
concurrency = 2
[shutdown]
deadline = "1s"
"#;
/// The sandbox's hour is shorter by the same factor.
const SCALE: u32 = 300;
/// In milliseconds; what a takeover is measured against.
pub(crate) const LEASE: u64 = 1_000;
/// Until a video must have ended, whatever happened to it. Dead publish ids take 16 s of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// The processes of a [`Pipeline`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Serve,
    Work,
    /// Another worker, started where one is not enough.
    Second,
}

impl Process {
    fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Work => "all",
            Self::Second => "all2",
        }
    }
}

pub(crate) struct Pipeline {
    pub(crate) fleet: Fleet,
    /// Between every process and its Redis.
    pub(crate) proxy: Proxy,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) standin: StandIn,
    videos: u32,
    /// Orders that every process has.
    orders: String,
}

impl Pipeline {
    pub(crate) async fn new(database: Database) -> Self {
        Self::with(database, LOOSE, "").await
    }

    /// `toml` instead of no limits at all; `orders` beside the usual ones.
    pub(crate) async fn with(database: Database, toml: &str, orders: &str) -> Self {
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Postgres::start().await),
        };
        let services: Vec<_> = postgres.iter().map(|server| ("DATABASE_URL", server.url())).collect();
        let mut fleet = Fleet::on(toml, &services, |options| {
            options.url_expiry = Duration::from_hours(1) / SCALE;
            options.fsync = false;
            // So that the publisher leaves it to `confirm`, and both are killed.
            options.processing = Duration::from_millis(300);
            options.keep_videos = false;
            options.limits.chunk_min = 1;
            options.limits.init_per_minute = 100_000;
            options.limits.creator_info_per_minute = 100_000;
            options.limits.status_per_minute = 100_000;
            options.limits.posts_per_day = 100_000;
        })
        .await;
        // A clip has three chunks: titles differ by a few bytes.
        let chunk = StandIn::clip("").len() / 3 + 100;
        let orders = format!("scale={SCALE},pace=10,chunk={chunk},{orders}");
        let proxy = Proxy::before(&fleet.redis.socket()).await;
        fleet.set("REDIS_URL", &proxy.url());
        let standin = StandIn::new();
        fleet.set("PATH", &standin.path());
        let mut pipeline = Self { fleet, proxy, postgres, standin, videos: 0, orders };
        pipeline.fleet.account("ada").await;
        pipeline.start(Process::Serve, "");
        pipeline.start(Process::Work, "");
        pipeline.fleet.ready().await;
        pipeline
    }

    pub(crate) fn start(&mut self, process: Process, orders: &str) {
        self.start_under(process, orders, &[]);
    }

    /// With variables of its own.
    pub(crate) fn start_under(&mut self, process: Process, orders: &str, env: &[(&str, String)]) {
        let orders = format!("{},{orders}", self.orders);
        let mut all = vec![("SUBITEYA_TORTURE", orders.as_str())];
        all.extend(env.iter().map(|(name, value)| (*name, value.as_str())));
        self.fleet.start_with(process.name(), &all);
    }

    /// A process by its name among the fleet's, with the usual orders.
    pub(crate) fn start_named(&mut self, name: &str) {
        let orders = self.orders.clone();
        self.fleet.start_with(name, &[("SUBITEYA_TORTURE", &orders)]);
    }

    /// Killed, if it still lives, and started with these orders. Gives whether it came up: it may die by them before.
    pub(crate) async fn restart(&mut self, process: Process, orders: &str) -> bool {
        self.fleet.kill(process.name());
        self.start(process, orders);
        process != Process::Serve || self.comes_up().await
    }

    /// Whether `serve` answers, or dies first.
    async fn comes_up(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.fleet.try_get("/api/videos?limit=1").await.is_none() {
            if !self.lives(Process::Serve) {
                return false;
            }
            assert!(Instant::now() < deadline, "serve is not ready:\n{}", self.fleet.logs());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// Changes something under all processes while none of them runs.
    pub(crate) async fn at_rest(&mut self, change: impl FnOnce(&mut Fleet)) {
        self.kill(Process::Serve);
        self.kill(Process::Work);
        change(&mut self.fleet);
        self.start(Process::Serve, "");
        self.start(Process::Work, "");
        self.fleet.ready().await;
    }

    pub(crate) fn lives(&mut self, process: Process) -> bool {
        self.fleet.lives(process.name())
    }

    pub(crate) fn kill(&mut self, process: Process) {
        self.fleet.kill(process.name());
    }

    pub(crate) fn signal(&self, process: Process, signal: rustix::process::Signal) {
        self.fleet.signal(process.name(), signal);
    }

    pub(crate) fn is_stopped(&self, process: Process) -> bool {
        self.fleet.is_stopped(process.name())
    }

    /// Whether nobody keeps the database for itself.
    pub(crate) async fn takes_writes(&self) -> bool {
        let write = async {
            let ledger = self.fleet.try_ledger().await.ok()?;
            ledger.begin().await.ok()?.commit().await.ok()
        };
        matches!(tokio::time::timeout(Duration::from_millis(1_500), write).await, Ok(Some(())))
    }

    /// Waits for a condition on the processes.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        within: Duration,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + within;
        while !holds(self) {
            if Instant::now() > deadline {
                return Err(format!("{what}: not within {within:?}"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// A title of a new video: by it the posts are told apart.
    pub(crate) fn title(&mut self) -> String {
        self.videos += 1;
        format!("video {}.", self.videos)
    }

    /// The id, if there was an answer.
    pub(crate) async fn upload(&self, account: &str, title: &str) -> Option<String> {
        self.fleet.try_upload_bytes(account, title, &[], StandIn::clip(title)).await
    }

    /// The video of this title, if it was accepted, with or without an answer.
    pub(crate) async fn find(&self, title: &str) -> Option<Value> {
        let query: String = url::form_urlencoded::byte_serialize(title.as_bytes()).collect();
        let found = self.fleet.try_get(&format!("/api/videos?q={query}")).await?;
        found["videos"].as_array()?.iter().find(|video| video["title"] == title).cloned()
    }

    /// What a person does whose account has lost its tokens.
    pub(crate) async fn connect_again(&self, videos: &[Value]) {
        let waiting = videos.iter().filter(|video| video["waitingFor"]["code"] == "account_reconnect");
        let accounts: BTreeSet<&str> = waiting.filter_map(|video| video["accountId"].as_str()).collect();
        for account in accounts {
            let tokens = self.fleet.sandbox.grant(&CreatorSpec::named(account)).await.expect("a creator");
            self.fleet.connect(account, &tokens);
        }
    }

    /// Waits until a video has ended, connecting its account again where its tokens were lost on the way.
    pub(crate) async fn ended(&self, id: &str) -> Result<Value, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.fleet.try_get(&format!("/api/videos/{id}")).await;
            let video = answer.map(|answer| answer["video"].clone()).unwrap_or_default();
            if super::checker::is_end(&video) {
                return Ok(video);
            }
            self.connect_again(std::slice::from_ref(&video)).await;
            if Instant::now() > deadline {
                return Err(format!("never ended: {video:#}"));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}
