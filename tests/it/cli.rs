//! The command line: the real binary, its exit codes, what it prints where.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::extract::{Multipart, Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The binary in a folder of its own, with nothing of our environment.
fn subiteya(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_subiteya"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(env.iter().copied())
        .output()
        .expect("it runs")
}

pub(crate) fn run(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("folder");
    let output = subiteya(folder.path(), args, env);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn wrong_configuration_is_one_message_and_78() {
    let key = ("ENCRYPTION_KEY", KEY);
    let redis = ("REDIS_URL", "redis://:hunter2@127.0.0.1:1");
    let serve: &[&str] = &["serve"];
    let cases = [
        (serve, vec![key], "REDIS_URL"),
        (&["work", "all"], vec![key], "REDIS_URL"),
        (&["serve"], vec![key, ("REDIS_URL", "localhost")], "REDIS_URL"),
        (&["work", "edit"], vec![key, ("REDIS_URL", "http://redis.example")], "REDIS_URL"),
        (&["serve"], vec![redis, ("ENCRYPTION_KEY", &KEY[..31])], "32 bytes, got 31"),
        (&["serve"], vec![redis], "ENCRYPTION_KEY"),
        (&["up"], vec![("DATABASE_URL", "mysql://u:hunter2@h/d")], "DATABASE_URL"),
        (&["up", "--port", "many"], vec![], "PORT"),
        (&["keys", "create", "--user", "u", "--log-format", "xml"], vec![], "LOG_FORMAT"),
        (&["up", "--streams", "nowhere.toml"], vec![], "SUBITEYA_STREAMS"),
        (&["videos"], vec![("SUBITEYA_URL", "localhost:3000")], "SUBITEYA_URL"),
    ];
    for (args, env, named) in cases {
        let (code, stdout, stderr) = run(args, &env);
        assert_eq!(code, Some(78), "{args:?} {env:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(named) && stdout.is_empty(), "{stderr}");
        assert!(!stderr.contains("hunter2") && !stderr.contains(&KEY[..8]), "{stderr}");
    }
}

#[test]
fn a_flag_wins_over_the_variable_of_the_same_name() {
    let (code, _, stderr) = run(&["up", "--port", "x"], &[("PORT", "3000")]);
    assert_eq!(code, Some(78), "{stderr}");
    let (code, _, stderr) = run(&["up", "--log-format", "text", "--port", "x"], &[("LOG_FORMAT", "xml")]);
    assert_eq!((code, stderr.lines().count()), (Some(78), 1), "{stderr}");
}

#[test]
fn a_worker_without_redis_says_so_in_one_line_and_is_done() {
    let (code, _, stderr) = run(&["work", "all"], &[("ENABLE_REDIS", "false")]);
    assert_eq!((code, stderr.lines().count()), (Some(0), 1), "{stderr}");
    assert!(stderr.contains("ENABLE_REDIS=false"));
}

#[test]
fn a_server_that_is_not_there_is_69_and_says_how_to_start_it() {
    for args in [&["videos"][..], &["streams"], &["pending"], &["accounts"], &["explain", "v"], &["claim"]] {
        let (code, stdout, stderr) = run(args, &[("SUBITEYA_URL", "http://127.0.0.1:1")]);
        assert_eq!(code, Some(69), "{args:?}: {stderr}");
        assert!(stderr.contains("subiteya up") && stderr.lines().count() == 1 && stdout.is_empty(), "{stderr}");
    }
}

#[test]
fn wrong_usage_is_2_and_help_shows_no_values() {
    for args in [
        &["upload"][..],
        &["work"],
        &["work", "cook"],
        &["claim", "--min-idle", "soon"],
        &["dead", "list", "--stream", "edit"],
        &["frobnicate"],
    ] {
        assert_eq!(run(args, &[]).0, Some(2), "{args:?}");
    }
    for command in ["up", "serve", "upload", "keys"] {
        let secrets = [("REDIS_URL", "hunter2"), ("ENCRYPTION_KEY", "hunter2"), ("SUBITEYA_API_KEY", "hunter2")];
        let (code, stdout, stderr) = run(&[command, "--help"], &secrets);
        assert_eq!(code, Some(0));
        assert!(stdout.contains("--output") && stderr.is_empty() && !stdout.contains("hunter2"));
    }
}

#[test]
fn completions_are_there_for_three_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, stdout, _) = run(&["completions", shell], &[]);
        assert!(code == Some(0) && stdout.contains("subiteya") && stdout.contains("upload"), "{shell}");
    }
}

#[test]
fn what_cannot_be_undone_needs_yes_where_nobody_can_be_asked() {
    let (code, _, stderr) = run(&["accounts", "remove", "conn_1"], &[]);
    assert!(code == Some(2) && stderr.contains("--yes"), "{stderr}");
    let (code, stdout, _) = run(&["accounts", "remove", "conn_1", "--dry-run"], &[]);
    assert!(code == Some(0) && stdout.contains("would remove conn_1"));
}

/// A field's name and bytes.
type Sent = (String, Vec<u8>);

/// An API that knows one video, whose end is given, and notes what was sent to it.
#[derive(Clone)]
struct FarEnd {
    ends_as: &'static str,
    with_events: bool,
    asked: Arc<Mutex<u32>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl FarEnd {
    fn video(&self, status: &str, progress: u32) -> Value {
        let reason = (status == "FAILED").then(|| json!({ "code": "spam_risk", "text": "TikTok refused it" }));
        json!({ "video": { "id": "v1", "accountId": "conn_1", "title": "t", "status": status, "progress": progress,
            "reason": reason } })
    }

    async fn start(self) -> String {
        let app = Router::new()
            .route("/api/videos", post(upload).get(list))
            .route("/api/videos/{id}", get(show))
            .route("/api/videos/{id}/events", get(events))
            .route("/api/videos/{id}/edited", get(|| async { vec![9u8; 200_000] }))
            .route("/api/streams/claim", post(claim))
            .with_state(self);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }
}

fn far_end(ends_as: &'static str, with_events: bool) -> FarEnd {
    FarEnd { ends_as, with_events, asked: Arc::default(), sent: Arc::default() }
}

async fn upload(State(far): State<FarEnd>, headers: HeaderMap, mut form: Multipart) -> impl IntoResponse {
    assert_eq!(headers[header::AUTHORIZATION], "Bearer the-key");
    while let Some(field) = form.next_field().await.expect("a field") {
        let name = field.name().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.expect("bytes").to_vec();
        far.sent.lock().expect("lock").push((name, bytes));
    }
    (StatusCode::CREATED, Json(far.video("EDITING_QUEUED", 0)))
}

async fn show(State(far): State<FarEnd>, UrlPath(_): UrlPath<String>) -> Json<Value> {
    let asked = {
        let mut asked = far.asked.lock().expect("lock");
        *asked += 1;
        *asked
    };
    // Asked before the events begin, and again once they have.
    Json(if asked > 2 { far.video(far.ends_as, 100) } else { far.video("EDITING", 10) })
}

async fn events(State(far): State<FarEnd>) -> impl IntoResponse {
    if !far.with_events {
        return (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain")], String::new());
    }
    let text = format!(
        "event: status\ndata: {{\"status\":\"PUBLISHING\",\"progress\":0}}\n\n\
         event: progress\ndata: {{\"progress\":60}}\n\n\
         event: status\ndata: {{\"status\":\"{}\",\"progress\":100}}\n\n",
        far.ends_as
    );
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/event-stream")], text)
}

async fn list(headers: HeaderMap, uri: Uri) -> impl IntoResponse {
    if headers.get(header::AUTHORIZATION).is_none_or(|key| key != "Bearer the-key") {
        let problem = json!({ "code": "unauthorized", "title": "No key", "detail": "a key is needed" });
        return (StatusCode::UNAUTHORIZED, Json(problem));
    }
    if uri.query().is_some_and(|query| query.contains("cursor")) {
        let problem =
            json!({ "code": "bad_cursor", "title": "Wrong", "detail": "the cursor is\u{1b}[2J none of ours" });
        return (StatusCode::BAD_REQUEST, Json(problem));
    }
    let video = json!({ "id": "v1", "status": "POSTED", "progress": 100, "title": "A title", "accountId": "conn_1" });
    (StatusCode::OK, Json(json!({ "videos": [video], "next": null })))
}

async fn claim(Json(body): Json<Value>) -> Json<Value> {
    let claimed = if body["ids"].is_null() { json!([]) } else { json!([{ "videoId": "v1", "idleMs": 400_000 }]) };
    assert_eq!(body["minIdle"], "5m");
    Json(json!({ "claimed": claimed, "refused": [], "plan": "p" }))
}

async fn run_at(url: String, args: &[&str], key: bool) -> (Option<i32>, String, String) {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut env = vec![("SUBITEYA_URL", url.as_str())];
        if key {
            env.push(("SUBITEYA_API_KEY", "the-key"));
        }
        run(&args, &env)
    })
    .await
    .expect("it ran")
}

fn clip() -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".mp4").tempfile().expect("file");
    std::fs::write(file.path(), vec![7u8; 300_000]).expect("written");
    file
}

fn upload_args(file: &Path) -> Vec<&str> {
    let path = file.to_str().expect("path");
    vec!["upload", path, "--account", "conn_1", "--title", "A title", "--allow-duet", "--watch", "--output", "json"]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_followed_by_events_until_it_is_posted() {
    let far = far_end("POSTED", true);
    let file = clip();
    let (code, stdout, stderr) = run_at(far.clone().start().await, &upload_args(file.path()), true).await;
    assert_eq!(code, Some(0), "{stderr}");
    let answer: Value = serde_json::from_str(&stdout).expect("the API's answer");
    assert_eq!(answer["video"]["status"], "POSTED");
    assert_eq!(stderr, "EDITING\nPUBLISHING\nPOSTED\n", "one plain line for each change");
    let sent = far.sent.lock().expect("lock").clone();
    let names: Vec<&str> = sent.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["accountId", "title", "allowDuet", "video"]);
    assert_eq!(sent[3].1, vec![7u8; 300_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_events_it_asks_again_and_a_failure_is_1_with_its_reason() {
    let file = clip();
    let (code, stdout, stderr) = run_at(far_end("FAILED", false).start().await, &upload_args(file.path()), true).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stdout.contains("\"FAILED\"") && stderr.ends_with("subiteya: FAILED: TikTok refused it (spam_risk)\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_api_are_one_clear_line() {
    let url = far_end("POSTED", true).start().await;
    let file = clip();
    let (code, _, stderr) = run_at(url.clone(), &upload_args(file.path()), false).await;
    assert!(code == Some(1) && stderr.contains("a key is needed (unauthorized); set SUBITEYA_API_KEY"), "{stderr}");
    let (code, _, stderr) = run_at(url.clone(), &["videos", "list", "--cursor", "x"], true).await;
    assert_eq!((code, stderr.as_str()), (Some(1), "subiteya: the cursor is [2J none of ours (bad_cursor)\n"));
    let (code, stdout, _) = run_at(url.clone(), &["videos"], true).await;
    assert!(code == Some(0) && stdout.contains("v1") && stdout.contains("A title"), "{stdout}");
    let (code, ..) = run_at(url.clone(), &["claim"], true).await;
    assert_eq!(code, Some(3), "nothing to claim");
    let (code, stdout, _) = run_at(url, &["claim", "v1", "--yes"], true).await;
    assert!(code == Some(0) && stdout.contains("6m40s"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_downloaded_whole_or_not_at_all() {
    let url = far_end("POSTED", true).start().await;
    let folder = tempfile::tempdir().expect("folder");
    let to = folder.path().join("result.mp4");
    let path = to.to_str().expect("path");
    let (code, _, stderr) = run_at(url.clone(), &["videos", "download", "v1", "--to", path], true).await;
    assert!(code == Some(0) && std::fs::read(&to).expect("file") == vec![9u8; 200_000], "{stderr}");
    let (code, ..) = run_at(url, &["videos", "download", "v1", "--source", "--to", path], true).await;
    assert_eq!((code, std::fs::read_dir(folder.path()).expect("folder").count()), (Some(3), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_up_wrote_is_found_in_the_data_folder() {
    let url = far_end("POSTED", true).start().await;
    let file = clip();
    let output = tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::create_dir(folder.path().join("data")).expect("data");
        std::fs::write(folder.path().join("data/operator.key"), "the-key\n").expect("key");
        subiteya(folder.path(), &upload_args(file.path()), &[("SUBITEYA_URL", &url)])
    });
    assert_eq!(output.await.expect("it ran").status.code(), Some(0));
}
