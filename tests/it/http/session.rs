//! Signing in, cookies, `Origin` and `Host`.

use serde_json::json;
use subiteya::access;

use crate::fixture::Server;

async fn sign_in(server: &Server) -> String {
    let answer = server
        .client
        .post(server.url("/api/session"))
        .header("origin", server.origin())
        .json(&json!({ "key": server.alice }))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 204);
    let cookie = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    cookie.split(';').next().expect("a pair").to_owned()
}

#[tokio::test]
async fn a_cookie_reads_and_changes_only_from_our_own_pages() {
    let server = Server::start().await;
    let id = server.video().await;
    let cookie = sign_in(&server).await;
    let read = server.client.get(server.url("/api/videos")).header("cookie", &cookie).send().await.expect("an answer");
    assert_eq!(read.status(), 200);
    let own = server.origin();
    let change = |origin: Option<&str>| {
        let request = server.client.post(server.url(&format!("/api/videos/{id}/cancel"))).header("cookie", &cookie);
        match origin {
            Some(origin) => request.header("origin", origin).send(),
            None => request.send(),
        }
    };
    assert_eq!(change(None).await.expect("an answer").status(), 403);
    assert_eq!(change(Some("null")).await.expect("an answer").status(), 403);
    assert_eq!(change(Some("https://studio.example")).await.expect("an answer").status(), 403);
    assert_eq!(change(Some(&own)).await.expect("an answer").status(), 200);
    let out = server.client.delete(server.url("/api/session")).header("cookie", &cookie).header("origin", own);
    assert_eq!(out.send().await.expect("an answer").status(), 204);
    let read = server.client.get(server.url("/api/videos")).header("cookie", &cookie).send().await.expect("an answer");
    assert_eq!(read.status(), 401);
}

#[tokio::test]
async fn a_foreign_host_is_refused() {
    let server = Server::start().await;
    let ask = |host: &str, path: &str| {
        server.client.get(server.url(path)).header("host", host).bearer_auth(&server.alice).send()
    };
    for path in ["/", "/api/videos", "/static/app.css"] {
        assert_eq!(ask("evil.example", path).await.expect("an answer").status(), 421, "{path}");
    }
    assert_eq!(ask("localhost:9", "/api/videos").await.expect("an answer").status(), 200);
    assert_eq!(ask("studio.example", "/api/videos").await.expect("an answer").status(), 200);
    assert_eq!(ask("10.0.0.7:3000", "/healthz").await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_sign_in_link_is_good_once_and_a_preview_does_not_burn_it() {
    let server = Server::start().await;
    let tx = server.state.ledger.begin().await.expect("a transaction");
    let key = tx.key_by_hash(&access::hash(&server.alice)).await.expect("read").expect("a key");
    let token = access::create_link(&tx, &key.id).await.expect("a link");
    tx.commit().await.expect("committed");
    let url = server.url(&format!("/sign-in/{token}"));
    for _ in 0..2 {
        assert_eq!(server.client.get(&url).send().await.expect("an answer").status(), 200);
    }
    let post = |origin: String| server.client.post(&url).header("origin", origin).send();
    assert_eq!(post("https://evil.example".to_owned()).await.expect("an answer").status(), 403);
    let answer = post(server.origin()).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().ok()), (303, Some("/")));
    let cookie = answer.headers()["set-cookie"].to_str().expect("text").split(';').next().expect("a pair").to_owned();
    let page = server.client.get(server.url("/")).header("cookie", cookie).send().await.expect("an answer");
    assert_eq!(page.status(), 200);
    assert_eq!(post(server.origin()).await.expect("an answer").status(), 410);
}

#[tokio::test]
async fn pages_run_no_script_that_is_not_ours() {
    let server = Server::start().await;
    let away = server.client.get(server.url("/")).send().await.expect("an answer");
    assert_eq!((away.status().as_u16(), away.headers()["location"].to_str().ok()), (303, Some("/sign-in")));
    let page = server.client.get(server.url("/sign-in")).send().await.expect("an answer");
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["referrer-policy"], "same-origin");
    let text = page.text().await.expect("text");
    assert!(!text.contains("<script>") && !text.contains("style="), "nothing inline");
    let script = server.client.get(server.url("/static/common.js")).send().await.expect("an answer");
    assert!(script.headers()["content-type"].to_str().expect("text").contains("javascript"));
    let outside = server.client.get(server.url("/static/..%2Fmod.rs")).send().await.expect("an answer");
    assert_eq!(outside.status(), 404);
}
