//! `POST /api/webhooks/tiktok`: what TikTok tells us unasked. Whoever has the app's secret may tell.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use super::{AppState, Problem};
use crate::ledger::SystemClock;
use crate::tiktok::webhook::{BadSignature, Notice, verify};
use crate::webhook::keep;

const SIGNATURE: &str = "tiktok-signature";

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/webhooks/tiktok", post(tiktok))
}

/// Takes an event of TikTok's. 200 says that it is stored, also if it was before.
#[utoipa::path(post, path = "/api/webhooks/tiktok", tag = "webhooks", security(()), request_body = String,
    params(("TikTok-Signature" = String, Header, description = "t=<unix>,s=<hex>")),
    responses((status = 200), (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn tiktok(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let refused = |bad: BadSignature| Problem::new(StatusCode::UNAUTHORIZED, "signature_invalid", bad.to_string());
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    let signature = signature.ok_or_else(|| refused(BadSignature::Malformed))?;
    let Some(connect) = &state.connect else {
        let detail = "this server has no app at TikTok; set TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "tiktok_not_configured", detail));
    };
    let now = SystemClock::now() / 1000;
    verify(signature, &body, connect.client_secret(), now).map_err(refused)?;
    let unreadable = "expected a JSON object with `event`";
    let notice =
        Notice::read(&body).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "webhook_unreadable", unreadable))?;
    keep(&state.ledger, &body, notice).await?;
    Ok(StatusCode::OK)
}
