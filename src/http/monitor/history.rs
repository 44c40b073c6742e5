//! `GET /api/monitor/history`: what the streams looked like over the last hours, also before a restart.
//!
//! One process of the fleet writes a sample each minute, of the same picture that the pages and the metrics are given. So
//! it costs a metered plan no command.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};

use super::Snapshot;
use crate::event::Stage;
use crate::http::extract::Query;
use crate::http::videos::time;
use crate::http::{Access, AppState, Caller, Problem};
use crate::ledger::{LedgerError, Sample};

const CHORE: &str = "samples";
const MINUTE: i64 = 60_000;
const LOOK: Duration = Duration::from_secs(15);
/// Points of a chart, at most.
const POINTS: i64 = 180;
/// As long as samples are kept.
const MOST_HOURS: u32 = 168;

/// Until the stop.
pub async fn keep(state: AppState, stop: CancellationToken) {
    loop {
        let sampling = async {
            if let Err(error) = sample(&state).await {
                error.tell("the streams could not be sampled for the charts");
            }
            // Processes that were started together look apart.
            tokio::time::sleep(LOOK.mul_f64(0.75 + 0.5 * rand::random::<f64>())).await;
        };
        tokio::select! {
            () = sampling => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn sample(state: &AppState) -> Result<(), LedgerError> {
    let now = state.ledger.now().await?;
    if !state.ledger.chore_is_due(CHORE, now).await? {
        return Ok(());
    }
    let minute = now - now.rem_euclid(MINUTE);
    let tx = state.ledger.begin().await?;
    let taken = tx.take_chore(CHORE, minute + MINUTE).await?;
    tx.commit().await?;
    if taken.is_none() {
        return Ok(());
    }
    let mut samples = Vec::new();
    for one in state.snapshots.get(state).await?.iter() {
        let done = state.ledger.done_between(one.stage, minute - MINUTE, minute).await?;
        samples.push(of(one, minute, done));
    }
    let tx = state.ledger.begin().await?;
    for one in &samples {
        tx.put_sample(one).await?;
    }
    tx.commit().await
}

fn of(one: &Snapshot, at: i64, done: i64) -> Sample {
    let number = |count: Option<u64>| count.and_then(|count| i64::try_from(count).ok());
    Sample {
        at,
        stage: one.stage,
        length: number(one.length),
        lag: number(one.lag),
        pending: number(one.pending),
        oldest_ms: one.oldest_pending_ms,
        waiting: one.counts.waiting,
        parked: one.counts.parked,
        dead: one.counts.dead,
        done,
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(in crate::http) struct HistoryQuery {
    /// 1 to 168; 6 without it.
    hours: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct HistoryAnswer {
    from: String,
    to: String,
    /// Between two points. Where one is missing nobody was there to look.
    step_seconds: i64,
    streams: Vec<StreamHistory>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StreamHistory {
    stream: &'static str,
    group: &'static str,
    /// Oldest first; the last is of now.
    points: Vec<PointView>,
}

/// Of each step the highest; null: nobody could know.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PointView {
    at: String,
    length: Option<i64>,
    lag: Option<i64>,
    pending: Option<i64>,
    oldest_pending_ms: Option<i64>,
    waiting: i64,
    parked: i64,
    dead: i64,
    /// Ended well, a minute.
    done_per_minute: f64,
}

/// The streams over the last hours.
#[utoipa::path(get, path = "/api/monitor/history", tag = "monitor", params(HistoryQuery),
    responses((status = 200, body = HistoryAnswer), (status = 400, body = Problem)))]
pub(in crate::http) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<HistoryAnswer>, Problem> {
    caller.may(Access::Monitor)?;
    let hours = query.hours.unwrap_or(6);
    if !(1..=MOST_HOURS).contains(&hours) {
        let text = format!("hours has to be from 1 to {MOST_HOURS}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "hours_invalid", text));
    }
    let now = state.ledger.now().await?;
    let span = i64::from(hours) * 60 * MINUTE;
    let minutes = (span / MINUTE + POINTS - 1) / POINTS;
    let step = minutes * MINUTE;
    let samples = state.ledger.samples(now - span, step).await?;
    let snapshots = state.snapshots.get(&state).await?;
    let streams = Stage::STREAMED.into_iter().map(|stage| {
        let past = samples.iter().filter(|one| one.stage == stage).map(|one| point(one, minutes));
        let current = snapshots
            .iter()
            .filter(|one| one.stage == stage)
            .map(|one| PointView { done_per_minute: one.done_per_minute, ..point(&of(one, now, 0), 1) });
        StreamHistory {
            stream: stage.stream().unwrap_or_default(),
            group: stage.as_str(),
            points: past.chain(current).collect(),
        }
    });
    Ok(Json(HistoryAnswer {
        from: time(now - span),
        to: time(now),
        step_seconds: step / 1000,
        streams: streams.collect(),
    }))
}

#[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
fn point(sample: &Sample, minutes: i64) -> PointView {
    PointView {
        at: time(sample.at),
        length: sample.length,
        lag: sample.lag,
        pending: sample.pending,
        oldest_pending_ms: sample.oldest_ms,
        waiting: sample.waiting,
        parked: sample.parked,
        dead: sample.dead,
        done_per_minute: sample.done as f64 / minutes as f64,
    }
}
