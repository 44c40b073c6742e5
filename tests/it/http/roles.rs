//! Roles, and that one user never sees another's.

use serde_json::{Value, json};

use crate::fixture::{Server, clip, form};

#[tokio::test]
async fn a_users_video_is_not_there_for_another() {
    let server = Server::start().await;
    let id = server.video().await;
    for path in ["", "/events", "/source", "/edited", "/thumbnail"] {
        let path = format!("/api/videos/{id}{path}");
        assert_eq!(server.get(&server.bob, &path).await.status(), 404, "{path}");
    }
    for verb in ["cancel", "retry", "resolve"] {
        let path = format!("/api/videos/{id}/{verb}");
        assert_eq!(server.post(&server.bob, &path, &json!({})).await.status(), 404, "{verb}");
    }
    let list: Value = server.get(&server.bob, "/api/videos").await.json().await.expect("json");
    assert_eq!(list, json!({ "videos": [], "next": null }));
    let found = format!("/api/videos?q={id}");
    let list: Value = server.get(&server.bob, &found).await.json().await.expect("json");
    assert_eq!(list["videos"], json!([]));
    assert_eq!(server.get(&server.bob, "/api/accounts/conn_alice").await.status(), 404);
    let gone = server.client.delete(server.url("/api/accounts/conn_alice")).bearer_auth(&server.bob);
    assert_eq!(gone.send().await.expect("an answer").status(), 404);
    let accounts: Value = server.get(&server.bob, "/api/accounts").await.json().await.expect("json");
    assert_eq!(accounts["accounts"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_viewer_reads_no_titles_no_bytes_and_changes_nothing() {
    let server = Server::start().await;
    let id = server.video().await;
    let text = server.get(&server.viewer, &format!("/api/videos/{id}")).await.text().await.expect("text");
    assert!(text.contains(&id) && !text.contains("a title") && !text.contains("/source"), "{text}");
    let text = server.get(&server.viewer, "/api/videos").await.text().await.expect("text");
    assert!(text.contains(&id) && !text.contains("a title"), "{text}");
    assert_eq!(server.get(&server.viewer, "/api/videos?q=title").await.status(), 403);
    assert_eq!(server.get(&server.viewer, &format!("/api/videos/{id}/source")).await.status(), 403);
    let cancel = format!("/api/videos/{id}/cancel");
    assert_eq!(server.post(&server.viewer, &cancel, &json!({})).await.status(), 403);
    assert_eq!(server.post(&server.viewer, "/api/streams/claim", &json!({})).await.status(), 403);
    assert_eq!(server.upload(&server.viewer, form("t", clip())).await.status(), 403);
}

#[tokio::test]
async fn the_monitor_is_not_for_creators_and_only_probes_are_open() {
    let server = Server::start().await;
    let monitor = ["redis-usage", "queue-health", "streams", "pending"].map(|name| format!("/api/monitor/{name}"));
    for path in monitor.iter().map(String::as_str).chain(["/metrics"]) {
        assert_eq!(server.get(&server.alice, path).await.status(), 403, "{path}");
        assert_eq!(server.get(&server.viewer, path).await.status(), 200, "{path}");
        let open = server.client.get(server.url(path)).send().await.expect("an answer");
        assert_eq!(open.status(), 401, "{path}");
        assert_eq!(open.headers()["www-authenticate"], "Bearer");
    }
    for path in ["/healthz", "/readyz"] {
        let open = server.client.get(server.url(path)).send().await.expect("an answer");
        assert_eq!(open.status(), 200, "{path}");
    }
    assert_eq!(server.get("sk_wrong", "/api/videos").await.status(), 401);
}

#[tokio::test]
async fn tokens_never_come_back() {
    let server = Server::start().await;
    for path in ["/api/accounts", "/api/accounts/conn_alice"] {
        let text = server.get(&server.operator, path).await.text().await.expect("text");
        assert!(text.contains("conn_alice") && !text.contains("sealed"), "{text}");
    }
}

#[tokio::test]
async fn a_video_is_canceled_once_and_the_events_tell() {
    let server = Server::start().await;
    let id = server.video().await;
    let events = server.get(&server.alice, &format!("/api/videos/{id}/events")).await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let cancel = format!("/api/videos/{id}/cancel");
    let answer: Value = server.post(&server.alice, &cancel, &json!({})).await.json().await.expect("json");
    assert_eq!(answer["video"]["status"], "CANCELED");
    // The stream ends by itself.
    let text = events.text().await.expect("the whole stream");
    assert!(text.contains("event: status") && text.contains("CANCELED"), "{text}");
    let again = server.post(&server.alice, &cancel, &json!({})).await;
    assert_eq!(again.status(), 409);
    let problem: Value = again.json().await.expect("json");
    assert_eq!(problem["code"], "already_ended");
    let shown: Value = server.get(&server.alice, &format!("/api/videos/{id}")).await.json().await.expect("json");
    let timeline = shown["video"]["timeline"].as_array().expect("a timeline");
    let told: Vec<_> = timeline.iter().map(|line| line["event"].as_str().unwrap_or_default()).collect();
    assert_eq!(told, ["uploaded", "canceled"]);
}

#[tokio::test]
async fn only_an_operator_resolves_and_only_in_words_that_are_known() {
    let server = Server::start().await;
    let path = format!("/api/videos/{}/resolve", server.video().await);
    let posted = json!({ "action": "posted", "postId": "12" });
    assert_eq!(server.post(&server.alice, &path, &posted).await.status(), 403);
    assert_eq!(server.post(&server.operator, &path, &json!({ "action": "perhaps" })).await.status(), 422);
    assert_eq!(server.post(&server.operator, &path, &posted).await.status(), 409, "it needs no review");
}

#[tokio::test]
async fn lists_go_page_by_page_newest_first() {
    let server = Server::start().await;
    let ids = [server.video().await, server.video().await, server.video().await];
    let first: Value = server.get(&server.alice, "/api/videos?limit=2").await.json().await.expect("json");
    let cursor = first["next"].as_str().expect("a cursor");
    let path = format!("/api/videos?limit=2&cursor={cursor}");
    let second: Value = server.get(&server.alice, &path).await.json().await.expect("json");
    let seen: Vec<_> = [&first, &second]
        .iter()
        .flat_map(|page| page["videos"].as_array().expect("videos"))
        .map(|video| video["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(seen, ids.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(second["next"], Value::Null);
}
