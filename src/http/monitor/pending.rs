//! `GET /api/monitor/pending`: what is being worked on. Where commands are metered it is the ledger's view, unless who asks wants
//! Redis to be asked, too.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{duration, stages};
use crate::config::StagesConfig;
use crate::control::pending::{self, Held};
use crate::http::extract::Query;
use crate::http::{Access, AppState, Caller, Problem};
use crate::ledger::TaskRow;
use crate::stream::Pending;
use crate::task;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(in crate::http) struct PendingQuery {
    /// video.uploaded or video.edited; both without it.
    stream: Option<String>,
    /// A duration such as 5m; all without it.
    min_idle: Option<String>,
    /// Whether Redis is asked for its list, with one command a stream; without it, where commands are not metered.
    redis: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct PendingAnswer {
    pending: Vec<PendingView>,
    /// redis: with Redis' list; ledger: it was not asked, or did not answer.
    source: &'static str,
    /// Redis commands that this answer took.
    commands: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PendingView {
    stream: &'static str,
    /// Null: it was taken from the ledger, and its entry is gone.
    entry: Option<String>,
    /// Null: the ledger knows of no task under this entry.
    task_id: Option<String>,
    video_id: Option<String>,
    /// running, stalled (its lease is over), setAside (for a free slot), ended (its acknowledgement waits), unknown (read and not
    /// begun, or none of ours).
    state: &'static str,
    consumer: Option<String>,
    /// Since its worker last renewed its lease; of what doesn't run since Redis delivered it.
    idle_ms: Option<i64>,
    /// Since it was begun.
    age_ms: Option<i64>,
    /// How often it was begun: faults, dead workers and this run. Of what no task knows, Redis' count.
    deliveries: u64,
    attempts: Option<u32>,
    takeovers: Option<u32>,
    /// Below 0: its worker is gone. Null: it doesn't run.
    lease_left_ms: Option<i64>,
    /// What Redis' pending list says of it; null: nothing, or Redis was not asked.
    redis: Option<EntryView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EntryView {
    consumer: String,
    /// Since it was last delivered or claimed.
    idle_ms: u64,
    deliveries: u64,
}

impl From<Pending> for EntryView {
    fn from(entry: Pending) -> Self {
        Self { consumer: entry.consumer, idle_ms: entry.idle_ms, deliveries: entry.deliveries }
    }
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
    let stages = stages(query.stream.as_deref())?;
    let asked = query.redis.unwrap_or(state.monthly_commands.is_none());
    let streams = state.dispatch.streams().filter(|streams| asked && streams.trouble().is_none());
    let in_hand = pending::pending(&state.ledger, streams, &stages).await?;
    let now = state.ledger.now().await?;
    let config = &state.stages;
    let held = in_hand.held.into_iter().filter(|held| held.idle(config, now).unwrap_or(0) >= min_idle);
    Ok(Json(PendingAnswer {
        pending: held.map(|held| view(held, config, now)).collect(),
        source: if in_hand.commands > 0 { "redis" } else { "ledger" },
        commands: in_hand.commands,
    }))
}

/// A task that runs, as the ledger has it.
pub(super) fn running(row: TaskRow, config: &StagesConfig, now: i64) -> PendingView {
    view(Held { stage: row.task.stage, row: Some(row), entry: None }, config, now)
}

fn view(held: Held, config: &StagesConfig, now: i64) -> PendingView {
    let (state, idle_ms) = (held.standing(now).as_str(), held.idle(config, now));
    let Held { stage, row, entry } = held;
    let task = row.map(|row| row.task);
    let runs = task.as_ref().filter(|one| one.state == task::State::Running);
    PendingView {
        stream: stage.stream().unwrap_or_default(),
        state,
        idle_ms,
        age_ms: runs.and_then(|task| task.started_at).map(|began| (now - began).max(0)),
        lease_left_ms: runs.map(|task| task.lease_until - now),
        consumer: match runs {
            Some(task) => task.holder.clone(),
            None => entry.as_ref().map(|entry| entry.consumer.clone()),
        },
        deliveries: match (&task, &entry) {
            (Some(task), _) => u64::from(task.attempts + task.takeovers + 1),
            (None, Some(entry)) => entry.deliveries,
            (None, None) => 0,
        },
        entry: match (&task, &entry) {
            (_, Some(entry)) => Some(entry.id.clone()),
            (Some(task), None) => task.entry.clone(),
            (None, None) => None,
        },
        task_id: task.as_ref().map(|task| task.id.to_string()),
        video_id: task.as_ref().map(|task| task.video.to_string()),
        attempts: task.as_ref().map(|task| task.attempts),
        takeovers: task.as_ref().map(|task| task.takeovers),
        redis: entry.map(EntryView::from),
    }
}
