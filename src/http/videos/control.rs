//! What is done to one video: cancel, retry, resolve.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::owned;
use super::view::{VideoAnswer, VideoView};
use crate::control;
use crate::http::extract::Id;
use crate::http::{Access, AppState, Caller, Problem};

/// Cancels a video; 409 once its post may have been begun.
#[utoipa::path(post, path = "/api/videos/{id}/cancel", tag = "videos", params(("id" = String, Path)),
    responses((status = 200, body = VideoAnswer), (status = 409, body = Problem)))]
pub(in crate::http) async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<VideoAnswer>, Problem> {
    caller.may(Access::Change)?;
    owned(&state, &caller, id).await?;
    control::cancel(&state.ledger, &state.dispatch, id).await?;
    let video = owned(&state, &caller, id).await?;
    Ok(Json(VideoAnswer { video: VideoView::now(&state, &caller, &video).await? }))
}

/// Tries a failed video again.
#[utoipa::path(post, path = "/api/videos/{id}/retry", tag = "videos", params(("id" = String, Path)),
    responses((status = 200, body = VideoAnswer), (status = 409, body = Problem)))]
pub(in crate::http) async fn retry(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<VideoAnswer>, Problem> {
    caller.may(Access::Change)?;
    owned(&state, &caller, id).await?;
    Err(not_yet("retried"))
}

/// Says what became of a video that needs review. For operators.
#[utoipa::path(post, path = "/api/videos/{id}/resolve", tag = "videos", params(("id" = String, Path)),
    responses((status = 200, body = VideoAnswer), (status = 409, body = Problem)))]
pub(in crate::http) async fn resolve(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<VideoAnswer>, Problem> {
    caller.may(Access::Change)?;
    owned(&state, &caller, id).await?;
    caller.may(Access::Operate)?;
    Err(not_yet("resolved"))
}

fn not_yet(what: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "not_possible_yet", format!("videos can't be {what} by this version"))
}
