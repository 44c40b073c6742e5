//! Pausing and resuming, and another time for a post.

use reqwest::Method;
use serde_json::{Value, json};
use subiteya::event::Stage;
use subiteya::ledger::{TaskRow, VideoPatch};
use subiteya::stage::publish::chunks::{ChunkPlan, ChunkRules};
use subiteya::stage::publish::{record, row::Publication};
use subiteya::task::Task;

use crate::fixture::{Server, clip, form};

async fn ask(server: &Server, key: &str, path: &str, body: Value) -> (u16, Value) {
    let answer = server.post(key, path, &body).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn waiting_for(server: &Server, id: &str) -> Value {
    let body: Value = server.get(&server.alice, &format!("/api/videos/{id}")).await.json().await.unwrap();
    body["video"]["waitingFor"].clone()
}

fn later(hours: i64) -> String {
    (chrono::Utc::now() + chrono::Duration::hours(hours)).to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[tokio::test]
async fn a_stage_is_paused_by_operators_and_shown_wherever_somebody_asks() {
    let redis = crate::support::redis::Redis::start().await;
    let server = Server::with(Some(crate::fixture::connect(&redis).await), None).await;
    let id = server.video().await;
    let (pause, resume) = ("/api/stages/edit/pause", "/api/stages/edit/resume");
    for key in [&server.alice, &server.viewer] {
        assert_eq!(ask(&server, key, pause, json!({})).await.0, 403);
        assert_eq!(ask(&server, key, resume, json!({})).await.0, 403);
    }
    let key = server.operator.as_str();
    assert_eq!(ask(&server, key, "/api/stages/cook/pause", json!({})).await.1["code"], "stage_not_found");
    for (body, code) in [
        (json!({ "until": "tomorrow" }), "time_invalid"),
        (json!({ "until": later(36_501 * 24) }), "time_too_far"),
        (json!({ "why": "?" }), "body_invalid"),
        (json!({ "reason": "x".repeat(501) }), "reason_invalid"),
    ] {
        let (status, answer) = ask(&server, key, pause, body).await;
        assert_eq!((status, &answer["code"]), (422, &code.into()));
    }
    assert_eq!(ask(&server, key, pause, json!({ "until": later(-1) })).await.1["code"], "until_over");

    let until = later(2);
    let (status, answer) = ask(&server, key, pause, json!({ "until": until, "reason": "a deploy" })).await;
    assert_eq!((status, &answer), (200, &json!({ "paused": { "until": until, "reason": "a deploy" } })));
    let shown = json!({ "code": "stage_paused", "text": "editing is paused: a deploy", "until": until });
    assert_eq!(waiting_for(&server, &id).await, shown);
    let streams = async || -> Value { server.get(key, "/api/monitor/streams").await.json().await.unwrap() };
    assert_eq!(streams().await["streams"][0]["paused"]["reason"], "a deploy");
    assert_eq!(ask(&server, key, resume, json!({})).await.1, json!({ "resumed": true }));
    assert_eq!(ask(&server, key, resume, json!({})).await.1, json!({ "resumed": false }));
    assert_eq!(waiting_for(&server, &id).await["code"], "queued");
}

#[tokio::test]
async fn an_account_is_paused_by_whoever_has_it_and_not_resumed_against_an_operator() {
    let server = Server::start().await;
    let (pause, resume) = ("/api/accounts/conn_alice/pause", "/api/accounts/conn_alice/resume");
    assert_eq!(ask(&server, &server.bob, pause, json!({})).await.0, 404);
    assert_eq!(ask(&server, &server.viewer, pause, json!({})).await.0, 403);
    let until = later(1);
    assert_eq!(ask(&server, &server.alice, pause, json!({ "until": until, "reason": "holidays" })).await.0, 200);
    let list: Value = server.get(&server.alice, "/api/accounts").await.json().await.unwrap();
    let account = &list["accounts"][0];
    assert_eq!(account["paused"], json!({ "until": until, "reason": "holidays" }));
    assert_eq!((&account["state"], &account["nextPostAt"]), (&"ACTIVE".into(), &until.as_str().into()));
    assert_eq!(ask(&server, &server.alice, resume, json!({})).await.1["resumed"], true);

    assert_eq!(ask(&server, &server.operator, pause, json!({})).await.0, 200);
    for path in [pause, resume] {
        let (status, answer) = ask(&server, &server.alice, path, json!({})).await;
        assert!(status == 403 && answer["detail"].to_string().contains("operator"), "{answer}");
    }
    assert_eq!(ask(&server, &server.operator, resume, json!({})).await.1["resumed"], true);
}

async fn patch(server: &Server, key: &str, id: &str, body: &Value) -> (u16, Value) {
    let request = server.client.request(Method::PATCH, server.url(&format!("/api/videos/{id}")));
    let answer = request.bearer_auth(key).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_posts_time_is_changed_and_canceled_until_publishing_begins() {
    let server = Server::start().await;
    let id = server.video().await;
    let ledger = &server.state.ledger;
    let (tomorrow, soon) = (later(24), later(1));
    let at = |time: &str| json!({ "publishAt": time });
    for (body, code) in [
        (json!({}), "body_invalid"),
        (json!({ "publishAt": "soon" }), "time_invalid"),
        (at("9999-01-01T00:00:00Z"), "time_too_far"),
        (json!({ "publishAt": null, "title": "another" }), "body_invalid"),
    ] {
        let (status, answer) = patch(&server, &server.alice, &id, &body).await;
        assert_eq!((status, &answer["code"]), (422, &code.into()), "{body}");
    }
    let far = server.upload(&server.alice, form("far", clip()).text("publishAt", "9999-01-01T00:00:00Z")).await;
    assert_eq!(far.json::<Value>().await.unwrap()["code"], "time_too_far");
    assert_eq!(patch(&server, &server.bob, &id, &at(&soon)).await.0, 404);
    assert_eq!(patch(&server, &server.viewer, &id, &at(&soon)).await.0, 403);

    // While it is edited: what the edit's end will go by.
    let (status, answer) = patch(&server, &server.alice, &id, &at(&tomorrow)).await;
    assert_eq!((status, &answer["video"]["publishAt"]), (200, &tomorrow.as_str().into()));

    let video = id.parse().unwrap();
    let tx = ledger.begin().await.unwrap();
    let edit = tx.task_of(video, Stage::Edit).await.unwrap().unwrap();
    let due = tx.now() + 24 * 3_600_000;
    tx.insert_task(&TaskRow { task: Task::new(video, Stage::Publish, due), ..edit }).await.unwrap();
    tx.commit().await.unwrap();
    let due = async || ledger.task_of(video, Stage::Publish).await.unwrap().unwrap().task.due_at;
    assert_eq!(patch(&server, &server.alice, &id, &at(&soon)).await.0, 200);
    let millis = chrono::DateTime::parse_from_rfc3339(&soon).unwrap().timestamp_millis();
    assert_eq!(due().await, millis);
    let (_, answer) = patch(&server, &server.alice, &id, &json!({ "publishAt": null })).await;
    assert_eq!(answer["video"]["publishAt"], Value::Null);
    assert!(due().await <= ledger.now().await.unwrap(), "as soon as possible");

    let tx = ledger.begin().await.unwrap();
    let plan = ChunkPlan::new(1_000, &ChunkRules::default()).unwrap();
    let mut publication = Publication::freeze("hash".to_owned(), plan, false);
    record::freeze(&tx, video, "conn_alice", &publication).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(patch(&server, &server.alice, &id, &at(&soon)).await.0, 200, "nothing was sent yet");
    publication.state = subiteya::stage::publish::row::State::Intended;
    let tx = ledger.begin().await.unwrap();
    let row = tx.publication(video).await.unwrap().unwrap();
    let after =
        subiteya::ledger::PublicationRow { record: serde_json::to_string(&publication).unwrap(), ..row.clone() };
    tx.put_publication(&row, &after).await.unwrap();
    tx.commit().await.unwrap();
    let (status, answer) = patch(&server, &server.alice, &id, &at(&tomorrow)).await;
    assert_eq!((status, &answer["code"]), (409, &"already_publishing".into()));
    let tx = ledger.begin().await.unwrap();
    let status = Some(subiteya::ledger::Status::Failed);
    tx.patch_video(video, VideoPatch { status, ..VideoPatch::default() }).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(patch(&server, &server.alice, &id, &at(&tomorrow)).await.1["code"], "already_ended");
}
