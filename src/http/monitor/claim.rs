//! `POST /api/streams/claim`: an operator takes stalled entries from workers that are gone.
//!
//! What is claimed are running tasks whose lease is over. Each is freed (its counts stay), released anew in the same
//! transaction, and only then its old entry is claimed and acknowledged: were we to die in between, the entry would be
//! found to stand for no run, and be forgotten.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::pending::{PendingView, idle, view};
use super::{duration, stages};
use crate::event::Stage;
use crate::http::extract::Body;
use crate::http::{Access, AppState, Caller, Problem};
use crate::ledger::TaskRow;

const MOST: i64 = 1000;
/// As interfaces have it for the command line.
const MIN_IDLE_MS: i64 = 5 * 60 * 1000;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::http) struct ClaimBody {
    /// video.uploaded or video.edited; both without it.
    stream: Option<String>,
    /// A duration; 5m without it, and 0 where ids are named.
    min_idle: Option<String>,
    /// Entries, tasks or videos; all without it.
    ids: Vec<String>,
    /// Tell what would be done.
    dry_run: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct ClaimAnswer {
    dry_run: bool,
    claimed: Vec<PendingView>,
}

/// Takes stalled work from workers that are gone, and releases it anew.
#[utoipa::path(post, path = "/api/streams/claim", tag = "monitor", request_body = ClaimBody,
    responses((status = 200, body = ClaimAnswer), (status = 403, body = Problem)))]
pub(in crate::http) async fn claim(
    State(state): State<AppState>,
    caller: Caller,
    Body(body): Body<ClaimBody>,
) -> Result<Json<ClaimAnswer>, Problem> {
    caller.may(Access::Operate)?;
    let otherwise = if body.ids.is_empty() { MIN_IDLE_MS } else { 0 };
    let min_idle = duration("minIdle", body.min_idle.as_deref(), otherwise)?;
    let mut claimed = Vec::new();
    for stage in stages(body.stream.as_deref())? {
        let config = state.stages.of(stage);
        let now = state.ledger.now().await?;
        let stalled = state.ledger.stalled(stage, now, MOST).await?;
        let stalled = stalled.into_iter().filter(|row| idle(row, config, now) >= min_idle && named(row, &body.ids));
        let stalled: Vec<TaskRow> = stalled.collect();
        let freed = if body.dry_run { stalled } else { free(&state, stage, stalled).await? };
        claimed.extend(freed.into_iter().map(|row| view(row, config, now)));
    }
    Ok(Json(ClaimAnswer { dry_run: body.dry_run, claimed }))
}

fn named(row: &TaskRow, ids: &[String]) -> bool {
    let task = &row.task;
    let is =
        |id: &String| task.entry.as_ref() == Some(id) || *id == task.id.to_string() || *id == task.video.to_string();
    ids.is_empty() || ids.iter().any(is)
}

/// Those that were still stalled.
async fn free(state: &AppState, stage: Stage, stalled: Vec<TaskRow>) -> Result<Vec<TaskRow>, Problem> {
    let tx = state.ledger.begin().await?;
    let mut freed = Vec::new();
    for old in stalled {
        // As it stands now: a worker may have taken it over meanwhile.
        let Some(row) = tx.task(old.task.id).await? else { continue };
        let Ok(waiting) = row.task.free(tx.now()) else { continue };
        tx.put_task(&row.task, &waiting).await?;
        let detail = json!({ "consumer": row.task.holder, "entry": row.task.entry });
        tx.note(row.task.video, Some(stage), "claimed", detail).await?;
        freed.push(row);
    }
    let released = state.dispatch.release(&tx, stage).await?;
    tx.commit().await?;
    acknowledge(state, stage, &freed).await;
    state.dispatch.append(&released).await;
    Ok(freed)
}

async fn acknowledge(state: &AppState, stage: Stage, freed: &[TaskRow]) {
    let Some(streams) = state.dispatch.streams() else { return };
    let consumer = "operator";
    let mut taken = Vec::new();
    for entry in freed.iter().filter_map(|row| row.task.entry.as_deref()) {
        match streams.claim(stage, consumer, entry).await {
            // Gone or not: what is pending under this id stands for no run any more.
            Ok(_) => taken.push(entry.to_owned()),
            Err(error) => tracing::warn!(entry.id = entry, %error, "a stalled entry could not be claimed"),
        }
    }
    if taken.is_empty() {
        return;
    }
    if let Err(error) = streams.acknowledge(stage, taken).await {
        tracing::warn!(%error, "claimed entries could not be acknowledged; the stalled check will");
    }
    if let Err(error) = streams.remove_consumer(stage, consumer).await {
        tracing::warn!(%error, "the consumer that claimed could not be removed");
    }
}
