//! `claim`: the plan, and then exactly that.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use subiteya::event::{LeaseToken, Stage};
use subiteya::task::{Claim, Leased, State};

use super::{agreed, calls, dry, id, ids, planned, refusals};
use crate::fixture::{Server, connect};
use crate::support::redis::Redis;

const CLAIM: &str = "/api/streams/claim";

/// A worker took these entries off the stream, and died so long ago.
async fn stalled(server: &Server, redis: &Redis, videos: &[String], ago: i64) {
    redis.command(&["XGROUP", "CREATE", "video.uploaded", "edit", "0", "MKSTREAM"]).await;
    for video in videos {
        let read = ["XREADGROUP", "GROUP", "edit", "dead-worker", "COUNT", "1", "STREAMS", "video.uploaded", ">"];
        let read = redis.command(&read).await;
        let entry = read.lines().find(|line| line.contains('-') && !line.contains(' ') && line.len() > 10);
        let tx = server.tx().await;
        let row = tx.task_of(id(video), Stage::Edit).await.expect("read").expect("a task");
        let claim = Claim {
            token: LeaseToken::new(),
            holder: "dead-worker".to_owned(),
            entry: entry.map(|entry| entry.trim().to_owned()),
            lease: Duration::from_secs(30),
        };
        let Ok(Leased::Granted(task)) = row.task.lease(claim, tx.now() - ago) else { panic!("a lease") };
        tx.put_task(&row.task, &task).await.expect("written");
        tx.commit().await.expect("committed");
    }
}

#[tokio::test]
async fn a_claim_costs_what_its_plan_says_and_frees_what_a_dead_worker_held() {
    let redis = Redis::start().await;
    let server = Server::with(Some(connect(&redis).await), None).await;
    let mut videos = [server.video().await, server.video().await, server.video().await];
    stalled(&server, &redis, &videos, 600_000).await;
    assert_eq!(redis.pending("video.uploaded", "edit").await, 3);
    redis.reset_calls().await;
    let plan = server.order(CLAIM, dry(json!({}))).await;
    assert_eq!(calls(&redis).await, BTreeMap::new(), "a plan costs nothing");
    videos.sort();
    assert_eq!(ids(&plan, "claimed"), videos);
    assert_eq!(plan["commands"]["total"], 7, "one XCLAIM, XACK, XPENDING, XGROUP for all of them, and three XADDs");
    server.order(CLAIM, agreed(json!({}), &plan)).await;
    assert_eq!(calls(&redis).await, planned(&plan));
    assert_eq!(redis.pending("video.uploaded", "edit").await, 0);
    for video in &videos {
        let task = server.task(video, Stage::Edit).await;
        assert_eq!((task.state, task.attempts, task.takeovers), (State::Queued, 0, 0));
    }
}

#[tokio::test]
async fn what_is_named_and_cannot_be_claimed_is_refused_with_its_reason() {
    let redis = Redis::start().await;
    let server = Server::with(Some(connect(&redis).await), None).await;
    let [dead, alive, waits] = [server.video().await, server.video().await, server.video().await];
    stalled(&server, &redis, std::slice::from_ref(&dead), 600_000).await;
    stalled(&server, &redis, std::slice::from_ref(&alive), 10_000).await;
    let entry = server.task(&dead, Stage::Edit).await.entry.expect("an entry");
    let named = json!({ "ids": [&entry, &alive, &waits, "9-9"] });
    let plan = server.order(CLAIM, dry(named)).await;
    assert_eq!(ids(&plan, "claimed"), [&*dead]);
    let said = refusals(&plan);
    assert_eq!((said[&alive].as_str(), said[&waits].as_str()), ("lease_held", "not_running"));
    assert_eq!(said["9-9"], "not_found");
    let plan = server.order(CLAIM, dry(json!({ "ids": [&dead], "minIdle": "1h" }))).await;
    assert_eq!(refusals(&plan)[&dead], "not_idle");
    let plan = server.order(CLAIM, dry(json!({ "minIdle": "1h" }))).await;
    assert!(ids(&plan, "claimed").is_empty() && refusals(&plan).is_empty());
}
