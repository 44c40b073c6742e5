//! The client. One call is one request: no retries, no redirects, no hidden repeats.
//!
//! Every failure is a [`Refusal`] with its class. `Transient` with the code `not_sent` means that no connection was made, so
//! nothing can have happened; `OutcomeUnknown` that something was sent and no answer that makes sense came back.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

use super::oauth::Verifier;
use super::refusal::{self, Class, Head, Refusal};
use super::upload_url::UploadUrl;
use super::wire::{CreatorInfo, Envelope, InitData, InitRequest, PostInfo, PostStatus, SourceInfo, Tokens, UserInfo};

/// TikTok's API, unless configured otherwise.
pub const API_URL: &str = "https://open.tiktokapis.com";
/// The authorize page's base, unless configured otherwise.
pub const AUTH_URL: &str = "https://www.tiktok.com";

/// No answer of TikTok's is longer. Bytes.
const LONGEST_ANSWER: usize = 1 << 20;
/// A page waits for a creator's picture no longer.
const PICTURE: Duration = Duration::from_secs(8);

#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub api_url: Url,
    pub auth_url: Url,
    pub client_key: String,
    pub client_secret: SecretString,
    pub connect_timeout: Duration,
    /// A whole question and answer.
    pub call_timeout: Duration,
    /// A whole chunk. The protocol's `Times::longest_put` must not be shorter.
    pub put_timeout: Duration,
    /// A chunk of which nothing moves for so long is given up: it holds a slot, and the status says more.
    pub quiet_timeout: Duration,
}

impl ClientConfig {
    pub fn new(api_url: Url, auth_url: Url, client_key: String, client_secret: SecretString) -> Self {
        Self {
            api_url,
            auth_url,
            client_key,
            client_secret,
            connect_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            put_timeout: Duration::from_secs(600),
            quiet_timeout: Duration::from_secs(60),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0} can't be a base: it must be http or https with a host")]
    NotABase(Url),
    #[error("the HTTP client could not be made")]
    Http(#[from] reqwest::Error),
}

/// What TikTok answered, and when by its own clock (milliseconds).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered<T> {
    pub value: T,
    pub date: Option<i64>,
}

/// What init gave.
#[derive(Debug, Clone)]
pub struct Init {
    pub publish_id: String,
    pub upload_url: UploadUrl,
}

/// One chunk of one video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    pub first: u64,
    /// The byte after the last one.
    pub end: u64,
    pub total: u64,
}

/// TikTok took a chunk: 201 (`complete`, all parts are in) or 206.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub complete: bool,
}

#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    config: ClientConfig,
}

impl Client {
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        for url in [&config.api_url, &config.auth_url] {
            if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
                return Err(ClientError::NotABase(url.clone()));
            }
        }
        let mut http = reqwest::Client::builder()
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("subiteya/", env!("CARGO_PKG_VERSION")))
            // A connection that the far end closed meanwhile would look like a lost answer.
            .pool_idle_timeout(Duration::from_secs(15))
            .connect_timeout(config.connect_timeout);
        if matches!(config.api_url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            // A proxy for the world has no business with the sandbox on this machine.
            http = http.no_proxy();
        }
        Ok(Self { http: http.build()?, config })
    }

    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Whether anything answers at the API's address, whatever it says. Needs no token.
    pub async fn answers(&self, within: Duration) -> Result<(), String> {
        let asked = self.http.head(self.config.api_url.clone()).timeout(within).send();
        asked.await.map(drop).map_err(|error| match error.is_timeout() {
            true => format!("it does not answer within {} s", within.as_secs()),
            false => innermost(&error),
        })
    }

    // ---- posting

    pub async fn creator_info(&self, token: &SecretString) -> Result<Answered<CreatorInfo>, Refusal> {
        self.ask("v2/post/publish/creator_info/query/", token, &json!({})).await
    }

    /// FILE_UPLOAD. `size`, `chunk_size`, `count` as in the chunk plan.
    pub async fn init(
        &self,
        token: &SecretString,
        post: &PostInfo,
        size: u64,
        chunk_size: u64,
        count: u32,
    ) -> Result<Answered<Init>, Refusal> {
        let source_info = SourceInfo { source: "FILE_UPLOAD", video_size: size, chunk_size, total_chunk_count: count };
        let request = InitRequest { post_info: post, source_info };
        let Answered { value, date } = self.ask::<InitData>("v2/post/publish/video/init/", token, &request).await?;
        if value.publish_id.is_empty() {
            return Err(Refusal { date, ..Refusal::answer_lost("TikTok answered init without a publish id") });
        }
        let upload_url = self.upload_url(&value.upload_url)?;
        Ok(Answered { value: Init { publish_id: value.publish_id, upload_url }, date })
    }

    /// Checks an upload URL, fresh from init or unsealed.
    pub fn upload_url(&self, raw: &str) -> Result<UploadUrl, Refusal> {
        UploadUrl::check(raw, &self.config.api_url)
    }

    /// Sends one chunk. `body` must give exactly the chunk's bytes; the length is announced, never chunked.
    pub async fn put_chunk<S>(
        &self,
        url: &UploadUrl,
        content_type: &str,
        chunk: Chunk,
        body: S,
    ) -> Result<Answered<Taken>, Refusal>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    {
        let last = chunk.end.saturating_sub(1);
        let (moved, moves) = watch::channel(());
        let body = body.inspect(move |_| {
            moved.send_replace(());
        });
        let request = self
            .http
            .put(url.expose())
            .timeout(self.config.put_timeout)
            .header(CONTENT_TYPE, content_type)
            .header(CONTENT_LENGTH, chunk.end.saturating_sub(chunk.first))
            .header(CONTENT_RANGE, format!("bytes {}-{last}/{}", chunk.first, chunk.total))
            .body(reqwest::Body::wrap_stream(body));
        let (head, text) = tokio::select! {
            done = self.exchange(request) => done?,
            () = still(moves, self.config.quiet_timeout) => {
                let text = format!("nothing of the chunk moved for {} s", self.config.quiet_timeout.as_secs());
                return Err(Refusal::answer_lost(text));
            }
        };
        match head.http {
            201 => Ok(Answered { value: Taken { complete: true }, date: head.date }),
            206 => Ok(Answered { value: Taken { complete: false }, date: head.date }),
            // An error page likes to repeat the address that was asked for.
            _ => Err(refusal::of_upload(head, &url.hidden_in(&text))),
        }
    }

    pub async fn status(&self, token: &SecretString, publish_id: &str) -> Result<Answered<PostStatus>, Refusal> {
        self.ask("v2/post/publish/status/fetch/", token, &json!({ "publish_id": publish_id })).await
    }

    // ---- accounts

    /// Exchanges the code of a login. `verifier` for desktop logins.
    pub async fn exchange_code(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: Option<&Verifier>,
    ) -> Result<Answered<Tokens>, Refusal> {
        let mut form = vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect_uri)];
        if let Some(verifier) = verifier {
            form.push(("code_verifier", verifier.expose()));
        }
        self.token(form).await
    }

    /// The refresh token is dead as soon as TikTok has answered: store the pair before its first use.
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<Answered<Tokens>, Refusal> {
        self.token(vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())]).await
    }

    pub async fn revoke(&self, access_token: &SecretString) -> Result<(), Refusal> {
        let form = self.with_client(vec![("token", access_token.expose_secret())]);
        let (head, text) = self.oauth("v2/oauth/revoke/", &form).await?;
        if (200..300).contains(&head.http) { Ok(()) } else { Err(refusal::of_http(head, &text)) }
    }

    pub async fn user_info(&self, token: &SecretString) -> Result<Answered<UserInfo>, Refusal> {
        #[derive(serde::Deserialize)]
        struct Data {
            user: UserInfo,
        }
        let url = self.at("v2/user/info/").query(&[("fields", "open_id,display_name,avatar_url")]);
        let Answered { value, date } = self.envelope::<Data>(url.header(AUTHORIZATION, bearer(token))).await?;
        Ok(Answered { value: value.user, date })
    }

    /// Bytes from an address that was checked, without a token.
    pub(super) async fn small(&self, url: Url, most: usize) -> Result<Bytes, Refusal> {
        let mut response = self.http.get(url).timeout(PICTURE).send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(refusal::of_http(head(response.status().as_u16(), response.headers()), ""));
        }
        let mut bytes = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if bytes.len() + part.len() > most {
                return Err(Refusal::answer_lost(format!("the answer is longer than {most} bytes")));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes.freeze())
    }

    // ---- one exchange

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.config.api_url.as_str().trim_end_matches('/'))
    }

    fn at(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path)).timeout(self.config.call_timeout)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        token: &SecretString,
        body: &impl serde::Serialize,
    ) -> Result<Answered<T>, Refusal> {
        let request = self
            .http
            .post(self.url(path))
            .timeout(self.config.call_timeout)
            .header(AUTHORIZATION, bearer(token))
            .header(CONTENT_TYPE, "application/json; charset=UTF-8")
            .json(body);
        self.envelope(request).await
    }

    /// Success is `error.code == "ok"` and nothing else; HTTP 200 is not enough.
    async fn envelope<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Answered<T>, Refusal> {
        let (head, text) = self.exchange(request).await?;
        let good = (200..300).contains(&head.http);
        let Ok(envelope) = serde_json::from_str::<Envelope>(&text) else {
            return Err(if good { no_sense(head, "no envelope") } else { refusal::of_http(head, &text) });
        };
        let error = envelope.error;
        if error.code != "ok" {
            return Err(refusal::of_code(head, &error.code, &error.message, error.log_id));
        }
        if !good {
            return Err(refusal::of_http(head, &text));
        }
        match serde_json::from_value(envelope.data) {
            Ok(value) => Ok(Answered { value, date: head.date }),
            Err(why) => Err(Refusal { log_id: error.log_id, ..no_sense(head, &why.to_string()) }),
        }
    }

    fn with_client<'a>(&'a self, mut form: Vec<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
        form.push(("client_key", &self.config.client_key));
        form.push(("client_secret", self.config.client_secret.expose_secret()));
        form
    }

    async fn token(&self, form: Vec<(&str, &str)>) -> Result<Answered<Tokens>, Refusal> {
        let form = self.with_client(form);
        let (head, text) = self.oauth("v2/oauth/token/", &form).await?;
        if !(200..300).contains(&head.http) {
            return Err(refusal::of_http(head, &text));
        }
        // What serde says of a token's answer could quote it, so it is not repeated.
        let tokens: Tokens = serde_json::from_str(&text).map_err(|_| no_sense(head, "no tokens"))?;
        if tokens.access_token.expose_secret().is_empty() {
            return Err(no_sense(head, "an empty access token"));
        }
        Ok(Answered { value: tokens, date: head.date })
    }

    /// OAuth's errors are flat, and come with HTTP 200 too: the body is looked at first.
    async fn oauth(&self, path: &str, form: &[(&str, &str)]) -> Result<(Head, String), Refusal> {
        let request = self.http.post(self.url(path)).timeout(self.config.call_timeout).form(form);
        let (head, text) = self.exchange(request).await?;
        let Ok(Value::Object(body)) = serde_json::from_str::<Value>(&text) else { return Ok((head, text)) };
        let said = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let log_id = body.get("log_id").or(body.get("logid")).and_then(Value::as_str).map(str::to_owned);
        match body.get("error") {
            Some(Value::String(error)) if !error.is_empty() && error != "ok" => {
                Err(refusal::of_oauth(head, error, &said(body.get("error_description")), log_id))
            }
            // The other routes' envelope.
            Some(Value::Object(error)) if said(error.get("code")) != "ok" && error.contains_key("code") => {
                Err(refusal::of_oauth(head, &said(error.get("code")), &said(error.get("message")), log_id))
            }
            Some(_) | None => Ok((head, text)),
        }
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<(Head, String), Refusal> {
        let response = request.send().await.map_err(failed)?;
        let head = head(response.status().as_u16(), response.headers());
        match read(response).await {
            Ok(text) => Ok((head, text)),
            Err(why) => Err(Refusal { http: head.http, date: head.date, ..Refusal::answer_lost(why) }),
        }
    }
}

/// Ends when no piece was taken for so long; after the last one, when no answer came for so long.
async fn still(mut moves: watch::Receiver<()>, quiet: Duration) {
    while let Ok(moved) = tokio::time::timeout(quiet, moves.changed()).await {
        if moved.is_err() {
            return tokio::time::sleep(quiet).await;
        }
    }
}

fn bearer(token: &SecretString) -> String {
    format!("Bearer {}", token.expose_secret())
}

fn no_sense(head: Head, why: &str) -> Refusal {
    let text = format!("TikTok's answer makes no sense: {why}");
    Refusal { http: head.http, date: head.date, ..Refusal::answer_lost(text) }
}

/// Never with the URL in it: an upload URL is a secret.
fn failed(error: reqwest::Error) -> Refusal {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if error.is_builder() {
        return Refusal::ours(Class::Bug, "bad_request", text);
    }
    if error.is_connect() {
        return Refusal::not_sent(format!("TikTok can't be reached: {text}"));
    }
    Refusal::answer_lost(format!("TikTok's answer did not come: {text}"))
}

/// What the operating system or the TLS library said, which is what people can act on.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

async fn read(mut response: Response) -> Result<String, String> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| error.without_url().to_string())? {
        if body.len() + part.len() > LONGEST_ANSWER {
            return Err("TikTok's answer is longer than a megabyte".to_owned());
        }
        body.extend_from_slice(&part);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn head(http: u16, headers: &HeaderMap) -> Head {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let millis = |text| chrono::DateTime::parse_from_rfc2822(text).ok().map(|at| at.timestamp_millis());
    let date = text(DATE).and_then(millis);
    let retry_after = text(RETRY_AFTER).and_then(|text| match text.parse::<i64>() {
        Ok(seconds) => Some(seconds.saturating_mul(1_000)),
        Err(_) => Some(millis(text)? - date?),
    });
    // A day at most: a slip of theirs must not park a video for a year.
    let retry_after = retry_after.map(|pause| pause.clamp(1_000, 86_400_000));
    Head { http, date, retry_after }
}
