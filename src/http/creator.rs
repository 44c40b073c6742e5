//! `/api/accounts/{id}/creator` and `/avatar`: what TikTok wants shown before somebody posts.
//!
//! The picture comes through here, so that the pages load nothing from elsewhere.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::accounts::owned;
use super::extract::Name;
use super::videos::time;
use super::{Access, AppState, Caller, Problem};
use crate::creator::{Allowed, Creators, Known, NoPicture};
use crate::tiktok::refusal::{Class, Refusal};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/accounts/{id}/creator", get(show)).route("/api/accounts/{id}/avatar", get(avatar))
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreatorView {
    nickname: String,
    username: String,
    /// This server's own. Null: the creator has no picture.
    avatar_url: Option<String>,
    allowed: Allowed,
    /// When TikTok said so.
    known_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatorAnswer {
    creator: CreatorView,
}

/// What TikTok says of the account's creator now: name, picture, and how they may post.
#[utoipa::path(get, path = "/api/accounts/{id}/creator", tag = "accounts", params(("id" = String, Path)),
    responses((status = 200, body = CreatorAnswer), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
) -> Result<Json<CreatorAnswer>, Problem> {
    caller.may(Access::Content)?;
    let account = owned(&state, &caller, &id).await?;
    let Known { info, at } = creators(&state)?.fresh(&account).await.map_err(refused)?;
    let picture = format!("/api/accounts/{}/avatar", account.id);
    let creator = CreatorView {
        avatar_url: (!info.creator_avatar_url.is_empty()).then_some(picture),
        allowed: Allowed::from(&info),
        nickname: if info.creator_nickname.is_empty() { account.display_name } else { info.creator_nickname },
        username: info.creator_username,
        known_at: time(at),
    };
    Ok(Json(CreatorAnswer { creator }))
}

/// The creator's picture.
#[utoipa::path(get, path = "/api/accounts/{id}/avatar", tag = "accounts", params(("id" = String, Path)),
    responses((status = 200), (status = 404, body = Problem)))]
pub(super) async fn avatar(State(state): State<AppState>, caller: Caller, Name(id): Name) -> Result<Response, Problem> {
    caller.may(Access::Content)?;
    let account = owned(&state, &caller, &id).await?;
    let picture = creators(&state)?.picture(&account).await.map_err(|error| match error {
        NoPicture::None => Problem::new(StatusCode::NOT_FOUND, "no_picture", error.to_string()),
        NoPicture::Refused(refusal) => refused(refusal),
    })?;
    let headers = [
        (header::CONTENT_TYPE, picture.content_type),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::CACHE_CONTROL, "private, max-age=3600"),
    ];
    Ok((headers, picture.bytes).into_response())
}

fn creators(state: &AppState) -> Result<&Creators, Problem> {
    state.creators.as_ref().ok_or_else(|| {
        let text = "this server has no app at TikTok, so it can't ask about creators; set TIKTOK_CLIENT_KEY and \
                    TIKTOK_CLIENT_SECRET";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "tiktok_not_configured", text)
    })
}

/// TikTok's own code, so that a page can say why nothing can be posted now.
fn refused(refusal: Refusal) -> Problem {
    let status = match refusal.class {
        Class::Throttled { .. } | Class::NeedsReconnect | Class::PermanentForAccount | Class::TokenExpired => {
            StatusCode::CONFLICT
        }
        Class::Transient | Class::NeedsChange | Class::PermanentForVideo | Class::Bug | Class::OutcomeUnknown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    Problem::new(status, refusal.code, refusal.text)
}
