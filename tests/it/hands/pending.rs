//! `pending`: the ledger's leases beside Redis' pending list, and what that costs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use subiteya::event::{LeaseToken, Stage};
use subiteya::stream::Purpose;
use subiteya::task::{Claim, Leased, State, Task};

use super::calls;
use crate::fixture::{Server, connect};
use crate::support::redis::Redis;

/// Delivered to this consumer: the ids.
async fn read(redis: &Redis, consumer: &str, count: &str) -> Vec<String> {
    let read = ["XREADGROUP", "GROUP", "edit", consumer, "COUNT", count, "STREAMS", "video.uploaded", ">"];
    let read = redis.command(&read).await;
    let is_id = |line: &&str| {
        line.split_once('-').is_some_and(|(ms, seq)| {
            ms.len() == 13 && [ms, seq].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    read.lines().map(str::trim).filter(is_id).map(str::to_owned).collect()
}

/// One video in each standing: running and stalled, with their entries pending; set aside; ended and not acknowledged; read and not
/// begun; and an entry that is none of ours. Gives what each is expected to be, by entry.
async fn filled(server: &Server, redis: &Redis) -> BTreeMap<String, &'static str> {
    let standings = ["running", "stalled", "setAside", "ended", "read"];
    let mut videos = BTreeMap::new();
    for standing in standings {
        let video = server.video().await;
        videos.insert(server.task(&video, Stage::Edit).await.seq, (video, standing));
    }
    redis.command(&["XADD", "video.uploaded", "*", "what", "ever"]).await;
    let mut entries = read(redis, "worker", "10").await.into_iter();
    let mut expected = BTreeMap::new();
    for (video, standing) in videos.into_values() {
        let entry = entries.next().expect("an entry each");
        let tx = server.tx().await;
        let row = tx.task_of(super::id(&video), Stage::Edit).await.expect("read").expect("a task");
        let leased = |ago: i64| {
            let claim = Claim {
                token: LeaseToken::new(),
                holder: "worker".to_owned(),
                entry: Some(entry.clone()),
                lease: std::time::Duration::from_secs(30),
            };
            let Ok(Leased::Granted(task)) = row.task.lease(claim, tx.now() - ago) else { panic!("a lease") };
            task
        };
        let task = match standing {
            "running" => leased(0),
            "stalled" => leased(600_000),
            "setAside" => row.task.set_aside(entry.clone()).expect("queued"),
            "ended" => Task { state: State::Done, entry: Some(entry.clone()), ..row.task.clone() },
            _ => row.task.clone(),
        };
        tx.put_task(&row.task, &task).await.expect("written");
        tx.commit().await.expect("committed");
        // What was only read has left no trace in the ledger, so no task is known under its entry.
        expected.insert(entry, if standing == "read" { "unknown" } else { standing });
    }
    expected.insert(entries.next().expect("the entry that is none of ours"), "unknown");
    expected
}

fn standings(answer: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    answer["pending"].as_array().expect("a list").iter().map(|one| (text(&one["entry"]), text(&one["state"]))).collect()
}

#[tokio::test]
async fn every_entry_in_somebodys_hands_is_shown_with_what_the_ledger_and_redis_say_of_it() {
    let redis = Redis::start().await;
    let streams = connect(&redis).await;
    streams.ensure_group(Stage::Edit).await.expect("a group");
    let server = Server::with(Some(streams), None).await;
    let expected = filled(&server, &redis).await;
    let answer = server.ask("/api/monitor/pending").await;
    assert_eq!(answer["source"], "redis");
    let seen = standings(&answer);
    assert_eq!(seen, expected.iter().map(|(id, state)| (id.clone(), (*state).to_owned())).collect());
    let rows = answer["pending"].as_array().expect("a list");
    assert!(
        rows.iter().all(|row| row["redis"]["consumer"] == "worker" && row["redis"]["deliveries"] == 1),
        "{rows:#?}"
    );
    let unknown: Vec<&Value> = rows.iter().filter(|row| row["state"] == "unknown").collect();
    assert!(unknown.iter().all(|row| row["taskId"].is_null() && row["idleMs"].is_number()), "{unknown:#?}");
    let stalled = server.ask("/api/monitor/pending?minIdle=5m").await;
    assert_eq!(standings(&stalled).into_values().collect::<Vec<_>>(), ["stalled"]);
}

#[tokio::test]
async fn on_a_metered_plan_redis_is_asked_only_by_who_says_so_and_it_is_counted() {
    let redis = Redis::start().await;
    let streams = connect(&redis).await;
    let meter = streams.meter().clone();
    streams.ensure_group(Stage::Edit).await.expect("a group");
    let server = Server::with(Some(streams), Some(500_000)).await;
    filled(&server, &redis).await;
    let looks = || meter.peek().get(&Purpose::Look).copied().unwrap_or(0);
    let before = looks();
    redis.reset_calls().await;
    let answer = server.ask("/api/monitor/pending").await;
    assert_eq!((&answer["source"], &answer["commands"]), (&json!("ledger"), &json!(0)));
    let states: Vec<String> = standings(&answer).into_values().collect();
    assert_eq!(states.len(), 2, "the ledger knows of what runs: {states:?}");
    assert_eq!((calls(&redis).await, looks()), (BTreeMap::new(), before));
    let answer = server.ask("/api/monitor/pending?redis=true").await;
    assert_eq!((&answer["source"], &answer["commands"]), (&json!("redis"), &json!(2)));
    assert_eq!(standings(&answer).len(), 6);
    assert_eq!(calls(&redis).await, [("XPENDING".to_owned(), 2)].into(), "one for each stream");
    assert_eq!(looks(), before + 2);
}
