//! Every error is a problem with a code.

use serde_json::{Value, json};

use crate::fixture::Server;

async fn problem(answer: reqwest::Response, status: u16, code: &str) {
    assert_eq!(answer.status(), status, "{code}");
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{code}");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert!(answer.headers().contains_key("x-request-id"));
    let body: Value = answer.json().await.expect("json");
    assert_eq!(body["code"], code);
    assert_eq!(body["status"], status);
    assert!(body["title"].is_string() && body["detail"].is_string());
}

#[tokio::test]
async fn errors_of_every_kind_have_one_shape() {
    let server = Server::start().await;
    let key = server.operator.as_str();
    problem(server.get(key, "/nothing").await, 404, "not_found").await;
    problem(server.get(key, "/api/videos/not-an-id").await, 404, "video_not_found").await;
    problem(server.get(key, "/api/videos?limit=0").await, 400, "limit_invalid").await;
    problem(server.get(key, "/api/videos?colour=red").await, 400, "query_invalid").await;
    problem(server.get(key, "/api/videos?status=LOST").await, 400, "status_invalid").await;
    problem(server.get(key, "/api/monitor/pending?minIdle=soon").await, 400, "duration_invalid").await;
    problem(server.post(key, "/api/videos", &json!({})).await, 415, "not_multipart").await;
    problem(server.post(key, "/api/streams/claim", &json!({ "all": true })).await, 422, "body_invalid").await;
    let put = |body: &'static str, kind: &'static str| {
        let url = server.url("/api/accounts/conn_alice/brand");
        server.client.put(url).bearer_auth(key).header("content-type", kind).body(body).send()
    };
    problem(put("{", "application/json").await.expect("an answer"), 400, "body_not_json").await;
    problem(put("{}", "text/plain").await.expect("an answer"), 415, "unsupported_media_type").await;
    let big = json!({ "ids": ["x".repeat(100_000)] });
    problem(server.post(key, "/api/streams/claim", &big).await, 413, "body_too_large").await;
    let deleted = server.client.delete(server.url("/api/videos")).bearer_auth(key).send().await.expect("an answer");
    assert!(deleted.headers()["allow"].to_str().expect("text").contains("POST"));
    problem(deleted, 405, "method_not_allowed").await;
}

#[tokio::test]
async fn a_page_elsewhere_gets_cors_only_where_it_is_allowed() {
    let server = Server::start().await;
    let ask = |origin: &'static str| {
        let request = server.client.request(reqwest::Method::OPTIONS, server.url("/api/videos"));
        request.header("origin", origin).header("access-control-request-method", "POST").send()
    };
    let allowed = ask("https://studio.example").await.expect("an answer");
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://studio.example");
    let refused = ask("https://evil.example").await.expect("an answer");
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
}

/// The page of the service before this one: served elsewhere, with a key in its header and the old field for the file.
#[tokio::test]
async fn the_old_page_on_another_origin_goes_on_working() {
    let server = Server::start().await;
    let page = "https://studio.example";
    for (method, path) in [("POST", "/api/videos"), ("PATCH", "/api/videos/x"), ("DELETE", "/api/accounts/x")] {
        let ask = server.client.request(reqwest::Method::OPTIONS, server.url(path)).header("origin", page);
        let ask = ask.header("access-control-request-method", method);
        let wanted = "authorization,content-type,idempotency-key,range";
        let may = ask.header("access-control-request-headers", wanted).send().await.expect("an answer");
        assert!(may.status().is_success(), "{method}: {}", may.status());
        let told = |name: &str| may.headers()[name].to_str().expect("text").to_ascii_lowercase();
        assert_eq!(told("access-control-allow-origin"), page);
        assert!(told("access-control-allow-methods").contains(&method.to_ascii_lowercase()));
        let allowed = told("access-control-allow-headers");
        assert!(wanted.split(',').all(|name| allowed.contains(name)), "{allowed}");
        assert!(!may.headers().contains_key("access-control-allow-credentials"), "no cookie of ours is good elsewhere");
    }
    let upload = |key: &str, name: &'static str| {
        let form = reqwest::multipart::Form::new()
            .part(name, crate::fixture::file(crate::fixture::clip()))
            .text("accountId", "conn_alice")
            .text("title", "from the old page");
        let request = server.client.post(server.url("/api/videos")).header("origin", page).bearer_auth(key);
        request.multipart(form).send()
    };
    let done = upload(&server.alice, "file").await.expect("an answer");
    assert_eq!(done.status(), 201);
    assert_eq!(done.headers()["access-control-allow-origin"], page);
    let exposed = done.headers()["access-control-expose-headers"].to_str().expect("text").to_ascii_lowercase();
    for name in ["x-request-id", "retry-after", "content-range"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let body: Value = done.json().await.expect("json");
    assert_eq!(body["video"]["title"], "from the old page");
    // What is refused can be read by the page, too.
    for (answer, status) in [(upload("sk_wrong", "file").await, 401), (upload(&server.alice, "movie").await, 400)] {
        let answer = answer.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
            (status, &page.parse().expect("a value"))
        );
    }
    for path in ["/api/monitor/redis-usage", "/api/monitor/queue-health"] {
        let request = server.client.get(server.url(path)).header("origin", page).bearer_auth(&server.operator);
        let answer = request.send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["access-control-allow-origin"].to_str().ok()),
            (200, Some(page))
        );
    }
}

#[tokio::test]
async fn the_description_names_only_routes_that_are_there() {
    let server = Server::start().await;
    let described: Value = server.get(&server.viewer, "/api/openapi.json").await.json().await.expect("json");
    let paths = described["paths"].as_object().expect("paths");
    assert!(paths.len() > 15);
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let url = server.url(&path.replace("{id}", "x"));
            let answer = server.client.request(method.clone(), url).send().await.expect("an answer");
            assert!([200, 401, 403, 415].contains(&answer.status().as_u16()), "{method} {path}: {}", answer.status());
        }
    }
}
