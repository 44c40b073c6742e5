//! The sandbox, asked over a real socket as any client would.

mod direct_post;
mod fault;
mod login;
mod page;
mod restart;
mod upload;
mod webhook;

use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use subiteya::sandbox::{Call, CreatorSpec, Filter, Options, Sandbox, Tokens};
use tempfile::TempDir;

const KEY: &str = "key";
const SECRET: &str = "secret";
const INIT: &str = "/v2/post/publish/video/init/";
const CREATOR_INFO: &str = "/v2/post/publish/creator_info/query/";
const STATUS: &str = "/v2/post/publish/status/fetch/";

struct Fixture {
    sandbox: Sandbox,
    http: Client,
    folder: TempDir,
}

/// A sandbox with small chunks, so that tests needn't move megabytes.
fn options(folder: &TempDir) -> Options {
    let mut options = Options::new(folder.path(), KEY, SECRET);
    options.fsync = false;
    options.processing = Duration::ZERO;
    options.moderation = Duration::ZERO;
    options.limits.chunk_min = 20;
    options.limits.chunk_max = 100;
    options
}

impl Fixture {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = TempDir::new().unwrap();
        let mut options = options(&folder);
        change(&mut options);
        Self { sandbox: Sandbox::start(options).await.unwrap(), http: client(), folder }
    }

    async fn creator(&self, name: &str) -> Tokens {
        self.sandbox.grant(&CreatorSpec::named(name)).await.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.base_url())
    }

    fn post(&self, tokens: &Tokens, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(self.url(path)).bearer_auth(&tokens.access_token).json(body)
    }

    async fn call(&self, tokens: &Tokens, path: &str, body: &Value) -> (u16, Value) {
        let response = self.post(tokens, path, body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// HTTP status and error code of a call.
    async fn code(&self, tokens: &Tokens, path: &str, body: &Value) -> (u16, String) {
        let (status, answer) = self.call(tokens, path, body).await;
        (status, answer["error"]["code"].as_str().unwrap().to_owned())
    }

    async fn init(&self, tokens: &Tokens, size: usize, chunk: usize) -> Begun {
        let (status, answer) = self.call(tokens, INIT, &init_body(size, chunk)).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (200, Some("ok")), "{answer}");
        let text = |name: &str| answer["data"][name].as_str().unwrap().to_owned();
        Begun { publish_id: text("publish_id"), upload_url: text("upload_url") }
    }

    fn put(&self, begun: &Begun, video: &[u8], first: usize, end: usize) -> RequestBuilder {
        self.http
            .put(&begun.upload_url)
            .header("content-type", "video/mp4")
            .header("content-range", format!("bytes {first}-{}/{}", end - 1, video.len()))
            .body(video[first..end].to_vec())
    }

    async fn put_ok(&self, begun: &Begun, video: &[u8], first: usize, end: usize) -> Response {
        let response = self.put(begun, video, first, end).send().await.unwrap();
        let wanted = if end == video.len() { StatusCode::CREATED } else { StatusCode::PARTIAL_CONTENT };
        assert_eq!(response.status(), wanted);
        response
    }

    /// A post in one piece.
    async fn posted(&self, tokens: &Tokens, video: &[u8]) -> Begun {
        let begun = self.init(tokens, video.len(), video.len()).await;
        self.put_ok(&begun, video, 0, video.len()).await;
        begun
    }

    async fn status(&self, tokens: &Tokens, begun: &Begun) -> Value {
        let (_, answer) = self.call(tokens, STATUS, &json!({"publish_id": begun.publish_id})).await;
        assert_eq!(answer["error"]["code"], "ok", "{answer}");
        answer["data"].clone()
    }

    async fn calls(&self, filter: Filter) -> Vec<Call> {
        self.sandbox.record(filter).await.unwrap()
    }

    fn ask_for(&self, faults: &[&str]) {
        self.sandbox.add_faults(faults.iter().map(|fault| fault.parse().unwrap()).collect());
    }
}

struct Begun {
    publish_id: String,
    upload_url: String,
}

fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn init_body(size: usize, chunk: usize) -> Value {
    json!({
        "post_info": {"title": "A title", "privacy_level": "SELF_ONLY", "brand_content_toggle": false},
        "source_info": {
            "source": "FILE_UPLOAD", "video_size": size, "chunk_size": chunk, "total_chunk_count": size / chunk,
        },
    })
}

/// Bytes that begin as an MP4 does.
fn video(size: usize) -> Vec<u8> {
    let mut bytes = b"\0\0\0\x18ftypmp42".to_vec();
    bytes.extend((0u8..=255).cycle().take(size - bytes.len()));
    bytes
}

/// Asks until it is so, or panics.
async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so().await {
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
