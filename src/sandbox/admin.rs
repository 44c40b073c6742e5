//! The sandbox's own routes, under `/sandbox/`: make creators, ask for faults, set the clock, read the record. Whatever changes
//! something takes `application/json` only, which a foreign web page can't send.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::answer::Refusal;
use super::app::App;
use super::creator::CreatorSpec;
use super::fault::{Fault, parse_duration};
use super::journal::Entry;
use super::record::{Filter, time};
use super::webhook::{Event, may_send_to};
use super::{avatar, page, video};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(page::posts))
        .route("/sandbox/creators", get(creators).post(make_creator))
        .route("/sandbox/creators/{open_id}/avatar", get(show_avatar))
        .route("/sandbox/creators/{open_id}/revoke", post(revoke))
        .route("/sandbox/webhooks", get(webhooks).post(aim))
        .route("/sandbox/webhooks/send", post(send))
        .route("/sandbox/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/sandbox/clock", get(clock).post(advance))
        .route("/sandbox/record", get(record))
        .route("/sandbox/violations", get(violations))
        .route("/sandbox/posts", get(posts))
        .route("/sandbox/posts/{publish_id}/video", get(video::video))
        .route("/sandbox/health", get(StatusCode::OK))
}

fn refused(refusal: &Refusal) -> Response {
    (refusal.status, Json(json!({"error": refusal.message}))).into_response()
}

fn bad(why: impl ToString) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": why.to_string()}))).into_response()
}

async fn make_creator(State(app): State<Arc<App>>, Json(spec): Json<CreatorSpec>) -> Response {
    if spec.name.trim().is_empty() {
        return bad("the creator needs a name");
    }
    let granted = match app.grant(&spec) {
        Ok(tokens) => app.sync().await.map(|()| tokens),
        Err(refusal) => Err(refusal),
    };
    match granted {
        Ok(tokens) => (StatusCode::CREATED, Json(tokens)).into_response(),
        Err(refusal) => refused(&refusal),
    }
}

async fn creators(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({"creators": app.look(|state, _| state.creators.values().cloned().collect::<Vec<_>>())}))
}

async fn show_avatar(State(app): State<Arc<App>>, Path(open_id): Path<String>) -> Response {
    if !app.look(|state, _| state.creators.contains_key(&open_id)) {
        return StatusCode::NOT_FOUND.into_response();
    }
    ([(header::CONTENT_TYPE, "image/png")], avatar::png(&open_id)).into_response()
}

/// `application/json` like all that changes something, so that no foreign page can send it.
async fn revoke(State(app): State<Arc<App>>, Path(open_id): Path<String>, Json(_): Json<Value>) -> Response {
    match app.revoke(&open_id) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refused(&refusal),
    }
}

async fn webhooks(State(app): State<Arc<App>>) -> Json<Value> {
    let url = app.webhooks.target().map(String::from);
    Json(json!({"url": url, "deliveries": app.webhooks.deliveries()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Aim {
    url: Option<String>,
}

async fn aim(State(app): State<Arc<App>>, Json(asked): Json<Aim>) -> Response {
    let url = match asked.url.map(|url| Url::parse(&url)) {
        None => None,
        Some(Ok(url)) if may_send_to(&app.options, &url) => Some(url),
        Some(_) => return bad("webhooks go to http://localhost and http://127.0.0.1 only"),
    };
    app.webhooks.aim(url);
    webhooks(State(app)).await.into_response()
}

async fn send(State(app): State<Arc<App>>, Json(event): Json<Event>) -> Response {
    if app.webhooks.target().is_none() {
        return bad("nobody asked for webhooks; POST /sandbox/webhooks says where they go");
    }
    app.webhooks.send(event);
    StatusCode::ACCEPTED.into_response()
}

async fn faults(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({"faults": app.faults.show()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    faults: Vec<String>,
}

async fn add_faults(State(app): State<Arc<App>>, Json(asked): Json<Asked>) -> Response {
    let parsed: Result<Vec<Fault>, _> = asked.faults.iter().map(|fault| fault.parse::<Fault>()).collect();
    match parsed {
        Ok(parsed) => app.faults.add(parsed),
        Err(error) => return bad(error),
    }
    (StatusCode::CREATED, faults(State(app)).await).into_response()
}

async fn clear_faults(State(app): State<Arc<App>>) -> StatusCode {
    app.faults.clear();
    StatusCode::NO_CONTENT
}

async fn clock(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({"time": time(app.clock.now()), "scale": app.clock.anchor().scale}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    /// `90s`, `1h` and the like.
    advance: String,
}

async fn advance(State(app): State<Arc<App>>, Json(asked): Json<Advance>) -> Response {
    let Some(by) = parse_duration(&asked.advance).filter(|by| *by <= Duration::from_hours(10 * 365 * 24)) else {
        return bad("`advance` is written 500ms, 10s, 5m or 1h");
    };
    match app.advance(by) {
        Ok(()) => clock(State(app)).await.into_response(),
        Err(refusal) => refused(&refusal),
    }
}

async fn record(State(app): State<Arc<App>>, Query(filter): Query<Filter>) -> Response {
    match app.calls(filter).await {
        Ok(calls) => Json(json!({"calls": calls})).into_response(),
        Err(refusal) => refused(&refusal),
    }
}

async fn violations(State(app): State<Arc<App>>, Query(filter): Query<Filter>) -> Response {
    record(State(app), Query(Filter { violations: true, ..filter })).await
}

async fn posts(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({"posts": app.look(|state, _| state.posts.clone())}))
}

impl App {
    /// Sets the sandbox's clock forward.
    pub(super) fn advance(&self, by: Duration) -> Result<(), Refusal> {
        self.step(|_, _| Ok((vec![Entry::Clock(self.clock.advance(by))], ())))
    }
}
