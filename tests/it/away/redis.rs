//! Redis away in every way that is known: uploads go on, and everything moves again by itself.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{MOVES, all_posted, get, logs_are_readable, troubles};
use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::servers::free_port;

const PROCESSES: [&str; 3] = ["serve", "edit", "publish"];

struct Away {
    fleet: Fleet,
    redis: Redis,
    proxy: Proxy,
    videos: Vec<String>,
}

impl Away {
    async fn before(redis: Redis) -> Self {
        let proxy = Proxy::before(&redis.socket()).await;
        let mut fleet = Fleet::on(LOOSE, &[("REDIS_URL", proxy.url())], |_| {}).await;
        fleet.start_all().await;
        fleet.account("ada").await;
        let mut away = Self { fleet, redis, proxy, videos: Vec::new() };
        away.upload().await;
        away.moves().await;
        away
    }

    /// Accepted, and soon, whatever Redis does.
    async fn upload(&mut self) {
        let asked = Instant::now();
        let title = format!("number {}", self.videos.len());
        self.videos.push(self.fleet.upload("ada", &title).await);
        assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
    }

    /// What was uploaded last has left the queue.
    async fn moves(&self) {
        let video = self.videos.last().expect("a video");
        eventually("it moves", MOVES, || async { self.fleet.video(video).await["status"] != "EDITING_QUEUED" }).await;
    }

    /// What `serve` says of its Redis, and that it is ready all the same.
    async fn trouble(&self) -> Option<String> {
        let ready = get(&self.fleet, "/readyz").await;
        assert_eq!(ready.status, 200, "{ready:?}");
        let key = self.fleet.run(&["keys", "create", "--user", "watch", "--role", "viewer", "--output", "json"], "");
        let key: serde_json::Value = serde_json::from_str(&key).expect("json");
        let asked = reqwest::Client::new().get(self.fleet.url("/api/monitor/queue-health"));
        let health = asked.bearer_auth(key["key"].as_str().expect("a key")).send().await.expect("an answer");
        let health: serde_json::Value = health.json().await.expect("json");
        assert_eq!(health["redis"], health["redisTrouble"].is_null(), "{health:#}");
        health["redisTrouble"].as_str().map(str::to_owned)
    }

    async fn all_is_well(mut self) {
        self.upload().await;
        all_posted(&self.fleet, &self.videos).await;
        assert_eq!(self.trouble().await, None);
        logs_are_readable(&self.fleet, &PROCESSES);
    }
}

async fn away_for(pause: Duration) {
    let mut away = Away::before(Redis::start().await).await;
    let before = away.proxy.connects();
    away.proxy.close();
    away.upload().await;
    tokio::time::sleep(pause).await;
    let attempts = away.proxy.connects() - before;
    // Five connections, each with a few quick attempts and then one in three to four seconds.
    let most = 5 * (8 + usize::try_from(pause.as_secs()).expect("a number") / 3);
    assert!(attempts <= most, "{attempts} attempts in {pause:?}");
    assert!(away.trouble().await.is_some());
    away.proxy.open();
    away.moves().await;
    away.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_away_for_a_second() {
    let mut away = Away::before(Redis::start().await).await;
    away.proxy.close();
    away.upload().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    away.proxy.open();
    away.moves().await;
    away.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_away_for_fifteen_seconds() {
    away_for(Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes"]
async fn redis_is_away_for_a_minute() {
    away_for(Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes an hour"]
async fn redis_is_away_for_an_hour() {
    away_for(Duration::from_secs(3_600)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_has_another_password_for_a_while() {
    let mut away = Away::before(Redis::start().await).await;
    let mut session = away.redis.session().await;
    let mut say = async |words: &str| {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        session.write_all(format!("{words}\r\n").as_bytes()).await.expect("sent");
        let mut reply = [0; 256];
        assert!(session.read(&mut reply).await.expect("a reply") > 0);
    };
    say("CONFIG SET requirepass another").await;
    say("CLIENT KILL TYPE normal SKIPME yes").await;
    away.upload().await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let trouble = away.trouble().await.expect("it is said");
    assert!(trouble.contains("NOAUTH") || trouble.contains("WRONGPASS"), "{trouble}");
    let told = troubles(&away.fleet, "edit");
    assert!(told.iter().any(|line| line.contains("NOAUTH") || line.contains("WRONGPASS")), "{told:#?}");
    say("AUTH another").await;
    say("CONFIG SET requirepass \"\"").await;
    away.moves().await;
    away.all_is_well().await;
}

/// A second Redis that follows the first.
async fn replica_of(port: &str, options: &[&str]) -> Redis {
    let replica = Redis::start_with(&[&["--replicaof", "127.0.0.1", port], options].concat()).await;
    eventually("the replica follows", MOVES, || async {
        replica.command(&["INFO", "replication"]).await.contains("master_link_status:up")
    })
    .await;
    replica
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_fails_over_to_a_replica_that_has_missed_the_last_writes() {
    let port = free_port().to_string();
    let mut away = Away::before(Redis::start_with(&["--port", &port]).await).await;
    let replica = replica_of(&port, &[]).await;
    replica.command(&["REPLICAOF", "NO", "ONE"]).await;
    // The old one takes these, and nobody will ever see them again.
    away.upload().await;
    away.upload().await;
    away.redis.kill().await;
    away.proxy.lead_to(&replica.socket());
    away.proxy.cut();
    away.upload().await;
    away.moves().await;
    away.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_becomes_a_replica_under_connections_that_live_on() {
    let mut away = Away::before(Redis::start().await).await;
    let other = Redis::start().await;
    away.proxy.lead_to(&other.socket());
    away.redis.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    away.upload().await;
    away.moves().await;
    away.all_is_well().await;
}

/// As behind a name that still leads to the old primary.
#[tokio::test(flavor = "multi_thread")]
async fn redis_comes_back_as_a_replica_and_is_left_for_the_one_that_was_promoted() {
    let ports = [free_port(), free_port()].map(|port| port.to_string());
    let mut away = Away::before(Redis::start_with(&["--port", &ports[0]]).await).await;
    let promoted = replica_of(&ports[0], &["--port", &ports[1]]).await;
    away.redis.kill().await;
    promoted.command(&["REPLICAOF", "NO", "ONE"]).await;
    away.upload().await;
    away.redis.restart_with(&["--replicaof", "127.0.0.1", &ports[1]]).await;
    let deadline = Instant::now() + MOVES;
    while !away.trouble().await.is_some_and(|text| text.contains("replica")) {
        assert!(Instant::now() < deadline, "nobody finds out\n{}", away.fleet.logs());
        away.upload().await;
    }
    let told = troubles(&away.fleet, "edit");
    assert!(
        !told.iter().any(|line| line.contains("reading from Redis works again")),
        "a replica lets us in and serves nobody: {told:#?}"
    );
    // Who is connected to the old one stays there, unless it leaves by itself.
    away.proxy.lead_to(&promoted.socket());
    away.moves().await;
    away.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_full_and_then_there_is_room() {
    let mut away = Away::before(Redis::start().await).await;
    away.redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    for _ in 0..3 {
        away.upload().await;
    }
    away.redis.reset_calls().await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let probes = away.redis.calls().await.get("xadd").copied().unwrap_or(0);
    assert!(probes <= 6, "a full Redis is asked with one entry at a time: {probes}");
    assert!(away.trouble().await.is_some_and(|text| text.contains("OOM")));
    away.redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    away.moves().await;
    away.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_answers_slowly_late_or_not_at_all() {
    let mut away = Away::before(Redis::start().await).await;
    away.proxy.delay(Duration::from_secs(1));
    away.upload().await;
    away.moves().await;
    away.proxy.delay(Duration::from_secs(2));
    away.upload().await;
    away.proxy.delay(Duration::ZERO);
    away.moves().await;
    away.redis.command(&["CLIENT", "PAUSE", "5000", "ALL"]).await;
    away.upload().await;
    away.moves().await;
    away.redis.signal(Signal::STOP);
    away.upload().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    away.redis.signal(Signal::CONT);
    away.moves().await;
    away.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_loads_its_data_for_a_while_and_then_cannot_save_it() {
    let slow = ["--key-load-delay", "50000", "--loading-process-events-interval-bytes", "1024"];
    let allowed = ["--enable-protected-configs", "yes"];
    let mut away = Away::before(Redis::start_with(&[&slow[..], &allowed].concat()).await).await;
    for number in 0..60 {
        away.redis.command(&["SET", &format!("key {number}"), &"x".repeat(2_000)]).await;
    }
    away.redis.command(&["SAVE"]).await;
    away.redis.kill().await;
    away.upload().await;
    away.redis.restart().await;
    away.moves().await;
    away.redis.command(&["CONFIG", "SET", "save", "3600 1"]).await;
    away.redis.command(&["CONFIG", "SET", "dir", "/proc"]).await;
    away.redis.command(&["BGSAVE"]).await;
    eventually("it takes no writes", MOVES, || async {
        away.redis.command(&["SET", "a", "b"]).await.contains("MISCONF")
    })
    .await;
    away.upload().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    away.redis.command(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).await;
    away.moves().await;
    away.all_is_well().await;
}
