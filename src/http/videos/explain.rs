//! `GET /api/videos/{id}/explain`: in one sentence, what a video waits for and until when, who is at it, or how it ended.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::owned;
use crate::event::Stage;
use crate::http::extract::Id;
use crate::http::waiting::WaitingFor;
use crate::http::{AppState, Caller, Problem, estimate};
use crate::ledger::{Status, TaskRow, Video};
use crate::task::State as TaskState;

use super::view::time;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Explanation {
    id: String,
    status: &'static str,
    /// For programs: that of `waitingFor` or `reason`; `running`, `posted` or `canceled`.
    code: String,
    /// For people, without its end.
    text: String,
    /// Null: it has ended, runs, or nobody knows.
    until: Option<String>,
    /// When its post is likely to be begun; null as in the video itself.
    estimated_post_at: Option<String>,
}

/// What it waits for, and until when.
#[utoipa::path(get, path = "/api/videos/{id}/explain", tag = "videos", params(("id" = String, Path)),
    responses((status = 200, body = Explanation), (status = 404, body = Problem)))]
pub(in crate::http) async fn explain(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<Explanation>, Problem> {
    let video = owned(&state, &caller, id).await?;
    let estimate = estimate::of(&state, &video).await?.map(time);
    let said = |code: &str, text: String, until| Explanation {
        id: id.to_string(),
        status: video.status.as_str(),
        code: code.to_owned(),
        text,
        until,
        estimated_post_at: estimate.clone(),
    };
    if let Some((code, text)) = ended(&video, caller.reads_content()) {
        return Ok(Json(said(&code, text, None)));
    }
    let open = state.ledger.open_tasks(&[id]).await?;
    if let Some(row) = open.iter().find(|row| row.task.state == TaskState::Running) {
        return Ok(Json(said("running", at_work(&video, row), None)));
    }
    let waiting = WaitingFor::of(&state, std::slice::from_ref(&video)).await?.into_values().next();
    Ok(Json(match waiting {
        Some(waiting) => said(&waiting.code, format!("it waits: {}", waiting.text), waiting.until),
        // Between two readings it has moved on.
        None => said("moving", "it goes from one stage to the next just now".to_owned(), None),
    }))
}

fn ended(video: &Video, links: bool) -> Option<(String, String)> {
    let reason = || video.reason.as_ref().map(|reason| reason.text.as_str()).unwrap_or("nobody wrote down why");
    let code = |otherwise: &str| video.reason.as_ref().map_or(otherwise.to_owned(), |reason| reason.code.clone());
    match video.status {
        Status::Posted => {
            let text = match &video.post_url {
                Some(url) if links => format!("it is posted: {url}"),
                _ => "it is posted".to_owned(),
            };
            Some(("posted".to_owned(), text))
        }
        Status::Failed => Some((code("failed"), format!("it failed: {}", reason()))),
        Status::Canceled => Some(("canceled".to_owned(), "it was canceled".to_owned())),
        Status::NeedsReview => {
            let text = format!("a person has to look at TikTok and resolve it: {}", reason());
            Some((code("needs_review"), text))
        }
        Status::EditingQueued | Status::Editing | Status::Edited | Status::Publishing | Status::Processing => None,
    }
}

fn at_work(video: &Video, row: &TaskRow) -> String {
    let task = &row.task;
    let doing = match task.stage {
        Stage::Edit => "being edited",
        Stage::Publish => "being handed to TikTok",
        Stage::Confirm => "being asked about at TikTok",
    };
    let worker = task.holder.as_deref().unwrap_or("a worker");
    let since = task.started_at.map(|began| format!(" since {}", time(began))).unwrap_or_default();
    let died = match task.takeovers {
        0 => String::new(),
        1 => ", after a worker that died over it".to_owned(),
        number => format!(", after {number} workers that died over it"),
    };
    format!("it is {doing} by {worker}{since}, attempt {}{died}, at {} %", task.attempts + 1, video.progress)
}
