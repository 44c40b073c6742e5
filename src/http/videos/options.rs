//! `PATCH /api/videos/{id}/options`: another way to post it, which also lets a held video go on.

use axum::Json;
use axum::extract::State;

use super::owned;
use super::view::{VideoAnswer, VideoView};
use crate::control::{self, OptionsChange};
use crate::http::extract::{Body, Id};
use crate::http::{Access, AppState, Caller, Problem};

/// Changes how a video is to be posted, as long as its post has not been begun.
#[utoipa::path(patch, path = "/api/videos/{id}/options", tag = "videos", params(("id" = String, Path)),
    request_body = OptionsChange,
    responses((status = 200, body = VideoAnswer), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(in crate::http) async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    change: Result<Body<OptionsChange>, Problem>,
) -> Result<Json<VideoAnswer>, Problem> {
    caller.may(Access::Change)?;
    owned(&state, &caller, id).await?;
    control::change_options(&state.ledger, &state.dispatch, id, &change?.0).await?;
    let video = owned(&state, &caller, id).await?;
    Ok(Json(VideoAnswer { video: VideoView::now(&state, &caller, &video).await? }))
}
