//! Signing in to the pages: with a key in a body, or with a one-time link. A key never stands in a URL.
//!
//! The link's GET shows a page with a button and the button's POST uses the link up: whatever looks at links in passing
//! (a chat's preview, a browser's prefetch) doesn't burn it.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{COOKIE, same_origin, session_cookie};
use super::extract::{Body, Name};
use super::{AppState, Caller, Problem, pages};
use crate::access;
use crate::ledger::ApiKey;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/session", post(begin).get(show).delete(end))
        .route("/sign-in/{token}", get(pages::link).post(redeem))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    /// An API key.
    #[schema(value_type = String)]
    key: SecretString,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionView {
    user: String,
    /// creator, operator or viewer.
    #[schema(value_type = String)]
    role: crate::ledger::Role,
}

/// Who one is signed in as.
#[utoipa::path(get, path = "/api/session", tag = "session", responses((status = 200, body = SessionView)))]
pub(super) async fn show(caller: Caller) -> axum::Json<SessionView> {
    axum::Json(SessionView { user: caller.key.user, role: caller.key.role })
}

/// Signs in with a key, to a cookie.
#[utoipa::path(post, path = "/api/session", tag = "session", request_body = SignIn,
    responses((status = 204), (status = 401, body = Problem)))]
pub(super) async fn begin(
    State(state): State<AppState>,
    headers: HeaderMap,
    Body(sign_in): Body<SignIn>,
) -> Result<Response, Problem> {
    same_origin(&headers)?;
    let found = state.ledger.key_by_hash(&access::hash(sign_in.key.expose_secret().trim())).await?;
    let key = found.ok_or_else(|| {
        Problem::new(StatusCode::UNAUTHORIZED, "unknown_key", "there is no such key, or it was revoked")
    })?;
    let tx = state.ledger.begin().await?;
    let token = access::create_session(&tx, &key.id).await?;
    tx.commit().await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie(&headers, &token))]).into_response())
}

/// Signs out.
#[utoipa::path(delete, path = "/api/session", tag = "session", responses((status = 204)))]
pub(super) async fn end(State(state): State<AppState>, _: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(token) = session_cookie(&headers) {
        let tx = state.ledger.begin().await?;
        tx.end_session(&access::hash(token)).await?;
        tx.commit().await?;
    }
    let gone = HeaderValue::from_static("subiteya_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response())
}

async fn redeem(State(state): State<AppState>, Name(token): Name, headers: HeaderMap) -> Result<Response, Problem> {
    same_origin(&headers)?;
    let tx = state.ledger.begin().await?;
    let taken: Option<ApiKey> = tx.take_link(&access::hash(&token)).await?;
    let Some(key) = taken else { return Ok(pages::link_used_up()) };
    let session = access::create_session(&tx, &key.id).await?;
    tx.commit().await?;
    Ok(([(header::SET_COOKIE, cookie(&headers, &session))], Redirect::to("/")).into_response())
}

/// `Secure` where the page came over TLS: on plain loopback some browsers would drop such a cookie.
fn cookie(headers: &HeaderMap, token: &str) -> HeaderValue {
    let tls = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let secure = if tls { "; Secure" } else { "" };
    let life = access::COOKIE_LIFE_MS / 1000;
    let text = format!("{COOKIE}={token}; Path=/; Max-Age={life}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}
