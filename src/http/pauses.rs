//! Pausing and resuming: a stage by operators, an account by whoever has it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts;
use super::extract::{Body, Name, moment};
use super::videos::time;
use super::{Access, AppState, Caller, Problem};
use crate::control::{self, schedule};
use crate::event::Stage;
use crate::ledger::Pause;
use crate::outcome::Reason;

/// Characters of a reason.
const LONGEST_REASON: usize = 500;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/stages/{stage}/pause", post(pause_stage))
        .route("/api/stages/{stage}/resume", post(resume_stage))
        .route("/api/accounts/{id}/pause", post(pause_account))
        .route("/api/accounts/{id}/resume", post(resume_account))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct PauseBody {
    /// RFC 3339, at most 36,500 days ahead; without it until it is resumed.
    until: Option<String>,
    /// Shown wherever somebody asks why nothing moves.
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PauseView {
    /// Null: until somebody resumes it.
    until: Option<String>,
    reason: String,
}

impl PauseView {
    pub(super) fn of(pause: &Pause) -> Self {
        Self { until: pause.until.map(time), reason: pause.reason.clone() }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PauseAnswer {
    paused: PauseView,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ResumeAnswer {
    /// False: it was not paused.
    resumed: bool,
}

/// Pauses a stage (edit or publish): what runs finishes, nothing new begins. For operators.
#[utoipa::path(post, path = "/api/stages/{stage}/pause", tag = "pauses", params(("stage" = String, Path)),
    request_body = PauseBody, responses((status = 200, body = PauseAnswer), (status = 404, body = Problem)))]
pub(super) async fn pause_stage(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<PauseBody>,
) -> Result<Json<PauseAnswer>, Problem> {
    caller.may(Access::Operate)?;
    put(&state, &caller, Pause::name_of_stage(stage(&name)?), body).await
}

/// Lets a paused stage go on. For operators.
#[utoipa::path(post, path = "/api/stages/{stage}/resume", tag = "pauses", params(("stage" = String, Path)),
    responses((status = 200, body = ResumeAnswer), (status = 404, body = Problem)))]
pub(super) async fn resume_stage(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<ResumeAnswer>, Problem> {
    caller.may(Access::Operate)?;
    end(&state, &caller, &Pause::name_of_stage(stage(&name)?)).await
}

/// Pauses an account: none of its videos is begun to be edited or posted.
#[utoipa::path(post, path = "/api/accounts/{id}/pause", tag = "pauses", params(("id" = String, Path)),
    request_body = PauseBody,
    responses((status = 200, body = PauseAnswer), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn pause_account(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
    body: Result<Body<PauseBody>, Problem>,
) -> Result<Json<PauseAnswer>, Problem> {
    let name = of_account(&state, &caller, &id).await?;
    put(&state, &caller, name, body?.0).await
}

/// Lets a paused account go on. What an operator has paused an operator resumes.
#[utoipa::path(post, path = "/api/accounts/{id}/resume", tag = "pauses", params(("id" = String, Path)),
    responses((status = 200, body = ResumeAnswer), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn resume_account(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
) -> Result<Json<ResumeAnswer>, Problem> {
    let name = of_account(&state, &caller, &id).await?;
    end(&state, &caller, &name).await
}

fn stage(name: &str) -> Result<Stage, Problem> {
    let known = Stage::STREAMED.into_iter().find(|stage| stage.as_str() == name || stage.stream() == Some(name));
    known.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "stage_not_found", "there is no such stage; one of edit, publish")
    })
}

/// The pause's name, if this caller may change it.
async fn of_account(state: &AppState, caller: &Caller, id: &str) -> Result<String, Problem> {
    caller.may(Access::Change)?;
    accounts::owned(state, caller, id).await?;
    let name = Pause::name_of_account(id);
    let anothers =
        state.ledger.paused(&name).await?.is_some_and(|pause| pause.set_by.as_ref() != Some(&caller.key.user));
    if anothers && caller.may(Access::Operate).is_err() {
        return Err(Problem::forbidden("an operator has paused this account; ask them"));
    }
    Ok(name)
}

async fn put(state: &AppState, caller: &Caller, name: String, body: PauseBody) -> Result<Json<PauseAnswer>, Problem> {
    let wrong = |reason: Reason| Problem::reason(StatusCode::UNPROCESSABLE_ENTITY, reason);
    let until = body.until.map(|text| moment("until", &text)).transpose()?;
    if let Some(until) = until {
        schedule::near_enough("until", until).map_err(wrong)?;
    }
    if body.reason.chars().count() > LONGEST_REASON || body.reason.contains('\0') {
        let text = format!("reason can have at most {LONGEST_REASON} characters, and no NUL");
        return Err(wrong(Reason::new("reason_invalid", text)));
    }
    let pause = Pause { name, until, reason: body.reason, set_by: Some(caller.key.user.clone()) };
    control::pause(&state.ledger, &pause).await?;
    Ok(Json(PauseAnswer { paused: PauseView::of(&pause) }))
}

async fn end(state: &AppState, caller: &Caller, name: &str) -> Result<Json<ResumeAnswer>, Problem> {
    let resumed = control::resume(&state.ledger, &state.dispatch, name, &caller.key.user).await?;
    Ok(Json(ResumeAnswer { resumed }))
}
