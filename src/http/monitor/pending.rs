//! `GET /api/monitor/pending`: what is being worked on, as the ledger has it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{duration, stages};
use crate::config::StagesConfig;
use crate::control::claim::idle;
use crate::http::extract::Query;
use crate::http::{Access, AppState, Caller, Problem};
use crate::ledger::TaskRow;

const MOST: i64 = 1000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(in crate::http) struct PendingQuery {
    /// video.uploaded or video.edited; both without it.
    stream: Option<String>,
    /// A duration such as 5m; all without it.
    min_idle: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct PendingAnswer {
    pending: Vec<PendingView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PendingView {
    stream: &'static str,
    /// Null: it was taken from the ledger, and its entry is gone.
    entry: Option<String>,
    task_id: String,
    video_id: String,
    consumer: Option<String>,
    /// Since its worker last renewed its lease.
    idle_ms: i64,
    /// Since it was begun.
    age_ms: Option<i64>,
    /// How often it was begun: faults, dead workers and this run.
    deliveries: u32,
    attempts: u32,
    takeovers: u32,
    /// Below 0: its worker is gone.
    lease_left_ms: i64,
}

/// What is being worked on.
#[utoipa::path(get, path = "/api/monitor/pending", tag = "monitor", params(PendingQuery),
    responses((status = 200, body = PendingAnswer)))]
pub(in crate::http) async fn pending(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<PendingQuery>,
) -> Result<Json<PendingAnswer>, Problem> {
    caller.may(Access::Monitor)?;
    let min_idle = duration("minIdle", query.min_idle.as_deref(), 0)?;
    let now = state.ledger.now().await?;
    let mut pending = Vec::new();
    for stage in stages(query.stream.as_deref())? {
        for row in state.ledger.running(stage, MOST).await? {
            if idle(&row, &state.stages, now) >= min_idle {
                pending.push(view(row, &state.stages, now));
            }
        }
    }
    Ok(Json(PendingAnswer { pending }))
}

pub(super) fn view(row: TaskRow, config: &StagesConfig, now: i64) -> PendingView {
    let idle_ms = idle(&row, config, now);
    let task = row.task;
    PendingView {
        stream: task.stage.stream().unwrap_or_default(),
        entry: task.entry,
        task_id: task.id.to_string(),
        video_id: task.video.to_string(),
        consumer: task.holder,
        idle_ms,
        age_ms: task.started_at.map(|began| (now - began).max(0)),
        deliveries: task.attempts + task.takeovers + 1,
        attempts: task.attempts,
        takeovers: task.takeovers,
        lease_left_ms: task.lease_until - now,
    }
}
