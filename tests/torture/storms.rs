//! Random deaths under load: processes killed, frozen and stopped, Redis wiped and killed, TikTok faulty.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::checker::{self, Late, Scope};
use crate::dice::Dice;
use crate::pipeline::{Database, LOOSE, Pipeline, Process};

const PROCESSES: [&str; 5] = ["serve", "edit", "edit2", "publish", "publish2"];
const CREATORS: usize = 10;
const LIMITS: [(Scope, usize, f64); 3] =
    [(Scope::Edits, 10, 5.0), (Scope::Inits, 6, 5.0), (Scope::InitsOfCreator, 1, 3.0)];
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
/// Until all videos have ended, once nobody is killed any more.
const PATIENCE: Duration = Duration::from_secs(180);

/// How many processes are killed in one storm.
pub(crate) async fn storm(database: Database, seed: u64, kills: u32) -> Result<BTreeMap<String, u32>, String> {
    let mut dice = Dice::new(seed);
    let toml = LOOSE
        .replacen("limit = \"\"", "limit = \"10/5s\"", 1)
        .replace("limit = \"\"\nlimit_per_account = \"\"", "limit = \"6/5s\"\nlimit_per_account = \"1/3s\"");
    let mut pipeline = Pipeline::with(database, &toml, "").await;
    let creators: Vec<String> = (0..CREATORS).map(|number| format!("creator{number}")).collect();
    pipeline.fleet.accounts(&creators).await;
    pipeline.kill(Process::Serve);
    pipeline.kill(Process::Work);
    PROCESSES.iter().for_each(|name| pipeline.start_named(name));
    pipeline.fleet.ready().await;

    let mut accepted = Vec::new();
    let mut done: BTreeMap<String, u32> = BTreeMap::new();
    let mut frozen: Vec<(&str, Instant)> = Vec::new();
    let mut killed = 0;
    while killed < kills {
        let fleet = &mut pipeline.fleet;
        let mut count = |what: &str| *done.entry(what.to_owned()).or_default() += 1;
        for (name, _) in frozen.extract_if(.., |(_, until)| *until < Instant::now()) {
            fleet.signal(name, Signal::CONT);
        }
        pipeline.standin.lasts(dice.below(8) as f64 / 10.0);
        match dice.below(21) {
            0..6 => {
                let name = PROCESSES[dice.below(PROCESSES.len())];
                fleet.kill(name);
                pipeline.start_named(name);
                killed += 1;
                count(&format!("SIGKILL {}", name.trim_end_matches('2')));
            }
            6 => {
                let name = PROCESSES[dice.below(PROCESSES.len())];
                fleet.signal(name, Signal::CONT);
                fleet.signal(name, Signal::TERM);
                fleet.ended(name, Duration::from_secs(20)).await;
                pipeline.start_named(name);
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
                killed += 1;
                count("SIGKILL redis");
            }
            9 => {
                // Longer than a lease: its work is taken over, and then it wakes.
                let name = PROCESSES[1 + dice.below(PROCESSES.len() - 1)];
                fleet.signal(name, Signal::STOP);
                frozen.push((name, Instant::now() + Duration::from_millis(1_000 + dice.below(3_000) as u64)));
                count("SIGSTOP");
            }
            10..12 => {
                fleet.faults(&[FAULTS[dice.below(FAULTS.len())]]);
                count("fault");
            }
            12 => {
                if let Some(id) = accepted.last() {
                    // Too late for some, which says 409.
                    let answer = fleet.try_post(&format!("/api/videos/{id}/cancel"), &serde_json::json!({})).await;
                    count(if answer == Some(200) { "canceled" } else { "not canceled" });
                }
            }
            _ => {
                let account = &creators[dice.below(CREATORS)];
                let title = pipeline.title();
                match pipeline.upload(account, &title).await {
                    Some(id) => accepted.push(id),
                    None => count("upload without an answer"),
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50 + dice.below(400) as u64)).await;
    }
    pipeline.fleet.sandbox.clear_faults();
    frozen.iter().for_each(|(name, _)| pipeline.fleet.signal(name, Signal::CONT));
    let mut wrong: Vec<String> = Vec::new();
    for name in PROCESSES {
        if !pipeline.fleet.lives(name) {
            wrong.push(format!("{name} ended by itself"));
        }
    }
    pipeline.fleet.ready().await;
    wrong.extend(quiet(&pipeline, &accepted, &mut done).await);
    wrong.extend(checker::whole(&pipeline.fleet, &LIMITS).await);
    if wrong.is_empty() {
        Ok(done)
    } else {
        Err(format!("seed {seed}: {}\n{}", wrong.join("\n"), pipeline.fleet.logs()))
    }
}

/// Waits for the end of all videos, and checks each.
async fn quiet(pipeline: &Pipeline, accepted: &[String], done: &mut BTreeMap<String, u32>) -> Vec<String> {
    let mut wrong = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    let videos = loop {
        let videos = checker::all(&pipeline.fleet).await;
        if videos.iter().all(checker::is_end) {
            break videos;
        }
        if Instant::now() > deadline {
            let open = videos.iter().find(|video| !checker::is_end(video)).expect("one");
            let shown = pipeline.fleet.video(open["id"].as_str().expect("an id")).await;
            return vec![format!("never ends: {shown:#}")];
        }
        pipeline.connect_again(&videos).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    for id in accepted {
        if !videos.iter().any(|video| video["id"] == **id) {
            wrong.push(format!("{id} was accepted and is lost"));
        }
    }
    for video in &videos {
        let whole = pipeline.fleet.video(video["id"].as_str().expect("an id")).await;
        wrong.extend(checker::video(&pipeline.fleet, &whole, Late::Unknown).await);
        let status = whole["status"].as_str().expect("a status");
        if status == "FAILED" && whole["reason"]["code"] != "poison" {
            wrong.push(format!("failed without cause: {whole:#}"));
        }
        *done.entry(status.to_owned()).or_default() += 1;
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_random_kills_under_load() {
    storm(Database::Sqlite, 20, 20).await.unwrap_or_else(|wrong| panic!("{wrong}"));
}
