//! `POST /api/streams/claim`: an operator takes stalled entries from workers that are gone.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::pending::{PendingView, running};
use super::{duration, stages};
use crate::control::claim::{self, Stalled};
use crate::http::extract::Body;
use crate::http::plan::{PlanView, act, at_most};
use crate::http::{Access, AppState, Caller, Problem};

/// As interfaces have it for the command line.
const MIN_IDLE_MS: i64 = 5 * 60 * 1000;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::http) struct ClaimBody {
    /// video.uploaded or video.edited; both without it.
    stream: Option<String>,
    /// A duration; 5m without it, and 0 where ids are named.
    min_idle: Option<String>,
    /// Entries, tasks or videos; all that are stalled without it.
    ids: Vec<String>,
    /// Tell the plan, and change nothing.
    dry_run: bool,
    /// The plan that is agreed to.
    plan: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct ClaimAnswer {
    #[serde(flatten)]
    common: PlanView,
    /// As they were before.
    claimed: Vec<PendingView>,
}

/// Takes stalled work from workers that are gone, and releases it anew.
#[utoipa::path(post, path = "/api/streams/claim", tag = "monitor", request_body = ClaimBody,
    responses((status = 200, body = ClaimAnswer), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(in crate::http) async fn claim(
    State(state): State<AppState>,
    caller: Caller,
    Body(body): Body<ClaimBody>,
) -> Result<Json<ClaimAnswer>, Problem> {
    caller.may(Access::Operate)?;
    at_most(&body.ids)?;
    let otherwise = if body.ids.is_empty() { MIN_IDLE_MS } else { 0 };
    let min_idle = duration("minIdle", body.min_idle.as_deref(), otherwise)?;
    let wanted = Stalled {
        stages: stages(body.stream.as_deref())?,
        min_idle: Duration::from_millis(u64::try_from(min_idle).unwrap_or(0)),
        ids: body.ids,
        by: caller.key.user,
    };
    let act = act(body.dry_run, body.plan);
    let plan = claim::claim(&state.ledger, &state.dispatch, &state.stages, &wanted, &act).await?;
    let now = state.ledger.now().await?;
    let (common, claimed) = PlanView::of(plan, now);
    Ok(Json(ClaimAnswer { common, claimed: claimed.into_iter().map(|row| running(row, &state.stages, now)).collect() }))
}
