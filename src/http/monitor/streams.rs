//! `GET /api/monitor/streams`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::pauses::PauseView;
use crate::http::videos::time;
use crate::http::{Access, AppState, Caller, Problem};
use crate::limit::Key;
use crate::outcome::Reason;

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct StreamsAnswer {
    streams: Vec<StreamView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StreamView {
    stream: &'static str,
    group: &'static str,
    /// Entries on the stream; from the ledger: those that are not done.
    length: Option<u64>,
    /// Entries not yet delivered; null: Redis can't know.
    lag: Option<u64>,
    /// redis or ledger.
    lag_source: &'static str,
    pending: Option<u64>,
    consumers: usize,
    /// Since the oldest running task was begun; null: none runs.
    oldest_pending_ms: Option<i64>,
    /// Ended well, a minute: the mean of the last five.
    done_per_minute: f64,
    /// What workers could be busy with now: what runs, and what is due and may start under the limits. To scale by.
    demand: i64,
    /// In the ledger and due: not yet on the stream, for want of room there or because a limit or a pause holds it up.
    waiting: i64,
    /// In the ledger for a time to come: a backoff, a limit, an outage, `publishAt`.
    parked: i64,
    /// On the stream, and not yet begun.
    queued: i64,
    running: i64,
    /// With those that confirming ended in, for the stream that they were published from.
    dead: i64,
    needs_review: i64,
    /// Entries that could not be read.
    dead_entries: i64,
    /// What TikTok has closed; `POST /api/accounts/open` opens it early.
    closed: Vec<ClosedView>,
    /// Null: it is not paused.
    paused: Option<PauseView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ClosedView {
    /// accounts: all of them; newAccounts: those that have not posted within the day.
    what: &'static str,
    code: String,
    text: String,
    until: String,
}

impl ClosedView {
    fn of((key, until, reason): &(Key, i64, Reason)) -> Self {
        let what = if *key == Key::Newcomers { "newAccounts" } else { "accounts" };
        Self { what, code: reason.code.clone(), text: reason.text.clone(), until: time(*until) }
    }
}

/// Each stream and its group.
#[utoipa::path(get, path = "/api/monitor/streams", tag = "monitor", responses((status = 200, body = StreamsAnswer)))]
pub(in crate::http) async fn streams(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<StreamsAnswer>, Problem> {
    caller.may(Access::Monitor)?;
    let snapshots = state.snapshots.get(&state).await?;
    let streams = snapshots.iter().map(|one| StreamView {
        stream: one.stage.stream().unwrap_or_default(),
        group: one.stage.as_str(),
        length: one.length,
        lag: one.lag,
        lag_source: one.lag_source,
        pending: one.pending,
        consumers: one.consumers.len(),
        oldest_pending_ms: one.oldest_pending_ms,
        done_per_minute: one.done_per_minute,
        demand: one.demand,
        waiting: one.counts.waiting,
        parked: one.counts.parked,
        queued: one.counts.queued,
        running: one.counts.running,
        dead: one.counts.dead,
        needs_review: one.counts.review,
        dead_entries: one.dead_entries,
        paused: one.paused.as_ref().map(PauseView::of),
        closed: one.closed.iter().map(ClosedView::of).collect(),
    });
    Ok(Json(StreamsAnswer { streams: streams.collect() }))
}
