//! `POST /api/streams/replay`: ended work of a stream gets another turn.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::stages;
use crate::control::Again;
use crate::control::plan::MOST;
use crate::control::replay::{Replayed, Wanted, replay};
use crate::event::Stage;
use crate::http::extract::Body;
use crate::http::plan::{PlanView, act, at_most};
use crate::http::{Access, AppState, Caller, Problem};
use crate::ledger::{EndedFilter, Status};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct ReplayBody {
    /// video.uploaded or video.edited.
    stream: String,
    /// Videos, tasks or entries, whatever became of them; without any: what the rest of this names.
    #[serde(default)]
    ids: Vec<String>,
    /// What became of the videos; FAILED without it.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    status: Vec<String>,
    /// RFC 3339: put on the stream then or later.
    #[schema(value_type = Option<String>)]
    from: Option<DateTime<Utc>>,
    /// RFC 3339: put on the stream before.
    #[schema(value_type = Option<String>)]
    to: Option<DateTime<Utc>>,
    /// Tell the plan, and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// The plan that is agreed to.
    plan: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct ReplayAnswer {
    #[serde(flatten)]
    common: PlanView,
    replayed: Vec<ReplayedView>,
}

/// A video, as it was before.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct ReplayedView {
    video_id: String,
    task_id: String,
    #[schema(value_type = String)]
    stage: Stage,
    account_id: String,
    title: String,
    status: &'static str,
}

impl ReplayedView {
    pub(in crate::http) fn of(replayed: Replayed) -> Self {
        let Replayed { video, task } = replayed;
        Self {
            video_id: video.id.to_string(),
            task_id: task.task.id.to_string(),
            stage: task.task.stage,
            account_id: video.account,
            title: video.title,
            status: video.status.as_str(),
        }
    }
}

/// Gives ended work of a stream another turn. What may have been posted is refused, whatever is asked.
#[utoipa::path(post, path = "/api/streams/replay", tag = "monitor", request_body = ReplayBody,
    responses((status = 200, body = ReplayAnswer), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(in crate::http) async fn replay_stream(
    State(state): State<AppState>,
    caller: Caller,
    Body(body): Body<ReplayBody>,
) -> Result<Json<ReplayAnswer>, Problem> {
    caller.may(Access::Operate)?;
    at_most(&body.ids)?;
    let [stage] = stages(Some(&body.stream))?[..] else { return Err(Problem::no_video()) };
    let mut wanted =
        Wanted { videos: Vec::new(), again: Again::Of(stage), event: "replayed", by: caller.key.user, more: false };
    if body.ids.is_empty() {
        let statuses = body.status.iter().map(|status| status.parse()).collect::<Result<Vec<Status>, String>>();
        let statuses = statuses.map_err(|text| Problem::new(StatusCode::BAD_REQUEST, "status_invalid", text))?;
        let filter = EndedFilter {
            stage,
            statuses: if statuses.is_empty() { vec![Status::Failed] } else { statuses },
            from: body.from.map(|time| time.timestamp_millis()),
            to: body.to.map(|time| time.timestamp_millis()),
            limit: MOST + 1,
        };
        let mut videos = state.ledger.ended(&filter).await?;
        wanted.more = videos.len() > MOST;
        videos.truncate(MOST);
        wanted.videos = videos.into_iter().map(|video| (video.to_string(), Some(video))).collect();
    } else if body.from.is_some() || body.to.is_some() || !body.status.is_empty() {
        let text = "ids name what is replayed; from, to and status go without them";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "ids_and_filter", text));
    } else {
        for id in body.ids {
            let video = state.ledger.video_named(&id).await?;
            wanted.videos.push((id, video));
        }
    }
    let act = act(body.dry_run, body.plan);
    let plan = replay(&state.ledger, &state.dispatch, &state.stages, wanted, &act).await?;
    let (common, replayed) = PlanView::of(plan, state.ledger.now().await?);
    Ok(Json(ReplayAnswer { common, replayed: replayed.into_iter().map(ReplayedView::of).collect() }))
}
