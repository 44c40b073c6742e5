//! Whether this process is alive and ready: `/healthz`, `/readyz`.
//!
//! Ready means that an upload would be accepted: the database and the object store answer and no loop of this process
//! hangs. Redis is not needed for that, since work waits in the ledger; its trouble is told here, and a balancer that took
//! every server away for it would make an outage of it.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::Mutex;

use super::{AppState, RETRY_AFTER};

/// How long the store's answer holds: a listing costs money where S3 is metered.
const FRESH: Duration = Duration::from_secs(10);
/// How long a probe waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// When the store was last asked, and whether it answered.
#[derive(Default)]
pub(super) struct StoreProbe(Mutex<Option<(Instant, bool)>>);

pub(super) async fn alive() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let (ledger, store) = tokio::join!(ledger(&state), store(&state));
    let trouble = state.dispatch.streams().map(crate::stream::Streams::trouble);
    let over_quota = state.dispatch.streams().is_some_and(|streams| streams.over_quota().is_some());
    let redis = match &trouble {
        None => "disabled",
        Some(None) => "connected",
        // Uploads go on, so neither is a reason to send them elsewhere.
        Some(Some(_)) if over_quota => "over quota",
        Some(Some(_)) => "disconnected",
    };
    let silent = state.health.silent();
    let ready = ledger && store && silent.is_empty() && !state.closing.is_cancelled();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if ready { "ok" } else { "unavailable" },
        "ledger": ledger,
        "store": store,
        "redis": redis,
        "silentLoops": silent,
    });
    // No problem: the same shape whether it is ready or not, for those who probe.
    let mut response = (status, Json(body)).into_response();
    if !ready {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.into());
    }
    response
}

/// A read of a table, so that a database without its schema isn't taken for ready.
async fn ledger(state: &AppState) -> bool {
    let read = tokio::time::timeout(PATIENCE, state.ledger.setting("instance")).await;
    matches!(read, Ok(Ok(_)))
}

async fn store(state: &AppState) -> bool {
    let mut last = state.store_probe.0.lock().await;
    if let Some((asked, answered)) = *last
        && answered
        && asked.elapsed() < FRESH
    {
        return true;
    }
    let answered = matches!(tokio::time::timeout(PATIENCE, state.media.check()).await, Ok(Ok(())));
    *last = Some((Instant::now(), answered));
    answered
}
