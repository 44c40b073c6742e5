//! What is done to one video: cancel, retry, resolve, another time for its post.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::owned;
use super::view::{VideoAnswer, VideoView};
use crate::control;
use crate::http::extract::{Body, Id, moment};
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
    control::retry(&state.ledger, &state.dispatch, id).await?;
    let video = owned(&state, &caller, id).await?;
    Ok(Json(VideoAnswer { video: VideoView::now(&state, &caller, &video).await? }))
}

/// Says what became of a video that needs review. For operators.
#[utoipa::path(post, path = "/api/videos/{id}/resolve", tag = "videos", params(("id" = String, Path)),
    request_body = Answer, responses((status = 200, body = VideoAnswer), (status = 409, body = Problem)))]
pub(in crate::http) async fn resolve(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    answer: Result<Body<Answer>, Problem>,
) -> Result<Json<VideoAnswer>, Problem> {
    caller.may(Access::Change)?;
    // Whose video it is comes before what is said of it: another's is not there, whatever is sent.
    owned(&state, &caller, id).await?;
    caller.may(Access::Operate)?;
    let Body(answer) = answer?;
    control::resolve(&state.ledger, &state.dispatch, id, &answer.resolution()?, &caller.key.user).await?;
    let video = owned(&state, &caller, id).await?;
    Ok(Json(VideoAnswer { video: VideoView::now(&state, &caller, &video).await? }))
}

/// What of a video can be changed after its upload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct Change {
    /// RFC 3339, at most 36,500 days ahead. Null, or a time that is over: as soon as possible.
    #[serde(deserialize_with = "Option::deserialize")]
    publish_at: Option<String>,
}

/// Posts a video at another time; 409 once publishing has begun.
#[utoipa::path(patch, path = "/api/videos/{id}", tag = "videos", params(("id" = String, Path)), request_body = Change,
    responses((status = 200, body = VideoAnswer), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(in crate::http) async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    change: Result<Body<Change>, Problem>,
) -> Result<Json<VideoAnswer>, Problem> {
    caller.may(Access::Change)?;
    owned(&state, &caller, id).await?;
    let Body(change) = change?;
    let publish_at = change.publish_at.map(|text| moment("publishAt", &text)).transpose()?;
    if let Some(at) = publish_at {
        control::schedule::near_enough("publishAt", at)
            .map_err(|reason| Problem::reason(StatusCode::UNPROCESSABLE_ENTITY, reason))?;
    }
    control::schedule(&state.ledger, &state.dispatch, id, publish_at).await?;
    let video = owned(&state, &caller, id).await?;
    Ok(Json(VideoAnswer { video: VideoView::now(&state, &caller, &video).await? }))
}

/// What an operator found on TikTok.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct Answer {
    /// `posted` (with `postId`), `again` (it is not there: post it again) or `giveUp`.
    action: Action,
    post_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum Action {
    Posted,
    Again,
    GiveUp,
}

impl Answer {
    fn resolution(self) -> Result<Resolution, Problem> {
        match (self.action, self.post_id) {
            (Action::Posted, Some(post_id)) => Ok(Resolution::There { post_id }),
            (Action::Again, None) => Ok(Resolution::PostAgain),
            (Action::GiveUp, None) => Ok(Resolution::GiveUp),
            (Action::Posted, None) => {
                let text = "action \"posted\" needs the post's id: { \"action\": \"posted\", \"postId\": \"7…\" }";
                Err(Problem::new(StatusCode::BAD_REQUEST, "post_id_missing", text))
            }
            (Action::Again | Action::GiveUp, Some(_)) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "post_id_unexpected",
                "postId goes with action \"posted\" only",
            )),
        }
    }
}
