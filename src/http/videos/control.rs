//! What is done to one video: cancel, retry, resolve.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::owned;
use super::view::{VideoAnswer, VideoView};
use crate::control;
use crate::event::VideoId;
use crate::http::extract::{Body, Id};
use crate::http::{Access, AppState, Caller, Problem};
use crate::stage::publish::operator::Resolution;

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
    control::cancel(&state.ledger, id).await?;
    shown(&state, &caller, id).await
}

/// Tries a failed video again; 409 where a second post could come of it.
#[utoipa::path(post, path = "/api/videos/{id}/retry", tag = "videos", params(("id" = String, Path)),
    responses((status = 200, body = VideoAnswer), (status = 409, body = Problem)))]
pub(in crate::http) async fn retry(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<VideoAnswer>, Problem> {
    caller.may(Access::Change)?;
    owned(&state, &caller, id).await?;
    control::retry(&state.ledger, &state.dispatch, id).await?;
    shown(&state, &caller, id).await
}

/// What an operator says of a video that needs review.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(in crate::http) enum Word {
    /// It is there, as this post.
    Posted { post_id: String },
    /// It is not there: post it again.
    Again {},
    /// Let it be failed.
    GiveUp {},
}

/// Says what became of a video that needs review. For operators.
#[utoipa::path(post, path = "/api/videos/{id}/resolve", tag = "videos", params(("id" = String, Path)), request_body = Word,
    responses((status = 200, body = VideoAnswer), (status = 409, body = Problem)))]
pub(in crate::http) async fn resolve(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    word: Result<Body<Word>, Problem>,
) -> Result<Json<VideoAnswer>, Problem> {
    caller.may(Access::Change)?;
    // Whose video it is comes before what is asked of it: another's is not there, whatever is sent.
    owned(&state, &caller, id).await?;
    caller.may(Access::Operate)?;
    let Body(word) = word?;
    let resolution = match word {
        Word::Posted { post_id } => Resolution::There { post_id },
        Word::Again {} => Resolution::PostAgain,
        Word::GiveUp {} => Resolution::GiveUp,
    };
    control::resolve(&state.ledger, &state.dispatch, id, &resolution, &caller.key.user).await?;
    shown(&state, &caller, id).await
}

async fn shown(state: &AppState, caller: &Caller, id: VideoId) -> Result<Json<VideoAnswer>, Problem> {
    let video = owned(state, caller, id).await?;
    Ok(Json(VideoAnswer { video: VideoView::now(state, caller, &video).await? }))
}
