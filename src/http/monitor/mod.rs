//! `/api/monitor` and what operators do from it: Redis' bill, the queues, the streams, what is worked on, claims.

pub(super) mod claim;
mod demand;
pub(super) mod history;
pub(super) mod pending;
pub(super) mod queues;
pub(super) mod replay;
mod snapshot;
pub(super) mod streams;
pub(super) mod usage;

pub(super) use replay::ReplayedView;
pub(super) use snapshot::{Snapshot, Snapshots, StreamDetail};
pub(super) use usage::Usage;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};

use super::{AppState, Problem};
use crate::event::Stage;

/// A worker that was silent for longer is not counted.
pub(super) const ALIVE_MS: i64 = 60_000;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/monitor/redis-usage", get(usage::redis_usage))
        .route("/api/monitor/queue-health", get(queues::queue_health))
        .route("/api/monitor/streams", get(streams::streams))
        .route("/api/monitor/history", get(history::show))
        .route("/api/monitor/pending", get(pending::pending))
        .route("/api/streams/claim", post(claim::claim))
        .route("/api/streams/replay", post(replay::replay_stream))
}

/// The stages whose stream or group this is; all of them without a name.
pub(super) fn stages(stream: Option<&str>) -> Result<Vec<Stage>, Problem> {
    let all = Stage::STREAMED.into_iter();
    let chosen: Vec<Stage> = match stream {
        None => all.collect(),
        Some(name) => all.filter(|stage| stage.stream() == Some(name) || stage.as_str() == name).collect(),
    };
    if chosen.is_empty() {
        let text = "stream has to be video.uploaded or video.edited";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "unknown_stream", text));
    }
    Ok(chosen)
}

/// `5m` in milliseconds.
fn duration(name: &str, text: Option<&str>, otherwise: i64) -> Result<i64, Problem> {
    let Some(text) = text else { return Ok(otherwise) };
    let written: crate::config::Written = text.parse().map_err(|_| {
        let text = format!("{name} has to be a duration like 30s or 5m");
        Problem::new(StatusCode::BAD_REQUEST, "duration_invalid", text)
    })?;
    Ok(i64::try_from(written.0.as_millis()).unwrap_or(i64::MAX / 4))
}
