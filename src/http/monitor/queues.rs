//! `GET /api/monitor/queue-health`: whether work is moving. From the ledger and the connection's state, no command.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::ALIVE_MS;
use super::usage::Usage;
use crate::event::Stage;
use crate::http::{Access, AppState, Caller, Problem};
use crate::ledger::Pause;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct QueueHealth {
    /// It can be used: connected, takes what is appended, and its commands are not used up.
    redis: bool,
    /// Why not, where it can't. Uploads are accepted all the same and wait.
    redis_trouble: Option<String>,
    /// Redis is connected and takes commands, and no stage is paused.
    queues_active: bool,
    usage: Share,
    /// Processes that work, and what they can carry.
    workers: Vec<WorkerView>,
    stages: Vec<StageView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Share {
    percentage: f64,
    /// As in `/api/monitor/redis-usage`; OVER: work waits in the ledger until the plan's month begins.
    status: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct WorkerView {
    name: String,
    stage: String,
    slots: i64,
    busy: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct StageView {
    #[schema(value_type = String)]
    stage: Stage,
    paused: bool,
    waiting: i64,
    parked: i64,
    queued: i64,
    running: i64,
    dead: i64,
}

/// Whether the queues are moving.
#[utoipa::path(get, path = "/api/monitor/queue-health", tag = "monitor", responses((status = 200, body = QueueHealth)))]
pub(in crate::http) async fn queue_health(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<QueueHealth>, Problem> {
    caller.may(Access::Monitor)?;
    let now = state.ledger.now().await?;
    let redis_trouble = match state.dispatch.streams() {
        None => Some("Redis is disabled (ENABLE_REDIS=false)".to_owned()),
        Some(streams) => streams.trouble(),
    };
    let redis = redis_trouble.is_none();
    let mut stages = Vec::new();
    for stage in Stage::ALL {
        let counts = state.ledger.stage_counts(stage, now).await?;
        let paused = state.ledger.paused(&Pause::name_of_stage(stage)).await?.is_some();
        stages.push(StageView {
            stage,
            paused,
            waiting: counts.waiting,
            parked: counts.parked,
            queued: counts.queued,
            running: counts.running,
            dead: counts.dead,
        });
    }
    let workers = state.ledger.workers(now - ALIVE_MS).await?;
    let worker = |worker: crate::ledger::Worker| WorkerView {
        name: worker.name,
        stage: worker.stage,
        slots: worker.slots,
        busy: worker.busy,
    };
    let usage = Usage::now(&state).await?;
    Ok(Json(QueueHealth {
        redis,
        redis_trouble,
        queues_active: redis && stages.iter().all(|stage| !stage.paused),
        usage: Share { percentage: usage.percentage, status: usage.status },
        workers: workers.into_iter().map(worker).collect(),
        stages,
    }))
}
