//! The streams as pages and metrics see them: one picture, taken at most every two seconds.
//!
//! Where commands are metered it is made from the ledger alone; else Redis is asked, once for all who look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::{ALIVE_MS, demand};
use crate::control::OF_THE_APP;
use crate::event::Stage;
use crate::http::AppState;
use crate::ledger::{LedgerError, Pause, StageCounts};
use crate::limit;
use crate::outcome::Reason;
use crate::stream::StreamInfo;

const FRESH: Duration = Duration::from_secs(2);
/// What throughput is the mean of.
const RECENT_MINUTES: i64 = 5;

#[derive(Default)]
pub(in crate::http) struct Snapshots {
    last: Mutex<Option<(Instant, Arc<Vec<Snapshot>>)>>,
}

/// One stream and its group.
#[derive(Debug, Clone)]
pub(in crate::http) struct Snapshot {
    pub(in crate::http) stage: Stage,
    pub(in crate::http) counts: StageCounts,
    pub(in crate::http) demand: i64,
    pub(in crate::http) paused: Option<Pause>,
    /// Ours: entries that can't be read.
    pub(in crate::http) dead_entries: i64,
    pub(in crate::http) length: Option<u64>,
    pub(in crate::http) entries_added: Option<u64>,
    /// None: nobody can know. Never 0 for that.
    pub(in crate::http) lag: Option<u64>,
    /// `redis` or `ledger`.
    pub(in crate::http) lag_source: &'static str,
    pub(in crate::http) pending: Option<u64>,
    pub(in crate::http) consumers: Vec<Consumer>,
    pub(in crate::http) oldest_pending_ms: Option<i64>,
    /// Ended well in the last five minutes, a minute.
    pub(in crate::http) done_per_minute: f64,
    /// What TikTok has closed for all accounts, or for all newcomers: until when, and why.
    pub(in crate::http) closed: Vec<(limit::Key, i64, Reason)>,
    /// None where Redis was not asked.
    pub(in crate::http) detail: Option<StreamDetail>,
}

/// What only Redis knows of a stream; ids as it writes them.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct StreamDetail {
    pub(in crate::http) groups: Option<u64>,
    pub(in crate::http) radix_tree_keys: Option<u64>,
    pub(in crate::http) radix_tree_nodes: Option<u64>,
    pub(in crate::http) first_entry: Option<String>,
    pub(in crate::http) last_entry: Option<String>,
    pub(in crate::http) last_generated: Option<String>,
    pub(in crate::http) max_deleted: Option<String>,
    pub(in crate::http) entries_read: Option<u64>,
    pub(in crate::http) last_delivered: Option<String>,
}

impl StreamDetail {
    fn of(info: &StreamInfo) -> Self {
        let group = info.group.as_ref();
        let groups = info.other_groups.len() + usize::from(group.is_some());
        Self {
            groups: info.exists.then_some(groups as u64),
            radix_tree_keys: info.radix_tree_keys,
            radix_tree_nodes: info.radix_tree_nodes,
            first_entry: info.first.clone(),
            last_entry: info.last.as_ref().map(|(id, _)| id.clone()),
            last_generated: info.last_generated.clone(),
            max_deleted: info.max_deleted.clone(),
            entries_read: group.and_then(|group| group.entries_read),
            last_delivered: group.map(|group| group.last_delivered.clone()),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(in crate::http) struct Consumer {
    pub(in crate::http) name: String,
    pub(in crate::http) pending: u64,
    pub(in crate::http) idle_ms: Option<u64>,
}

impl Snapshots {
    /// Everybody who comes while one is being taken waits for that one.
    pub(in crate::http) async fn get(&self, state: &AppState) -> Result<Arc<Vec<Snapshot>>, LedgerError> {
        let mut last = self.last.lock().await;
        if let Some((taken, snapshots)) = last.as_ref()
            && taken.elapsed() < FRESH
        {
            return Ok(snapshots.clone());
        }
        let mut snapshots = Vec::new();
        for stage in Stage::STREAMED {
            snapshots.push(take(state, stage).await?);
        }
        let snapshots = Arc::new(snapshots);
        *last = Some((Instant::now(), snapshots.clone()));
        Ok(snapshots)
    }
}

async fn take(state: &AppState, stage: Stage) -> Result<Snapshot, LedgerError> {
    let mut snapshot = of_ledger(state, stage).await?;
    let metered = state.monthly_commands.is_some();
    let Some(streams) = state.dispatch.streams().filter(|streams| !metered && streams.connected()) else {
        return Ok(snapshot);
    };
    match streams.stream_info(stage).await {
        Ok(info) => {
            snapshot.detail = Some(StreamDetail::of(&info));
            snapshot.length = Some(info.length);
            snapshot.entries_added = info.entries_added;
            snapshot.lag_source = "redis";
            let group = info.group.unwrap_or_default();
            snapshot.lag = group.lag;
            snapshot.pending = Some(group.pending);
            let consumer = |one: crate::stream::ConsumerInfo| Consumer {
                name: one.name,
                pending: one.pending,
                idle_ms: Some(one.idle_ms),
            };
            snapshot.consumers = group.consumers.into_iter().map(consumer).collect();
        }
        Err(error) => {
            tracing::warn!(%stage, %error, "Redis did not tell about its stream");
        }
    }
    Ok(snapshot)
}

/// What the ledger knows: released and not yet delivered is the lag, what runs is pending.
async fn of_ledger(state: &AppState, stage: Stage) -> Result<Snapshot, LedgerError> {
    let now = state.ledger.now().await?;
    let mut counts = state.ledger.stage_counts(stage, now).await?;
    if stage == Stage::Publish {
        // What was published and then ended badly while it was confirmed, which no stream of its own tells of.
        let confirming = state.ledger.stage_counts(Stage::Confirm, now).await?;
        counts.dead += confirming.dead;
        counts.review += confirming.review;
    }
    let running = state.ledger.running(stage, 1000).await?;
    let mut consumers: BTreeMap<String, u64> = BTreeMap::new();
    for worker in state.ledger.workers(now - ALIVE_MS).await? {
        if worker.stage == stage.as_str() {
            consumers.entry(worker.name).or_default();
        }
    }
    for row in &running {
        if let Some(holder) = &row.task.holder {
            *consumers.entry(holder.clone()).or_default() += 1;
        }
    }
    let done = state.ledger.done_between(stage, now - RECENT_MINUTES * 60_000, now).await?;
    let number = |count: i64| u64::try_from(count).ok();
    let closed = match stage {
        Stage::Publish => limit::closings(&state.ledger, now, &OF_THE_APP).await?,
        Stage::Edit | Stage::Confirm => Vec::new(),
    };
    Ok(Snapshot {
        stage,
        counts,
        demand: demand::of(state, stage, counts.running, now).await?,
        paused: state.ledger.paused(&Pause::name_of_stage(stage)).await?,
        dead_entries: state.ledger.dead_entry_count(stage.stream().unwrap_or_default()).await?,
        length: number(counts.queued + counts.running),
        entries_added: None,
        lag: number(counts.queued),
        lag_source: "ledger",
        closed,
        detail: None,
        pending: number(counts.running),
        consumers: consumers.into_iter().map(|(name, pending)| Consumer { name, pending, idle_ms: None }).collect(),
        #[expect(clippy::cast_precision_loss, reason = "a few minutes' count")]
        done_per_minute: done as f64 / RECENT_MINUTES as f64,
        oldest_pending_ms: running.iter().filter_map(|row| row.task.started_at).min().map(|began| (now - began).max(0)),
    })
}
