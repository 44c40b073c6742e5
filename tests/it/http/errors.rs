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
