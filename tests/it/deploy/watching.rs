//! The dashboard and the alert rules held to `/metrics`: what they ask for is really there.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use subiteya::event::{LeaseToken, Stage};
use subiteya::ledger::Worker;
use subiteya::outcome::Reason;
use subiteya::task::{Claim, Leased, Task};

use super::processes::{root, text, yaml};
use crate::fixture::{Server, connect, stages};
use crate::support::redis::Redis;

/// The expressions of every panel and of every rule.
fn asked_for() -> BTreeSet<String> {
    let dashboard: serde_json::Value =
        serde_json::from_str(&text("deploy/grafana/subiteya.json")).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut asked: Vec<String> =
        targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect();
    assert!(asked.len() > 30, "{asked:?}");
    let rules = yaml("deploy/prometheus/rules.yaml").remove(0);
    let rules = rules["groups"][0]["rules"].as_array().expect("rules").clone();
    asked.extend(rules.iter().map(|rule| rule["expr"].as_str().expect("an expression").to_owned()));
    asked.iter().flat_map(|expression| names(expression)).collect()
}

/// The metrics that an expression names.
fn names(expression: &str) -> Vec<String> {
    let words = expression.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words.filter(|word| word.starts_with("subiteya_") || word.starts_with("redis_")).map(str::to_owned).collect()
}

/// Every kind of work: one that runs, one that is parked, one that waits; and whoever would do it.
async fn fill(server: &Server) {
    let ledger = &server.state.ledger;
    for place in 0..3 {
        let video = server.video().await.parse().expect("an id");
        let tx = ledger.begin().await.expect("a transaction");
        let row = tx.task_of(video, Stage::Edit).await.expect("read").expect("a task");
        let task = match place {
            0 => {
                let lease = std::time::Duration::from_secs(30);
                let entry = Some("1700000000000-0".to_owned());
                let claim = Claim { token: LeaseToken::new(), holder: "somebody".to_owned(), entry, lease };
                let Ok(Leased::Granted(task)) = row.task.lease(claim, tx.now()) else { panic!("a lease") };
                task
            }
            1 => {
                let waiting = row.task.doubt(tx.now()).unwrap_or_else(|_| row.task.clone());
                let wait = Some(Reason::new("store_away", "later"));
                Task { due_at: tx.now() + 600_000, wait, ..waiting }
            }
            _ => row.task.doubt(tx.now()).unwrap_or_else(|_| row.task.clone()),
        };
        tx.put_task(&row.task, &task).await.expect("written");
        tx.commit().await.expect("committed");
    }
    let tx = ledger.begin().await.expect("a transaction");
    let worker = Worker {
        name: "somebody".to_owned(),
        stage: "edit".to_owned(),
        host: "here".to_owned(),
        pid: 1,
        slots: 2,
        busy: 1,
        started_at: tx.now(),
        seen_at: tx.now(),
    };
    tx.seen(&worker).await.expect("written");
    tx.add_usage("2026-11", "read", "work edit", 7).await.expect("written");
    tx.commit().await.expect("committed");
}

async fn scraped(monthly_commands: Option<u64>) -> String {
    let redis = Redis::start().await;
    let streams = connect(&redis).await;
    streams.recognise().await.expect("it says what it is");
    for stage in Stage::STREAMED {
        streams.ensure_group(stage).await.expect("a group");
    }
    let mut stages = stages();
    stages.edit.limit = Some("3/1m".parse().expect("a rate"));
    stages.publish.limit_per_account = Some("1/5m".parse().expect("a rate"));
    let server = Server::on(None, stages, Some(streams), monthly_commands).await;
    fill(&server).await;
    redis.command(&["XREADGROUP", "GROUP", "edit", "somebody", "COUNT", "1", "STREAMS", "video.uploaded", ">"]).await;
    server.get(&server.viewer, "/metrics").await.text().await.expect("text")
}

#[tokio::test]
async fn every_metric_of_the_dashboard_and_the_rules_is_exposed_and_promtool_finds_no_fault() {
    let (unmetered, metered) = (scraped(None).await, scraped(Some(500_000)).await);
    let samples = unmetered.lines().chain(metered.lines()).filter(|line| !line.starts_with('#'));
    let exposed: BTreeSet<String> = samples.flat_map(|line| names(line).into_iter().take(1)).collect();
    let missing: Vec<_> = asked_for().into_iter().filter(|name| !exposed.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} of the dashboard or the rules is not in\n{unmetered}\n{metered}");
    for only_redis_knows in ["idle_seconds", "entry_id", "radix_tree", "entries_read", "entries_added"] {
        assert!(!metered.contains(only_redis_knows) && unmetered.contains(only_redis_knows), "{only_redis_knows}");
    }
    let Ok(promtool) = root().join("target/tools/servers/promtool").canonicalize() else {
        eprintln!("skipped: there is no promtool (scripts/promtool.sh)");
        return;
    };
    for scrape in [unmetered, metered] {
        let mut check = Command::new(&promtool);
        let check =
            check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut check = check.spawn().expect("promtool runs");
        check.stdin.take().expect("a pipe").write_all(scrape.as_bytes()).expect("written");
        let said = check.wait_with_output().expect("it ends");
        let complaints: Vec<String> = String::from_utf8_lossy(&said.stderr)
            .lines()
            // redis_exporter's names are not ours to mend.
            .filter(|line| !line.starts_with("redis_"))
            .map(str::to_owned)
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}
