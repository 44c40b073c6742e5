//! Whether this process is alive and ready: `/healthz`, `/readyz`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::AppState;

pub(super) async fn alive() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

pub(super) async fn ready(State(state): State<AppState>) -> Response {
    // A read of a table, so that a database without its schema isn't taken for ready.
    let ledger = tokio::time::timeout(Duration::from_secs(5), state.ledger.setting("instance")).await;
    let ledger = matches!(ledger, Ok(Ok(_)));
    let redis = match state.dispatch.streams() {
        None => "disabled",
        Some(streams) if streams.connected() => "connected",
        // Uploads go on, so this is no reason to send them elsewhere.
        Some(streams) if streams.over_quota().is_some() => "over quota",
        Some(_) => "disconnected",
    };
    let silent = state.health.silent();
    let ready = ledger && redis != "disconnected" && silent.is_empty() && !state.closing.is_cancelled();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if ready { "ok" } else { "unavailable" },
        "ledger": ledger,
        "redis": redis,
        "silentLoops": silent,
    });
    // No problem: the same shape whether it is ready or not, for those who probe.
    (status, Json(body)).into_response()
}
