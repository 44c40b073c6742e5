//! `GET /api/videos/{id}`.

use axum::Json;
use axum::extract::State;

use super::owned;
use super::view::{VideoAnswer, VideoView};
use crate::http::extract::Id;
use crate::http::{AppState, Caller, Problem};

/// One video, with what it waits for and its timeline.
#[utoipa::path(get, path = "/api/videos/{id}", tag = "videos", params(("id" = String, Path)),
    responses((status = 200, body = VideoAnswer), (status = 404, body = Problem)))]
pub(in crate::http) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<VideoAnswer>, Problem> {
    let video = owned(&state, &caller, id).await?;
    let view = VideoView::now(&state, &caller, &video).await?;
    Ok(Json(VideoAnswer { video: view.with_timeline(state.ledger.history(id).await?, &caller) }))
}
