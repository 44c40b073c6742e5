//! A viewer's key: no titles, no bytes, no change, on every route that there is; also of the videos of its own user.

use secrecy::ExposeSecret;
use serde_json::Value;
use subiteya::access;
use subiteya::ledger::{Role, Status, VideoPatch};

use super::id;
use crate::fixture::Server;

#[tokio::test]
async fn a_viewers_key_sees_no_title_and_no_byte_on_any_route_also_of_its_own_users() {
    let server = Server::start().await;
    let video = server.video().await;
    server.publish_ended(&video, Status::Posted, None).await;
    let tx = server.tx().await;
    let url = "https://www.tiktok.com/@alice/video/7".to_owned();
    tx.note(id(&video), None, "posted", serde_json::json!({ "postUrl": url })).await.expect("written");
    tx.patch_video(id(&video), VideoPatch { post_url: Some(url), ..VideoPatch::default() }).await.expect("written");
    let made = access::create_key(&tx, "alice", Role::Viewer).await.expect("a key");
    tx.commit().await.expect("committed");
    let key = made.key.expose_secret();
    let described: Value = server.get(key, "/api/openapi.json").await.json().await.expect("json");
    let paths = described["paths"].as_object().expect("paths");
    assert!(paths.len() > 25, "{}", paths.len());
    for (path, methods) in paths {
        let account = path.starts_with("/api/accounts");
        let path = path.replace("{id}", if account { "conn_alice" } else { &video });
        for method in methods.as_object().expect("methods").keys() {
            // Signing in and out is its own, and TikTok's calls are not its business.
            if ["/api/session", "/api/webhooks/tiktok"].contains(&path.as_str()) && method != "get" {
                continue;
            }
            let verb = method.to_uppercase().parse().expect("a method");
            let request = server.client.request(verb, server.url(&path)).bearer_auth(key);
            let answer = request.header("content-type", "application/json").body("{}").send().await.expect("an answer");
            let status = answer.status();
            assert!(method == "get" || status.is_client_error(), "{method} {path}: {status}");
            if path.ends_with("/openapi.json") {
                continue;
            }
            let text = answer.text().await.expect("text");
            for hidden in ["a title", "tiktok.com/@", "sealed", "/source", "ftyp"] {
                assert!(!text.contains(hidden), "{method} {path} shows {hidden:?}: {text}");
            }
        }
    }
    for bytes in ["source", "edited", "thumbnail"] {
        assert_eq!(server.get(key, &format!("/api/videos/{video}/{bytes}")).await.status(), 403, "{bytes}");
    }
}
