//! Pitfalls of Redis Streams that need more than the loop; and that none of the list is without a test.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use subiteya::event::Stage;
use subiteya::outcome::Reason;
use subiteya::stream::{Meter, Options, StreamError, Streams};

use super::cases::entry;
use crate::support::clock;
use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::stage::{Pipeline, Script};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_23_workers_whose_clocks_are_an_hour_off_do_the_same() {
    let mut fleet = Fleet::new(LOOSE).await;
    fleet.start("serve", &["serve"]);
    for (name, shift) in [("edit", "+1h"), ("publish", "-1h")] {
        for (variable, value) in clock::shifted(shift) {
            fleet.set(variable, &value);
        }
        fleet.start_again(name);
    }
    fleet.ready().await;
    fleet.account("ada").await;
    let id = fleet.upload("ada", "under three clocks").await;
    fleet.posted(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_26_a_redis_that_may_lose_entries_is_a_warning_and_a_metric() {
    let mut fleet = Fleet::new(LOOSE).await;
    fleet.redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    fleet.start_all().await;
    for name in ["serve", "edit", "publish"] {
        // A worker may still be starting when `serve` is ready.
        eventually(&format!("{name} warns"), SOON, async || {
            let log = fleet.log(name);
            log.contains("evicts keys") && log.contains("noeviction") && log.contains("append-only")
        })
        .await;
    }
    let metrics = String::from_utf8(fleet.bytes("/metrics").await).unwrap();
    assert!(metrics.contains("subiteya_redis_evicts 1") && metrics.contains("subiteya_redis_persists 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_26_what_was_evicted_is_not_lost() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let process = pipeline.process(&script).await;
    let mut videos = Vec::new();
    for _ in 0..10 {
        videos.push(pipeline.upload().await);
    }
    eventually("two of them run", SOON, || async { script.runs() == 2 }).await;
    let redis = &pipeline.redis;
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    eventually("the stream is evicted", SOON, || async {
        redis.command(&["SET", "another", "key"]).await;
        redis.command(&["EXISTS", "video.uploaded"]).await == ":0\r\n"
    })
    .await;
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    script.gate.add_permits(1_000);
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
    assert_eq!(script.runs(), 10);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_31_five_thousand_parked_videos_are_not_pending() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    pipeline.commit_parked(5_000, &Reason::new("test", "later")).await;
    let process = pipeline.process(&script).await;
    let mut videos = Vec::new();
    for _ in 0..30 {
        videos.push(pipeline.upload().await);
        // What is at work, and what has ended and waits for company with its XACK: none that is parked.
        let pending = pipeline.redis.pending("video.uploaded", "edit").await;
        assert!(pending <= videos.len() as u64, "{pending} of {}", videos.len());
    }
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
    assert_eq!((script.runs(), pipeline.redis.calls().await["xadd"]), (30, 30), "a parked video costs no command");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_33_memory_stays_flat_while_redis_says_nothing() {
    let redis = Redis::start().await;
    let proxy = Proxy::before(&redis.socket()).await;
    let options = Options { command_timeout: Duration::from_millis(200), ..Options::default() };
    let streams = Streams::connect(&proxy.url(), options, Meter::default()).await.unwrap();
    proxy.mute();
    let mut sizes = Vec::new();
    for _ in 0..20 {
        let appends = (0..3_000).map(|_| {
            let (streams, entry) = (streams.clone(), entry());
            async move { streams.append(Stage::Edit, &entry).await }
        });
        for appended in futures::future::join_all(appends).await {
            assert!(matches!(appended, Err(StreamError::Unavailable(_))), "{appended:?}");
        }
        sizes.push(resident());
    }
    let (early, late) = (sizes[4], sizes[19]);
    // 45,000 entries that were kept would be several times that.
    assert!(late < early + 16 * 1024 * 1024, "{early} bytes, then {late}: {sizes:?}");
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = text.split(' ').nth(1).expect("a number").parse().expect("a number");
    pages * 4096
}

/// `pitfall_07_…` in a test's name, or `Pitfalls 3 and 20.` in its documentation.
#[test]
fn every_pitfall_of_the_list_has_its_test() {
    let mut named = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), &mut named);
    let missing: Vec<u32> = (1..=33).filter(|row| !named.contains(row)).collect();
    assert!(missing.is_empty(), "without a test: {missing:?}");
}

fn collect(folder: &Path, named: &mut BTreeSet<u32>) {
    for file in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = file.path();
        if path.is_dir() {
            collect(&path, named);
        } else {
            let text = std::fs::read_to_string(&path).expect("text");
            for line in text.lines().map(str::trim) {
                let rest = line.split_once("fn pitfall").or_else(|| line.split_once("/// Pitfall"));
                let Some((_, rest)) = rest else { continue };
                let end = rest.find([':', '.', '(']).unwrap_or(rest.len());
                let numbers = rest[..end].split(|letter: char| !letter.is_ascii_digit());
                named.extend(numbers.filter_map(|number| number.parse::<u32>().ok()));
            }
        }
    }
}
