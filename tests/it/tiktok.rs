//! The client against a small server that plays one answer after the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use subiteya::tiktok::client::{Chunk, Client, ClientConfig};
use subiteya::tiktok::refusal::{Class, Key, Refusal};
use subiteya::tiktok::wire::{PostInfo, StatusKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const DATE_MS: i64 = 784_111_777_000;

struct Asked {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

type Answer = (u16, Vec<(&'static str, String)>, String);

#[derive(Clone, Default)]
struct Played {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

async fn play(State(played): State<Played>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    played.asked.lock().expect("asked").push(Asked { method: head.method, path, headers: head.headers, body });
    let (status, headers, text) = played.answers.lock().expect("answers").pop_front().expect("an answer is left");
    let mut response = (StatusCode::from_u16(status).expect("a status"), text).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response.headers_mut().insert("date", DATE.parse().expect("a date"));
    response
}

struct Far {
    client: Client,
    played: Played,
    base: String,
}

impl Far {
    async fn with(answers: impl IntoIterator<Item = (u16, &str)>) -> Self {
        let answers = answers.into_iter().map(|(status, text)| (status, Vec::new(), text.to_owned())).collect();
        let played = Played { answers: Arc::new(Mutex::new(answers)), ..Played::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(play).with_state(played.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { client: client(&base), played, base }
    }

    fn header(self, name: &'static str, value: &str) -> Self {
        self.played.answers.lock().expect("answers")[0].1.push((name, value.to_owned()));
        self
    }

    fn asked(&self) -> Asked {
        let mut asked = self.played.asked.lock().expect("asked");
        assert_eq!(asked.len(), 1, "one call is one request");
        asked.remove(0)
    }
}

fn client(base: &str) -> Client {
    let url = Url::parse(base).expect("a URL");
    let config = ClientConfig {
        connect_timeout: Duration::from_millis(500),
        call_timeout: Duration::from_millis(500),
        put_timeout: Duration::from_millis(500),
        quiet_timeout: Duration::from_millis(400),
        ..ClientConfig::new(url.clone(), url, "key".to_owned(), SecretString::from("hush"))
    };
    Client::new(config).expect("a client")
}

fn token() -> SecretString {
    SecretString::from("act.1")
}

fn post() -> PostInfo {
    PostInfo {
        title: "hello #world".to_owned(),
        privacy_level: "SELF_ONLY".to_owned(),
        disable_duet: true,
        disable_comment: true,
        disable_stitch: true,
        video_cover_timestamp_ms: None,
        brand_content_toggle: false,
        brand_organic_toggle: false,
        is_aigc: false,
    }
}

async fn put(far: &Far, body: &'static [&'static [u8]], chunk: Chunk) -> Result<bool, Refusal> {
    let url = far.client.upload_url(&format!("{}/video/?upload_id=1&upload_token=hidden", far.base)).expect("a URL");
    let parts = futures::stream::iter(body.iter().map(|part| Ok(Bytes::from_static(part))));
    far.client.put_chunk(&url, "video/mp4", chunk, parts).await.map(|taken| taken.value.complete)
}

/// Answers nothing, or so much, and closes.
async fn broken(says: &'static [u8], hold: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut seen = [0; 4096];
            let read = socket.read(&mut seen).await;
            tokio::time::sleep(hold).await;
            if read.is_ok() && socket.write_all(says).await.is_err() {
                return;
            }
        }
    });
    base
}

#[tokio::test]
async fn init_says_all_that_tiktok_asks_for_and_gives_id_url_and_date() {
    let far = Far::with([]).await;
    let body = format!(
        r#"{{"data":{{"publish_id":"v_pub_file~v2-1.7","upload_url":"{}/up?t=1"}},"error":{{"code":"ok"}}}}"#,
        far.base
    );
    far.played.answers.lock().expect("answers").push_back((200, Vec::new(), body));
    let init = far.client.init(&token(), &post(), 50_000_123, 10_000_000, 5).await.expect("an init");
    assert_eq!((init.value.publish_id.as_str(), init.date), ("v_pub_file~v2-1.7", Some(DATE_MS)));
    assert_eq!(init.value.upload_url.expose(), format!("{}/up?t=1", far.base));
    let asked = far.asked();
    assert_eq!((asked.method, asked.path.as_str()), (Method::POST, "/v2/post/publish/video/init/"));
    assert_eq!(asked.headers["authorization"], "Bearer act.1");
    assert_eq!(asked.headers["content-type"], "application/json; charset=UTF-8");
    let said: serde_json::Value = serde_json::from_slice(&asked.body).expect("json");
    assert_eq!(
        said["source_info"],
        serde_json::json!({"source":"FILE_UPLOAD","video_size":50_000_123,"chunk_size":10_000_000,"total_chunk_count":5})
    );
    assert_eq!(said["post_info"]["brand_content_toggle"], false);
    assert!(said["post_info"].get("video_cover_timestamp_ms").is_none());
}

#[tokio::test]
async fn an_upload_url_that_points_elsewhere_is_refused() {
    let far = Far::with([(
        200,
        r#"{"data":{"publish_id":"p","upload_url":"https://evil.example/?t=hidden"},"error":{"code":"ok"}}"#,
    )])
    .await;
    let refusal = far.client.init(&token(), &post(), 1, 1, 1).await.expect_err("a refusal");
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Bug, "upload_url_refused"));
    assert!(!format!("{refusal:?}").contains("hidden"));
}

#[tokio::test]
async fn http_200_with_a_code_is_a_refusal() {
    let far =
        Far::with([(200, r#"{"data":{},"error":{"code":"spam_risk_too_many_posts","message":"m","logid":"L7"}}"#)])
            .await;
    let refusal = far.client.creator_info(&token()).await.expect_err("a refusal");
    assert!(matches!(refusal.class, Class::Throttled { key: Key::AccountDay, pause: 86_400_000 }));
    assert_eq!((refusal.log_id.as_deref(), refusal.date), (Some("L7"), Some(DATE_MS)));
}

#[tokio::test]
async fn retry_after_is_honoured_and_bounded() {
    let limited = r#"{"error":{"code":"rate_limit_exceeded","message":"","log_id":"x"}}"#;
    for (value, pause) in [("7", 7_000), ("99999999", 86_400_000), ("Sun, 06 Nov 1994 08:50:37 GMT", 60_000)] {
        let far = Far::with([(429, limited)]).await.header("retry-after", value);
        let refusal = far.client.status(&token(), "p").await.expect_err("a refusal");
        assert_eq!(refusal.class, Class::Throttled { key: Key::Account, pause }, "{value}");
    }
}

#[tokio::test]
async fn a_5xx_without_json_is_transient_and_is_not_repeated() {
    for status in [500, 502, 503, 504] {
        let far = Far::with([(status, "<html>bad gateway</html>")]).await;
        let refusal = far.client.init(&token(), &post(), 1, 1, 1).await.expect_err("a refusal");
        assert_eq!((refusal.class, refusal.http), (Class::Transient, status));
        far.asked();
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let far = Far::with([(307, "")]).await.header("location", "/elsewhere");
    assert_eq!(far.client.status(&token(), "p").await.expect_err("a refusal").class, Class::Transient);
    far.asked();
}

#[tokio::test]
async fn an_expired_token_and_a_missing_scope_are_told_apart() {
    let far = Far::with([
        (401, r#"{"error":{"code":"access_token_invalid","message":"m","log_id":"1"}}"#),
        (401, r#"{"error":{"code":"scope_not_authorized","message":"m","log_id":"1"}}"#),
    ])
    .await;
    assert_eq!(far.client.status(&token(), "p").await.expect_err("a refusal").class, Class::TokenExpired);
    assert_eq!(far.client.status(&token(), "p").await.expect_err("a refusal").class, Class::NeedsReconnect);
}

#[tokio::test]
async fn a_status_tells_bytes_ids_and_date() {
    let far = Far::with([(
        200,
        r#"{"data":{"status":"PUBLISH_COMPLETE","publicaly_available_post_id":[7527234567890123456],"uploaded_bytes":9},
            "error":{"code":"ok","message":"","log_id":"x"}}"#,
    )])
    .await;
    let status = far.client.status(&token(), "p1").await.expect("a status");
    assert_eq!(status.value.status, StatusKind::PublishComplete);
    assert_eq!(status.value.post_ids, ["7527234567890123456"]);
    assert_eq!((status.value.uploaded_bytes, status.date), (Some(9), Some(DATE_MS)));
    assert_eq!(far.asked().body, r#"{"publish_id":"p1"}"#);
}

#[tokio::test]
async fn an_answer_without_sense_leaves_the_outcome_open() {
    for text in ["", "<html>", r#"{"data":{},"error":{"code":"ok"}}"#] {
        let far = Far::with([(200, text)]).await;
        let refusal = far.client.init(&token(), &post(), 1, 1, 1).await.expect_err("a refusal");
        assert_eq!(refusal.class, Class::OutcomeUnknown, "{text}");
    }
}

#[tokio::test]
async fn a_chunk_goes_with_its_length_and_range_and_without_a_token() {
    let far = Far::with([(206, ""), (201, "")]).await;
    let chunk = Chunk { first: 10, end: 16, total: 16 };
    assert_eq!(put(&far, &[b"abc", b"def"], chunk).await, Ok(false));
    let asked = far.asked();
    assert_eq!((asked.method, asked.path.as_str()), (Method::PUT, "/video/?upload_id=1&upload_token=hidden"));
    assert_eq!(asked.headers["content-length"], "6");
    assert_eq!(asked.headers["content-range"], "bytes 10-15/16");
    assert_eq!(asked.headers["content-type"], "video/mp4");
    assert!(!asked.headers.contains_key("transfer-encoding") && !asked.headers.contains_key("authorization"));
    assert_eq!(asked.body, "abcdef");
    assert_eq!(put(&far, &[b"abcdef"], chunk).await, Ok(true));
}

#[tokio::test]
async fn a_refused_chunk_is_a_reason_to_ask_but_for_a_400() {
    let chunk = Chunk { first: 0, end: 1, total: 1 };
    for status in [403, 404, 416, 500, 503, 400] {
        let far = Far::with([(status, "no PUT /video/?upload_id=1&upload_token=hidden, hidden")]).await;
        let refusal = put(&far, &[b"a"], chunk).await.expect_err("a refusal");
        let class = if status == 400 { Class::Bug } else { Class::OutcomeUnknown };
        assert_eq!(refusal.class, class, "{status}");
        assert!(!format!("{refusal:?}").contains("hidden"));
    }
}

#[tokio::test]
async fn a_body_that_is_too_short_is_never_a_success() {
    let far = Far::with([(201, "")]).await;
    let refusal = put(&far, &[b"abc"], Chunk { first: 0, end: 6, total: 6 }).await.expect_err("a refusal");
    assert_eq!(refusal.class, Class::OutcomeUnknown);
}

#[tokio::test]
async fn surely_not_sent_and_answer_lost_are_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let refusal = client(&base).init(&token(), &post(), 1, 1, 1).await.expect_err("a refusal");
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Transient, "not_sent"));

    let unknown = client("http://no-such-host.invalid").status(&token(), "p").await.expect_err("a refusal");
    assert_eq!(unknown.code, "not_sent", "{unknown}");

    for (says, hold) in [
        (&b""[..], Duration::ZERO),
        (b"", Duration::from_secs(2)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"data\"", Duration::ZERO),
    ] {
        let base = broken(says, hold).await;
        let refusal = client(&base).init(&token(), &post(), 1, 1, 1).await.expect_err("a refusal");
        assert_eq!((refusal.class, refusal.code.as_str()), (Class::OutcomeUnknown, "answer_lost"), "{refusal}");
    }
}

#[tokio::test]
async fn a_chunk_of_which_nothing_moves_is_given_up_and_a_slow_one_is_not() {
    let base = broken(b"", Duration::from_secs(60)).await;
    let api: Url = base.parse().expect("a URL");
    let config = ClientConfig {
        quiet_timeout: Duration::from_millis(400),
        ..ClientConfig::new(api.clone(), api, "key".to_owned(), SecretString::from("secret"))
    };
    let client = Client::new(config).expect("a client");
    let url = client.upload_url(&format!("{base}/up?t=1")).expect("a URL");
    let started = std::time::Instant::now();
    let slow = futures::stream::unfold(0, |sent| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        (sent < 5).then(|| (Ok(Bytes::from_static(b"x")), sent + 1))
    });
    let refusal = client.put_chunk(&url, "video/mp4", Chunk { first: 0, end: 5, total: 5 }, slow).await;
    assert_eq!(refusal.expect_err("no answer").class, Class::OutcomeUnknown);
    let took = started.elapsed();
    assert!((Duration::from_millis(1_400)..Duration::from_secs(10)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn tokens_are_read_with_their_lifetimes_and_nothing_empty_replaces_one() {
    let far = Far::with([
        (
            200,
            r#"{"access_token":"act.2","expires_in":7200,"refresh_token":"rft.2","refresh_expires_in":15552000,
               "open_id":"o1","scope":"user.info.basic,video.publish","token_type":"Bearer"}"#,
        ),
        (200, r#"{"access_token":"act.3","refresh_token":"","open_id":"o1","expires_in":86400}"#),
        (200, r#"{"access_token":"","refresh_token":"rft.4"}"#),
    ])
    .await;
    let tokens = far.client.refresh(&SecretString::from("rft.1")).await.expect("tokens").value;
    assert_eq!((tokens.access_token.expose_secret(), tokens.expires_in), ("act.2", Some(7200)));
    assert_eq!(tokens.refresh_token.as_ref().map(ExposeSecret::expose_secret), Some("rft.2"));
    assert!(!format!("{tokens:?}").contains("act.2"));
    let asked = far.asked();
    assert_eq!(asked.path, "/v2/oauth/token/");
    assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(asked.body, "grant_type=refresh_token&refresh_token=rft.1&client_key=key&client_secret=hush");
    let tokens = far.client.refresh(&SecretString::from("rft.1")).await.expect("tokens").value;
    assert!(tokens.refresh_token.is_none());
    let empty = far.client.refresh(&SecretString::from("rft.1")).await.expect_err("a refusal");
    assert_eq!(empty.class, Class::OutcomeUnknown);
}

#[tokio::test]
async fn an_oauth_error_is_read_from_the_body_whatever_the_status() {
    for status in [200, 400, 401] {
        let far = Far::with([(
            status,
            r#"{"error":"invalid_grant","error_description":"Refresh token is invalid","log_id":"L"}"#,
        )])
        .await;
        let refusal = far.client.refresh(&SecretString::from("rft.1")).await.expect_err("a refusal");
        assert_eq!((refusal.class, refusal.code.as_str()), (Class::NeedsReconnect, "invalid_grant"), "{status}");
    }
    let far = Far::with([(503, "busy")]).await;
    let refusal = far.client.exchange_code("c", "http://127.0.0.1/callback/", None).await.expect_err("a refusal");
    assert_eq!(refusal.class, Class::Transient);
}

#[tokio::test]
async fn a_revoke_succeeds_with_an_empty_body_and_the_user_has_a_name() {
    let user = r#"{"data":{"user":{"open_id":"o1","display_name":"Ann"}},"error":{"code":"ok"}}"#;
    let far = Far::with([(200, ""), (200, "{}"), (200, user)]).await;
    far.client.revoke(&token()).await.expect("revoked");
    far.client.revoke(&token()).await.expect("revoked");
    let user = far.client.user_info(&token()).await.expect("a user").value;
    assert_eq!((user.open_id.as_str(), user.display_name.as_str()), ("o1", "Ann"));
}
