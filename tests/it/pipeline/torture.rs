//! Random deaths under load, for as long as one likes, and a checker that asks the sandbox and the ledger what became of
//! every video:
//!
//! ```sh
//! TORTURE_SECONDS=180 TORTURE_SEED=7 cargo test --test it -- --ignored --nocapture torture
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rustix::process::Signal;
use subiteya::sandbox::{Call, Filter, Kind};

use crate::support::fleet::{Fleet, LOOSE, SLOW_BRAND, clip, large_clip, long_clip};

const WORKERS: [&str; 5] = ["serve", "edit", "edit2", "publish", "publish2"];
const CREATORS: usize = 10;
/// Of all, and of one account: inits in so many seconds.
const LIMITS: [(usize, f64); 2] = [(6, 10.0), (1, 4.0)];
/// What a busy machine may add between a permit and the arrival of its init.
const JITTER: f64 = 0.9;
/// What the sandbox does to the next call now and then.
const FAULTS: [&str; 14] = [
    "creator_info:cut-after",
    "creator_info:expire-token",
    "init:cut-after",
    "init:cut-before",
    "init:error=500",
    "init:delay=700ms",
    "chunk:cut-before",
    "chunk:cut-mid",
    "chunk:cut-after",
    "chunk:delay=700ms",
    "chunk:hang",
    "status:cut-after",
    "status:stale",
    "status:delay=700ms",
];

/// Xorshift: the same seed, the same history, as far as the machine lets it be.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("it fits") % bound
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run by hand, with a seed"]
async fn torture() {
    let (seconds, seed) = (number("TORTURE_SECONDS", 60), number("TORTURE_SEED", 1));
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let toml = LOOSE.replace(
        "[streams.\"video.edited\"]\nlimit = \"\"\nlimit_per_account = \"\"",
        "[streams.\"video.edited\"]\nlimit = \"6/10s\"\nlimit_per_account = \"1/4s\"",
    );
    let mut fleet = Fleet::with(&toml, |options| {
        options.limits.init_per_minute = 10_000;
        options.limits.creator_info_per_minute = 10_000;
        options.limits.status_per_minute = 10_000;
        options.limits.posts_per_day = 10_000;
    })
    .await;
    for number in 0..CREATORS {
        fleet.account(&format!("creator{number}")).await;
    }
    WORKERS.iter().for_each(|name| fleet.start_again(name));
    fleet.ready().await;

    let (mut accepted, mut tries) = (Vec::new(), 0);
    let mut done: BTreeMap<String, u32> = BTreeMap::new();
    let mut count = |what: &str| *done.entry(what.to_owned()).or_default() += 1;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut frozen: Vec<(&str, Instant)> = Vec::new();
    while Instant::now() < end {
        for (name, _) in frozen.extract_if(.., |(_, until)| *until < Instant::now()) {
            fleet.signal(name, Signal::CONT);
        }
        match dice.below(20) {
            0..6 => {
                let name = WORKERS[dice.below(WORKERS.len())];
                fleet.kill(name);
                fleet.start_again(name);
                count(&format!("SIGKILL {}", name.trim_end_matches('2')));
            }
            6 => {
                let name = WORKERS[dice.below(WORKERS.len())];
                fleet.signal(name, Signal::CONT);
                fleet.signal(name, Signal::TERM);
                fleet.ended(name, Duration::from_secs(20)).await;
                fleet.start_again(name);
                count("SIGTERM");
            }
            7 => {
                fleet.redis.command(&["FLUSHALL"]).await;
                count("FLUSHALL");
            }
            8 => {
                fleet.redis.kill().await;
                tokio::time::sleep(Duration::from_millis(dice.below(1500) as u64)).await;
                fleet.redis.restart().await;
                count("SIGKILL redis");
            }
            9 => {
                // Longer than a lease: its work is taken over, and then it wakes.
                let name = WORKERS[1 + dice.below(WORKERS.len() - 1)];
                fleet.signal(name, Signal::STOP);
                frozen.push((name, Instant::now() + Duration::from_millis(2_000 + dice.below(5_000) as u64)));
                count("SIGSTOP");
            }
            10..12 => {
                fleet.faults(&[FAULTS[dice.below(FAULTS.len())]]);
                count("fault");
            }
            _ => {
                let account = format!("creator{}", dice.below(CREATORS));
                tries += 1;
                let title = format!("try {tries}");
                let upload = async {
                    match dice.below(12) {
                        0 => fleet.try_upload(&account, &title, &[], large_clip()).await,
                        1 | 2 => fleet.try_upload(&account, &title, &[("brand", SLOW_BRAND)], long_clip()).await,
                        _ => fleet.try_upload(&account, &title, &[], clip()).await,
                    }
                };
                match upload.await {
                    Some(id) => accepted.push(id),
                    None => count("upload without an answer"),
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100 + dice.below(900) as u64)).await;
    }
    fleet.sandbox.clear_faults();
    frozen.iter().for_each(|(name, _)| fleet.signal(name, Signal::CONT));
    for name in WORKERS {
        if !fleet.lives(name) {
            panic!("{name} ended by itself:\n{}", fleet.log(name));
        }
    }
    println!("seed {seed}: {seconds} s, {} videos accepted of {tries}, {done:?}; waiting for the end", accepted.len());
    fleet.ready().await;
    let ended = until_all_have_ended(&fleet).await;
    println!("seed {seed}: {ended:?}");
    check(&fleet, &accepted).await;
    println!("seed {seed}: no promise was broken");
}

async fn all(fleet: &Fleet) -> Vec<serde_json::Value> {
    let (mut videos, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = fleet.get(&format!("/api/videos?limit=100{cursor}")).await;
        videos.extend(page["videos"].as_array().expect("videos").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return videos,
        }
    }
}

const ENDS: [&str; 4] = ["POSTED", "FAILED", "CANCELED", "NEEDS_REVIEW"];

async fn until_all_have_ended(fleet: &Fleet) -> BTreeMap<String, u32> {
    let deadline = Instant::now() + Duration::from_secs(number("TORTURE_PATIENCE", 240));
    loop {
        let videos = all(fleet).await;
        let mut counts = BTreeMap::new();
        for video in &videos {
            *counts.entry(video["status"].as_str().expect("a status").to_owned()).or_default() += 1;
        }
        let open: Vec<_> =
            videos.iter().filter(|video| !ENDS.contains(&video["status"].as_str().expect("a status"))).collect();
        if open.is_empty() {
            return counts;
        }
        if Instant::now() > deadline {
            let shown: Vec<_> = futures::future::join_all(
                open.iter().take(3).map(|video| fleet.video(video["id"].as_str().expect("an id"))),
            )
            .await;
            panic!("{} never end: {shown:#?}\n{}", open.len(), fleet.logs());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn check(fleet: &Fleet, accepted: &[String]) {
    let mut wrong = Vec::new();
    let ledger = fleet.ledger().await;
    let videos = all(fleet).await;
    for id in accepted {
        if !videos.iter().any(|video| video["id"] == **id) {
            wrong.push(format!("{id} was accepted and is lost"));
        }
    }
    for video in &videos {
        let (title, status) = (video["title"].as_str().expect("a title"), video["status"].as_str().expect("a status"));
        let posts = fleet.posts(title);
        let fits = match status {
            "POSTED" => posts.len() == 1,
            "NEEDS_REVIEW" => posts.len() <= 1,
            _ => posts.is_empty(),
        };
        if !fits {
            wrong.push(format!("{status} with {} posts: {video:#}", posts.len()));
        }
        if status == "FAILED" && video["reason"]["code"] != "poison" {
            wrong.push(format!("failed without cause: {video:#}"));
        }
        let row = ledger.video(video["id"].as_str().expect("an id").parse().expect("an id")).await.expect("read");
        let hash = row.and_then(|row| row.edited_sha256).unwrap_or_default();
        if posts.iter().any(|post| post.sha256 != hash) {
            wrong.push(format!("other bytes than the rendition's: {video:#}"));
        }
    }
    let titles: Vec<_> = videos.iter().filter_map(|video| video["title"].as_str()).collect();
    wrong.extend(
        fleet
            .sandbox
            .posts()
            .iter()
            .filter(|post| !titles.contains(&post.title.as_str()))
            .map(|post| format!("a post of nobody's: {post:?}")),
    );
    let inits = fleet.calls(Kind::Init).await;
    limit(&inits, LIMITS[0], &mut wrong);
    let mut creators: BTreeMap<String, Vec<Call>> = BTreeMap::new();
    for call in inits {
        creators.entry(call.open_id.clone().unwrap_or_default()).or_default().push(call);
    }
    creators.values().for_each(|calls| limit(calls, LIMITS[1], &mut wrong));
    let broken = fleet.sandbox.record(Filter { violations: true, ..Filter::default() }).await.expect("the record");
    wrong.extend(broken.iter().map(|call| format!("a rule of TikTok's was broken: {call:?}")));
    let logs = fleet.logs();
    for line in
        logs.lines().filter(|line| ["panicked", "is locked", "unreadable"].iter().any(|word| line.contains(word)))
    {
        wrong.push(line.to_owned());
    }
    fleet.until_no_ffmpeg().await;
    if !wrong.is_empty() {
        let file = std::env::temp_dir().join("torture.log");
        std::fs::write(&file, logs).expect("written");
        panic!("{}\nlogs in {}", wrong.join("\n"), file.display());
    }
}

/// At most `count` calls in any window, by their arrival.
fn limit(calls: &[Call], (count, seconds): (usize, f64), wrong: &mut Vec<String>) {
    let mut times: Vec<DateTime<Utc>> = calls.iter().map(|call| call.wall_time).collect();
    times.sort_unstable();
    for window in times.windows(count + 1) {
        let took = (window[count] - window[0]).as_seconds_f64();
        if took < seconds * JITTER {
            wrong.push(format!("{} inits in {took:.3} s, {count} in {seconds} s are allowed: {window:?}", count + 1));
        }
    }
}
