//! The way of every request to TikTok's part: a fault may meet it, a handler does the work, and before anything is sent
//! the call is recorded. Handlers run on a task of their own, so that a client which goes away changes nothing in what
//! becomes of its request, as it is with a real far end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use chrono::Utc;
use futures::StreamExt;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use super::answer::{Form, Refusal, envelope, invalid};
use super::app::App;
use super::cut::Peer;
use super::fault::{Action, Fault};
use super::journal::Entry;
use super::record::{Call, Kind, time};
use super::{authorize, direct_post, oauth, upload};

/// A request on its way through a handler.
pub(super) struct Received {
    pub(super) parts: Parts,
    pub(super) body: Body,
    pub(super) action: Option<Action>,
    pub(super) call: Call,
}

/// What a handler did.
pub(super) enum Done {
    /// `data` of an envelope.
    Data(Value),
    /// A body as it is.
    Flat(Value),
    Whole(Response),
    /// A fault ended it in the middle.
    Cut,
}

enum Reply {
    Answer(Response),
    Cut,
    Hang,
}

pub(super) async fn answer(app: Arc<App>, kind: Kind, peer: Peer, request: axum::extract::Request) -> Response {
    let running = tokio::spawn(run(app.clone(), kind, peer.clone(), request));
    match running.await {
        Ok(Reply::Answer(response)) => return response,
        Ok(Reply::Hang) => app.closing.cancelled().await,
        Ok(Reply::Cut) => {}
        Err(error) => tracing::error!(%error, "a handler of the sandbox failed"),
    }
    peer.cut();
    Response::default()
}

async fn run(app: Arc<App>, kind: Kind, peer: Peer, request: axum::extract::Request) -> Reply {
    let (parts, body) = request.into_parts();
    let started = Instant::now();
    let fault = kind.target().and_then(|target| app.faults.take(target));
    let call = begin(&app, kind, &peer, &parts, fault.as_ref());
    let mut received = Received { parts, body, action: fault.map(|fault| fault.action), call };

    let form = match kind {
        Kind::Chunk | Kind::Authorize => Form::Text,
        Kind::Token | Kind::Revoke => Form::Flat,
        _ => Form::Envelope,
    };
    let action = received.action.clone();
    let result = match &action {
        Some(Action::Hang) => {
            received.call.outcome = "hung".into();
            finish(&app, received.call, started);
            return Reply::Hang;
        }
        Some(Action::CutBefore) => Ok(Done::Cut),
        Some(Action::Error { status, code }) => injected(&mut received, *status, code.clone(), form).await,
        Some(Action::RateLimit(after)) => {
            received.drain().await;
            let mut refusal =
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "Too many requests (asked for)");
            refusal.retry_after = after.map(|after| after.as_secs_f64().ceil() as u64);
            Err(refusal)
        }
        _ => handle(&app, &mut received).await,
    };

    let mut call = received.call;
    let response = match result {
        Ok(Done::Cut) => {
            call.outcome = "cut".into();
            finish(&app, call, started);
            return Reply::Cut;
        }
        Ok(Done::Data(data)) => envelope(StatusCode::OK, data, "ok", "", &call.log_id),
        Ok(Done::Flat(body)) => Json(body).into_response(),
        Ok(Done::Whole(response)) => response,
        Err(refusal) => {
            call.outcome = refusal.code.to_string();
            call.message = Some(refusal.message.to_string());
            call.rule = refusal.rule.map(str::to_owned);
            refusal.answer(form, &call.log_id)
        }
    };
    if call.outcome.is_empty() {
        call.outcome = "ok".into();
    }
    call.status = Some(response.status().as_u16());
    call.answered = !matches!(action, Some(Action::CutAfter | Action::CutMid));
    finish(&app, call, started);
    match action {
        Some(Action::Hold(hold)) => {
            tokio::time::sleep(hold).await;
            Reply::Answer(response)
        }
        Some(Action::CutAfter) => Reply::Cut,
        Some(Action::CutMid) => Reply::Answer(half(response).await),
        _ => Reply::Answer(response),
    }
}

async fn handle(app: &App, received: &mut Received) -> Result<Done, Refusal> {
    if received.call.kind == Kind::Chunk {
        // It streams its body, and waits only when that is in.
        return upload::put(app, received).await;
    }
    let body = received.bytes().await?;
    if let Some(Action::Delay(delay)) = &received.action {
        tokio::time::sleep(*delay).await;
    }
    kill_token(app, received)?;
    match received.call.kind {
        Kind::CreatorInfo => direct_post::creator_info(app, received),
        Kind::Init => direct_post::init(app, received, &body).await,
        Kind::Status => direct_post::status(app, received, &body),
        Kind::Userinfo => oauth::user_info(app, received),
        Kind::Token => oauth::token(app, received, &body).await,
        Kind::Revoke => oauth::revoke(app, received, &body).await,
        Kind::Authorize => authorize::authorize(app, received, &body).await,
        Kind::Chunk => Ok(Done::Cut),
        Kind::Unknown => Err(unknown(received)),
    }
}

/// What the faults `revoke` and `expire-token` do before the request is handled.
fn kill_token(app: &App, received: &Received) -> Result<(), Refusal> {
    let Ok(token) = received.bearer() else { return Ok(()) };
    app.step(|state, _| {
        let owner = state.owner(token).map(str::to_owned);
        let entry = match received.action {
            Some(Action::RevokeToken) => owner.map(|open_id| Entry::Revoked { open_id }),
            Some(Action::ExpireToken) => owner.map(|_| Entry::AccessDead { access_token: token.to_owned() }),
            _ => None,
        };
        Ok((entry.into_iter().collect(), ()))
    })
}

fn unknown(received: &Received) -> Refusal {
    let path = received.parts.uri.path();
    let message = format!("Unsupported path or method: {} {path}", received.parts.method);
    let refusal = Refusal::new(StatusCode::NOT_FOUND, "unsupported_path", message);
    refusal.rule(if path.ends_with('/') { "path" } else { "trailing_slash" })
}

async fn injected(received: &mut Received, status: u16, code: Option<String>, form: Form) -> Result<Done, Refusal> {
    received.drain().await;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let Some(code) = code else {
        if (502..=504).contains(&status.as_u16()) {
            received.call.outcome = "no JSON".into();
            let page = Html(format!("<html><head><title>{status}</title></head><body>{status}</body></html>"));
            return Ok(Done::Whole((status, page).into_response()));
        }
        return Err(Refusal::new(status, "internal_error", "An internal error occurred (asked for)"));
    };
    received.call.outcome = code.clone();
    if status.is_success() && form == Form::Envelope {
        return Ok(Done::Whole(envelope(status, json!({}), &code, "(asked for)", &received.call.log_id)));
    }
    Err(Refusal::new(status, code, "(asked for)"))
}

/// The first half of an answer, then a broken connection.
async fn half(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, whole.len().into());
    let first = whole.slice(..whole.len() / 2);
    let rest = async {
        // Time for the first half to leave.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    };
    let pieces = futures::stream::iter([Ok(first)]).chain(futures::stream::once(rest));
    Response::from_parts(parts, Body::from_stream(pieces))
}

fn begin(app: &App, kind: Kind, peer: &Peer, parts: &Parts, fault: Option<&Fault>) -> Call {
    let arrival = time(app.clock.now());
    let log_id = format!("{}{:018X}", arrival.format("%Y%m%d%H%M%S"), rand::random::<u64>());
    Call {
        time: arrival,
        wall_time: Utc::now(),
        took_ms: 0,
        kind,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        open_id: None,
        publish_id: None,
        grant_type: None,
        video_size: None,
        chunk_size: None,
        total_chunk_count: None,
        range: None,
        bytes: 0,
        status: None,
        outcome: String::new(),
        message: None,
        answered: false,
        rule: None,
        fault: fault.map(Fault::to_string),
        post_status: None,
        request_id: text(&parts.headers, "x-request-id"),
        user_agent: text(&parts.headers, "user-agent"),
        peer: peer.address.to_string(),
        log_id,
        counted_at: None,
    }
}

fn finish(app: &App, mut call: Call, started: Instant) {
    call.took_ms = super::clock::millis(started.elapsed());
    app.record(call);
}

pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn bearer(&self) -> Result<&str, Refusal> {
        let token = self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        token.ok_or_else(|| {
            let message = "The header Authorization: Bearer <access token> is missing";
            Refusal::new(StatusCode::UNAUTHORIZED, "access_token_invalid", message).rule("authorization")
        })
    }

    /// The media type of `Content-Type`, in lower case and without parameters.
    pub(super) fn content_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    pub(super) fn expect_json(&self) -> Result<(), Refusal> {
        if self.content_type() == "application/json" {
            return Ok(());
        }
        Err(invalid("content_type", "The Content-Type is not application/json; charset=UTF-8"))
    }

    /// The whole body, which for everything but a chunk is small.
    async fn bytes(&mut self) -> Result<Bytes, Refusal> {
        let body = std::mem::take(&mut self.body);
        let bytes = axum::body::to_bytes(body, 1 << 20).await.map_err(|_| invalid("body", "The body is broken"))?;
        self.call.bytes = bytes.len() as u64;
        Ok(bytes)
    }

    /// Takes the rest of the body from the connection, so that a client that is still sending gets to read the answer.
    pub(super) async fn drain(&mut self) {
        let mut frames = std::mem::take(&mut self.body).into_data_stream();
        while let Some(Ok(bytes)) = frames.next().await {
            self.call.bytes += bytes.len() as u64;
        }
    }
}
