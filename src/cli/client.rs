//! The HTTP API as its client sees it: an address, a key, JSON, and errors that are one line.

use std::path::Path;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

use crate::app::embedded::OPERATOR_KEY;
use crate::app::{Exit, Failure};
use crate::config::{Environment, data_folder, web_url};

const DEFAULT_URL: &str = "http://127.0.0.1:3000";
/// The longest time for one short answer.
pub(super) const ANSWER: Duration = Duration::from_secs(60);

pub(super) struct Api {
    http: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
}

/// An error as the API tells it (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemJson {
    code: String,
    title: String,
    detail: String,
}

impl Api {
    pub(super) fn connect(env: &Environment, url: Option<&str>) -> Result<Self, Failure> {
        let configuration = |problem| Failure::configuration(&[problem]);
        let text = match url {
            Some(url) => Some(url.to_owned()),
            None => env.text("SUBITEYA_URL").map_err(configuration)?,
        };
        let text = text.unwrap_or_else(|| DEFAULT_URL.to_owned());
        let base = web_url("SUBITEYA_URL", &text, DEFAULT_URL).map_err(configuration)?;
        let local = is_local(&base);
        let mut key = env.text("SUBITEYA_API_KEY").map_err(configuration)?;
        // The key of our own `up` is no other server's business.
        if key.is_none() && local {
            key = key_of_up(&data_folder(env).map_err(configuration)?);
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("subiteya/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none());
        if local {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| Failure::failed(format!("the HTTP client: {error}")))?;
        Ok(Self { http, base, key: key.map(SecretString::from) })
    }

    /// A request to a path of the API, made of these parts.
    pub(super) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.http.request(method, url).header(ACCEPT, "application/json");
        match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        }
    }

    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        self.json(self.request(Method::GET, path).query(query).timeout(ANSWER)).await
    }

    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.json(self.request(Method::POST, path).json(body).timeout(ANSWER)).await
    }

    pub(super) async fn patch(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.json(self.request(Method::PATCH, path).json(body).timeout(ANSWER)).await
    }

    pub(super) async fn delete(&self, path: &[&str]) -> Result<Value, Failure> {
        self.json(self.request(Method::DELETE, path).timeout(ANSWER)).await
    }

    pub(super) async fn json(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = self.send(request).await?;
        let body = response.bytes().await.map_err(|error| self.broken(&error))?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|_| Failure::failed(format!("{} answers something that is not JSON; is it SubiteYa?", self.base)))
    }

    /// Sends it; anything but success or a redirect is a failure.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            return Ok(response);
        }
        let problem = response.json::<ProblemJson>().await.unwrap_or_default();
        Err(self.refused(status, &problem))
    }

    fn refused(&self, status: StatusCode, problem: &ProblemJson) -> Failure {
        let said = [&problem.detail, &problem.title].into_iter().find(|text| !text.is_empty());
        let reason = status.canonical_reason().unwrap_or("an unknown error");
        let said = super::print::printable(said.map_or(reason, String::as_str));
        let code = if problem.code.is_empty() { status.as_str() } else { &problem.code };
        let mut message = format!("{said} ({})", super::print::printable(code));
        if status == StatusCode::UNAUTHORIZED && self.key.is_none() {
            message.push_str("; set SUBITEYA_API_KEY, or run this where `subiteya up` keeps its data folder");
        }
        let exit = match status {
            StatusCode::NOT_FOUND => Exit::NothingMatched,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Exit::Unavailable
            }
            _ => Exit::Failed,
        };
        Failure::new(exit, message)
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        let base = self.base.as_str().trim_end_matches('/');
        if error.is_connect() {
            return Failure::unavailable(format!(
                "nothing answers at {base}; start it with `subiteya up`, or set SUBITEYA_URL to where it runs"
            ));
        }
        if error.is_timeout() {
            return Failure::unavailable(format!("{base} does not answer in time"));
        }
        Failure::unavailable(format!("the connection to {base} broke off ({})", innermost(error)))
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn key_of_up(data: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data.join(OPERATOR_KEY)).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}
