//! What real processes cost, as the server counts it, with the default configuration where not said otherwise.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::fleet::{Fleet, SOON};
use crate::support::proxy::Proxy;

const LIMITS: &str =
    "[streams.\"video.uploaded\"]\nlimit = \"\"\n[streams.\"video.edited\"]\nlimit = \"\"\nlimit_per_account = \"\"\n";

fn of(calls: &BTreeMap<String, u64>, name: &str) -> u64 {
    calls.get(name).copied().unwrap_or(0)
}

/// Both workers wait in a read, and nothing is on its way.
async fn at_rest(fleet: &Fleet) {
    let waiting = async || fleet.redis.command(&["INFO", "clients"]).await.contains("blocked_clients:2");
    eventually("two readers wait", SOON, waiting).await;
    quiet(fleet, "").await;
}

/// Nothing is sent but this command.
async fn quiet(fleet: &Fleet, but: &str) {
    let (deadline, mut since, mut before) = (Instant::now() + SOON, Instant::now(), BTreeMap::new());
    // The sweep that follows the last entry comes within three seconds.
    while since.elapsed() < Duration::from_secs(4) {
        assert!(Instant::now() < deadline, "something is sent all the time: {before:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut now = fleet.redis.calls().await;
        now.remove(but);
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

/// As the ledger has it.
async fn metered(fleet: &Fleet) -> u64 {
    let spent = fleet.ledger().await.usage_ever().await.expect("read");
    spent.iter().map(|(_, commands)| u64::try_from(*commands).expect("a count")).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_video_costs_two_appends_two_reads_and_two_acknowledgements() {
    let fleet = Fleet::started("").await;
    fleet.account("ada").await;
    at_rest(&fleet).await;
    fleet.redis.reset_calls().await;
    let video = fleet.upload("ada", "alone").await;
    fleet.posted(&video).await;
    eventually("both entries are settled", SOON, async || of(&fleet.redis.calls().await, "xack") == 2).await;
    at_rest(&fleet).await;
    let calls = fleet.redis.calls().await;
    let wanted = [("xack", 2), ("xadd", 2), ("xreadgroup", 2)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(calls, wanted.into(), "six commands, and seven are promised");
}

#[tokio::test(flavor = "multi_thread")]
async fn videos_at_one_in_a_fifth_of_a_block_cost_no_idle_reads() {
    // As one a minute is to the default block of five minutes.
    let fleet = Fleet::started(&format!("[redis]\nblock = \"20s\"\n{LIMITS}")).await;
    // TikTok takes six a minute of one account.
    let accounts = ["ada", "bob"];
    for account in accounts {
        fleet.account(account).await;
    }
    at_rest(&fleet).await;
    fleet.redis.reset_calls().await;
    const VIDEOS: u64 = 8;
    let began = Instant::now();
    for (number, account) in (0..VIDEOS).zip(accounts.into_iter().cycle()) {
        let video = fleet.upload(account, &format!("number {number}")).await;
        fleet.posted(&video).await;
        tokio::time::sleep_until((began + Duration::from_secs(4) * (u32::try_from(number).expect("few") + 1)).into())
            .await;
    }
    eventually("all are settled", SOON, async || of(&fleet.redis.calls().await, "xack") == 2 * VIDEOS).await;
    let calls = fleet.redis.calls().await;
    let all: u64 = calls.values().sum();
    assert!(all * 2 <= VIDEOS * 13, "at most 6.5 a video: {all} for {VIDEOS}: {calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_workers_cost_one_read_each_a_block() {
    // 8,640 blocks of the default five minutes make a month of thirty days: 17,280 reads of two workers.
    let fleet = Fleet::started("[redis]\nblock = \"2s\"\n").await;
    quiet(&fleet, "xreadgroup").await;
    fleet.redis.reset_calls().await;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(9)).await;
    let calls = fleet.redis.calls().await;
    let blocks = began.elapsed().as_secs() / 2 + 1;
    assert_eq!(calls.keys().collect::<Vec<_>>(), ["xreadgroup"], "{calls:?}");
    let reads = of(&calls, "xreadgroup");
    assert!((4..=2 * blocks).contains(&reads), "{reads} reads in {blocks} blocks of two workers");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_dashboards_and_scrapes_cost_a_metered_plan_nothing() {
    let fleet = Fleet::started("[redis]\nmonthly_commands = 500000\n").await;
    fleet.account("ada").await;
    let video = fleet.upload("ada", "looked at").await;
    fleet.posted(&video).await;
    at_rest(&fleet).await;
    fleet.redis.reset_calls().await;
    let pages =
        ["streams", "history", "pending", "queue-health", "redis-usage"].map(|name| format!("/api/monitor/{name}"));
    let others = ["/api/videos", "/api/accounts", "/metrics", "/readyz", "/streams", "/budget", "/videos"];
    for _ in 0..10 {
        for path in pages.iter().map(String::as_str).chain(others) {
            assert!(!fleet.bytes(path).await.is_empty(), "{path}");
        }
    }
    assert_eq!(fleet.redis.calls().await, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_meter_and_the_server_count_the_same_also_over_kills() {
    let mut fleet = Fleet::new(LIMITS).await;
    fleet.redis.reset_calls().await;
    fleet.start_all().await;
    fleet.account("ada").await;
    for number in 0..2 {
        let video = fleet.upload("ada", &format!("number {number}")).await;
        fleet.posted(&video).await;
    }
    at_rest(&fleet).await;
    let all = async |fleet: &Fleet| fleet.redis.calls().await.values().sum::<u64>();
    eventually("all is written down", SOON, async || metered(&fleet).await == all(&fleet).await).await;
    // What was written down, a kill can't take away.
    for name in ["serve", "edit", "publish"] {
        fleet.kill(name);
    }
    assert_eq!(metered(&fleet).await, all(&fleet).await, "{:?}", fleet.redis.calls().await);
    fleet.start_all().await;
    let video = fleet.upload("ada", "after the kills").await;
    fleet.posted(&video).await;
    at_rest(&fleet).await;
    for name in ["serve", "edit", "publish"] {
        fleet.signal(name, rustix::process::Signal::TERM);
        fleet.ended(name, SOON).await;
    }
    let (counted, sent) = (metered(&fleet).await, all(&fleet).await);
    assert_eq!(counted, sent, "{:?}", fleet.redis.calls().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_released_while_nothing_comes_through_to_the_reader_starts_within_half_a_minute() {
    let mut fleet = Fleet::new("").await;
    let proxy = Proxy::before(&fleet.redis.socket()).await;
    fleet.set("REDIS_URL", &proxy.url());
    fleet.start_all().await;
    fleet.account("ada").await;
    at_rest(&fleet).await;
    // Reads that wait stay open for their reader, and are dead.
    proxy.silence("XREADGROUP");
    let began = Instant::now();
    let video = fleet.upload("ada", "into a dead connection").await;
    fleet
        .until_video(&video, "being edited", |video| {
            video["status"] != "UPLOADED" && video["status"] != "EDITING_QUEUED"
        })
        .await;
    let started = began.elapsed();
    assert!(started < Duration::from_secs(30), "{started:?}");
    fleet.posted(&video).await;
}
