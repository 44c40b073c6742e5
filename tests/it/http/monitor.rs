//! What the monitor says, and that it costs a metered plan nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use subiteya::event::{LeaseToken, Stage, VideoId};
use subiteya::http::{AppState, Parts, router};
use subiteya::ledger::{Pause, Room, Sample, TaskRow};
use subiteya::limit::{self, Key};
use subiteya::outcome::Reason;
use subiteya::stream::Purpose;
use subiteya::task::{Claim, Leased, State, Task};

use tower::ServiceExt;

use crate::fixture::{Server, connect, stages};
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;

async fn json_of(server: &Server, path: &str) -> Value {
    let answer = server.get(&server.operator, path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("json")
}

#[tokio::test]
async fn pitfall_24_a_loop_that_falls_silent_makes_its_process_not_ready() {
    let server = Server::start().await;
    assert_eq!(server.get(&server.viewer, "/readyz").await.status(), 200);
    server.state.health.watch("relay", Duration::ZERO);
    let answer = server.get(&server.viewer, "/readyz").await;
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));
    let body: Value = answer.json().await.expect("json");
    assert_eq!((&body["status"], &body["silentLoops"]), (&json!("unavailable"), &json!(["relay"])));
}

#[tokio::test]
async fn looking_costs_a_metered_plan_no_command() {
    let redis = Redis::start().await;
    let streams = connect(&redis).await;
    let meter = streams.meter().clone();
    let server = Server::with(Some(streams), Some(500_000)).await;
    server.video().await;
    let before: BTreeMap<_, _> = meter.peek();
    assert_eq!(before.get(&Purpose::Append), Some(&1), "the upload was released at once");
    for _ in 0..3 {
        for path in ["redis-usage", "queue-health", "streams", "history", "pending"] {
            json_of(&server, &format!("/api/monitor/{path}")).await;
        }
        server.get(&server.viewer, "/metrics").await;
        server.get(&server.viewer, "/readyz").await;
    }
    assert_eq!(meter.peek(), before);
    assert!(!redis.calls().await.keys().any(|command| command.starts_with("xinfo")), "nor an uncounted one");
    let streams = json_of(&server, "/api/monitor/streams").await;
    let edit = &streams["streams"][0];
    assert_eq!((edit["lagSource"].as_str(), edit["lag"].as_u64()), (Some("ledger"), Some(1)));
    let usage = json_of(&server, "/api/monitor/redis-usage").await;
    assert_eq!(usage["limit"], 500_000);
    assert_eq!(usage["byPurpose"]["append"], 1);
    assert_eq!(usage["status"], "OK");
    let health = json_of(&server, "/api/monitor/queue-health").await;
    assert_eq!((&health["redis"], &health["queuesActive"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn without_a_plan_redis_is_asked_and_an_unknown_lag_is_null() {
    let redis = Redis::start().await;
    let server = Server::with(Some(connect(&redis).await), None).await;
    let metrics = server.get(&server.viewer, "/metrics").await.text().await.expect("text");
    assert!(!metrics.contains("redis_stream_group_lag{"), "no group, no lag: {metrics}");
    let streams = json_of(&server, "/api/monitor/streams").await;
    assert_eq!((&streams["streams"][0]["lagSource"], &streams["streams"][0]["lag"]), (&json!("redis"), &Value::Null));
}

#[tokio::test]
async fn stream_metrics_have_redis_exporters_names() {
    let redis = Redis::start().await;
    let connection = connect(&redis).await;
    connection.ensure_group(Stage::Edit).await.expect("a group");
    let server = Server::with(Some(connection), None).await;
    server.video().await;
    let metrics = server.get(&server.viewer, "/metrics").await.text().await.expect("text");
    for line in [
        "redis_stream_length{db=\"db0\",stream=\"video.uploaded\"} 1",
        "redis_stream_groups{db=\"db0\",stream=\"video.uploaded\"} 1",
        "redis_stream_radix_tree_keys{db=\"db0\",stream=\"video.uploaded\"} 1",
        "redis_stream_max_deleted_entry_id{db=\"db0\",stream=\"video.uploaded\"} 0",
        "redis_stream_group_lag{db=\"db0\",group=\"edit\",stream=\"video.uploaded\"} 1",
        "redis_stream_group_messages_pending{db=\"db0\",group=\"edit\",stream=\"video.uploaded\"} 0",
        "redis_stream_group_last_delivered_id{db=\"db0\",group=\"edit\",stream=\"video.uploaded\"} 0",
        "redis_stream_entries_added_total{db=\"db0\",stream=\"video.uploaded\"} 1",
        "subiteya_videos{status=\"EDITING_QUEUED\"} 1",
        "subiteya_tasks{stage=\"edit\",state=\"queued\"} 1",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn the_charts_history_survives_a_restart_and_ends_with_now() {
    let server = Server::start().await;
    let tx = server.state.ledger.begin().await.expect("a transaction");
    let hour_ago = tx.now() - tx.now().rem_euclid(60_000) - 3_600_000;
    let sample = Sample {
        at: hour_ago,
        stage: Stage::Edit,
        length: Some(9),
        lag: None,
        pending: Some(2),
        oldest_ms: Some(5_000),
        waiting: 4,
        parked: 3,
        dead: 1,
        done: 2,
    };
    tx.put_sample(&sample).await.expect("written");
    tx.put_sample(&Sample { at: hour_ago + 60_000, lag: Some(7), ..sample }).await.expect("written");
    tx.commit().await.expect("committed");
    let history = json_of(&server, "/api/monitor/history?hours=2").await;
    assert_eq!(history["stepSeconds"], 60);
    let points = history["streams"][0]["points"].as_array().expect("points");
    let lags: Vec<&Value> = points.iter().map(|point| &point["lag"]).collect();
    assert_eq!(lags[..2], [&Value::Null, &json!(7)], "unknown is null, never 0");
    assert_eq!(points[1]["donePerMinute"], 2.0);
    assert_eq!(points.len(), 3, "and the last is of now: {points:#?}");
    assert_eq!(server.get(&server.alice, "/api/monitor/history").await.status(), 403);
    assert_eq!(server.get(&server.viewer, "/api/monitor/history?hours=0").await.status(), 400);
}

/// A worker that read the entry, took the lease, and died long ago.
pub(crate) async fn stall(server: &Server, video: &str) {
    let id: VideoId = video.parse().expect("an id");
    let tx = server.state.ledger.begin().await.expect("a transaction");
    let row = tx.task_of(id, Stage::Edit).await.expect("read").expect("a task");
    let claim = Claim {
        token: LeaseToken::new(),
        holder: "dead-worker".to_owned(),
        entry: Some("1-0".to_owned()),
        lease: std::time::Duration::from_secs(30),
    };
    let Ok(Leased::Granted(mut task)) = row.task.lease(claim, tx.now() - 600_000) else { panic!("a lease") };
    task.attempts = 1;
    tx.put_task(&row.task, &task).await.expect("written");
    tx.commit().await.expect("committed");
}

#[tokio::test]
async fn an_operator_claims_what_a_dead_worker_left_and_counts_stay() {
    let redis = Redis::start().await;
    let server = Server::with(Some(connect(&redis).await), None).await;
    let id = server.video().await;
    stall(&server, &id).await;
    let pending = json_of(&server, "/api/monitor/pending?stream=video.uploaded&minIdle=5m").await;
    let one = &pending["pending"][0];
    assert_eq!((one["videoId"].as_str(), one["consumer"].as_str()), (Some(id.as_str()), Some("dead-worker")));
    assert!(one["leaseLeftMs"].as_i64().is_some_and(|left| left < 0));
    let plan = server.post(&server.operator, "/api/streams/claim", &json!({ "dryRun": true })).await;
    let plan: Value = plan.json().await.expect("json");
    assert_eq!(plan["claimed"].as_array().map(Vec::len), Some(1));
    let done = server.post(&server.operator, "/api/streams/claim", &json!({ "ids": [id] })).await;
    assert_eq!(done.status(), 200);
    let video: VideoId = id.parse().expect("an id");
    let row = server.state.ledger.task_of(video, Stage::Edit).await.expect("read").expect("a task");
    assert_eq!((row.task.state, row.task.attempts, row.task.takeovers), (State::Queued, 1, 0));
    let again: Value =
        server.post(&server.operator, "/api/streams/claim", &json!({})).await.json().await.expect("json");
    assert_eq!(again["claimed"], json!([]));
}

/// What the autoscaler sees: KEDA's path into the answer, read as KEDA reads it. Of an app that has no picture yet.
async fn demand(server: &Server, stage: Stage) -> i64 {
    let state = &server.state;
    let app = router(AppState::new(Parts {
        ledger: state.ledger.clone(),
        media: state.media.clone(),
        dispatch: state.dispatch.clone(),
        stages: state.stages.clone(),
        http: state.http.clone(),
        monthly_commands: None,
        tools: state.tools.clone(),
        health: state.health.clone(),
        connect: None,
        closing: state.closing.clone(),
    }));
    let request = Request::get("/api/monitor/streams").header("host", "localhost");
    let request = request.header("authorization", format!("Bearer {}", server.viewer)).body(Body::empty());
    let answer = app.oneshot(request.expect("a request")).await.expect("an answer");
    let bytes = to_bytes(answer.into_body(), 64 * 1024).await.expect("bytes");
    let answer = std::str::from_utf8(&bytes).expect("text");
    let path = format!("streams.#(group==\"{stage}\").demand");
    let value = gjson::get(answer, &path);
    assert!(value.kind() == gjson::Kind::Number, "{answer}");
    value.i64()
}

#[tokio::test]
async fn demand_is_what_workers_could_be_busy_with_under_the_limits() {
    demand_on(None).await;
}

#[tokio::test]
async fn demand_is_the_same_on_postgresql() {
    let postgres = Postgres::start().await;
    demand_on(Some(postgres.url())).await;
}

async fn demand_on(database: Option<String>) {
    let mut stages = stages();
    stages.edit.limit = Some("2/1h".parse().expect("a rate"));
    stages.publish.limit_per_account = Some("1/5m".parse().expect("a rate"));
    let server = Server::on(database, stages, None, None).await;
    assert_eq!((demand(&server, Stage::Edit).await, demand(&server, Stage::Publish).await), (0, 0));
    let mut videos = Vec::new();
    for _ in 0..4 {
        videos.push(server.video().await);
    }
    assert_eq!(demand(&server, Stage::Edit).await, 2, "four are due, and the limit lets two start");
    let ledger = &server.state.ledger;
    let tx = ledger.begin().await.expect("a transaction");
    let room = Room { queued: 1, per_creator: None, at_once: None, permits: None };
    let released = tx.release(Stage::Edit, room).await.expect("released").remove(0).entry.video.to_string();
    tx.commit().await.expect("committed");
    assert_eq!(demand(&server, Stage::Edit).await, 2, "released or not");
    stall(&server, &released).await;
    assert_eq!(demand(&server, Stage::Edit).await, 3, "one runs besides");

    let tx = ledger.begin().await.expect("a transaction");
    for video in &videos {
        let id = video.parse().expect("an id");
        let edit = tx.task_of(id, Stage::Edit).await.expect("read").expect("a task");
        tx.insert_task(&TaskRow { task: Task::new(id, Stage::Publish, tx.now()), ..edit }).await.expect("written");
    }
    tx.commit().await.expect("committed");
    assert_eq!(demand(&server, Stage::Publish).await, 1, "four posts of one account, and it may post once");

    let tx = ledger.begin().await.expect("a transaction");
    for video in videos.iter().filter(|video| **video != released).take(2) {
        let row = tx.task_of(video.parse().expect("an id"), Stage::Edit).await.expect("read").expect("a task");
        let later = Task { due_at: tx.now() + 3_600_000, ..row.task.clone() };
        tx.put_task(&row.task, &later).await.expect("written");
    }
    tx.commit().await.expect("committed");
    assert_eq!(demand(&server, Stage::Edit).await, 2, "two are parked: one runs, and one may start");

    let tx = ledger.begin().await.expect("a transaction");
    let spam = || Reason::new("spam_risk", "TikTok says so");
    limit::close(&tx, &Key::Creator("open_alice".to_owned()), tx.now() + 60_000, spam()).await.expect("closed");
    limit::close(&tx, &Key::Edit, tx.now() + 60_000, spam()).await.expect("closed");
    tx.commit().await.expect("committed");
    assert_eq!(demand(&server, Stage::Publish).await, 0, "the account is closed");
    assert_eq!(demand(&server, Stage::Edit).await, 1, "the stage is closed, and what runs goes on");

    let tx = ledger.begin().await.expect("a transaction");
    let pause = Pause { name: "stage/edit".to_owned(), until: None, reason: String::new(), set_by: None };
    tx.put_pause(&pause).await.expect("written");
    tx.commit().await.expect("committed");
    assert_eq!(demand(&server, Stage::Edit).await, 1, "paused");
}
