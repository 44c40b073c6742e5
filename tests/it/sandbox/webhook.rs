use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use subiteya::tiktok::webhook::verify;

use super::{Fixture, SECRET, until, video};

/// Signature and body of what came, in the order in which it came.
type Came = Arc<Mutex<Vec<(String, String)>>>;

/// Refuses the first delivery of all.
async fn receiver() -> (String, Came) {
    let came = Came::default();
    let seen = came.clone();
    let take = move |headers: HeaderMap, body: String| {
        let seen = seen.clone();
        async move {
            let signature = headers["tiktok-signature"].to_str().unwrap().to_owned();
            let mut seen = seen.lock().unwrap();
            seen.push((signature, body));
            if seen.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, Router::new().route("/hook", post(take))).into_future());
    (url, came)
}

#[tokio::test]
async fn webhooks_are_signed_and_sent_until_they_are_taken() {
    let fixture = Fixture::with(|options| options.processing = Duration::from_millis(50)).await;
    let ada = fixture.creator("ada").await;
    let (url, came) = receiver().await;
    let aim = |url: &str| fixture.http.post(fixture.url("/sandbox/webhooks")).json(&json!({ "url": url })).send();
    assert_eq!(aim("https://evil.example/").await.unwrap().status(), 400);
    let early = fixture.http.post(fixture.url("/sandbox/webhooks/send")).json(&json!({ "event": "x" }));
    assert_eq!(early.send().await.unwrap().status(), 400, "nobody asked for webhooks yet");
    assert_eq!(aim(&url).await.unwrap().status(), 200);

    let begun = fixture.posted(&ada, &video(50)).await;
    let delivered = || async { fixture.sandbox.deliveries().len() == 1 };
    until("the news of the post", delivered).await;
    let delivery = fixture.sandbox.deliveries().remove(0);
    assert_eq!((delivery.event.as_str(), delivery.attempts, delivery.delivered), ("post.publish.complete", 2, true));
    let (signature, body) = came.lock().unwrap().last().cloned().unwrap();
    verify(&signature, body.as_bytes(), SECRET, chrono::Utc::now().timestamp()).unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["client_key"], &body["user_openid"]), (&json!("key"), &json!(ada.open_id)));
    let content: Value = serde_json::from_str(body["content"].as_str().unwrap()).unwrap();
    assert_eq!(content["publish_id"], begun.publish_id);

    let path = format!("/sandbox/creators/{}/revoke", ada.open_id);
    let revoked = fixture.http.post(fixture.url(&path)).json(&json!({})).send().await.unwrap();
    assert_eq!(revoked.status(), 204);
    until("the news of the account", || async { fixture.sandbox.deliveries().len() == 2 }).await;
    assert_eq!(fixture.sandbox.deliveries()[1].event, "authorization.removed");
}
