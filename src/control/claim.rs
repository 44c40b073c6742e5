//! Taking stalled work from workers that are gone.
//!
//! What is claimed are running tasks whose lease is over. Each is freed (its counts stay), released anew in the same
//! transaction, and only then its old entry is claimed and acknowledged: were we to die in between, the entry would be
//! found to stand for no run, and be forgotten.

use std::time::Duration;

use serde_json::json;

use super::Refused;
use super::plan::{Act, Commands, MOST, Plan, Refusal, agreed, mark};
use crate::config::StagesConfig;
use crate::event::{Stage, TaskId};
use crate::ledger::{Ledger, Released, TaskRow, Tx};
use crate::outcome::Reason;
use crate::relay::Dispatch;
use crate::task::State;

/// The consumer that takes the entries, for as long as that takes.
const CONSUMER: &str = "operator";

/// Which of the stalled tasks.
#[derive(Debug, Clone)]
pub struct Stalled {
    pub stages: Vec<Stage>,
    pub min_idle: Duration,
    /// Videos, tasks or entries; all that are stalled, when it is empty.
    pub ids: Vec<String>,
    pub by: String,
}

/// Frees them, or only tells which.
pub async fn claim(
    ledger: &Ledger,
    dispatch: &Dispatch,
    config: &StagesConfig,
    wanted: &Stalled,
    act: &Act,
) -> Result<Plan<TaskRow>, Refused> {
    let tx = ledger.begin().await?;
    let (chosen, mut refused, more) = choose(&tx, config, wanted).await?;
    let mut freed: Vec<TaskRow> = Vec::new();
    for old in chosen {
        // As it stands now: a worker may have taken it over meanwhile.
        let Some(row) = tx.task(old.task.id).await? else { continue };
        let Ok(waiting) = row.task.free(tx.now()) else {
            refused.push(not_stalled(row.task.video.to_string(), &row, config, tx.now()));
            continue;
        };
        tx.put_task(&row.task, &waiting).await?;
        let detail = json!({ "consumer": row.task.holder, "entry": row.task.entry, "by": wanted.by });
        tx.note(row.task.video, Some(row.task.stage), "claimed", detail).await?;
        freed.push(row);
    }
    let mut commands = Commands::default();
    let mut released: Vec<Released> = Vec::new();
    for &stage in wanted.stages.iter().filter(|stage| freed.iter().any(|row| row.task.stage == **stage)) {
        released.extend(dispatch.release(&tx, stage).await?);
        if dispatch.releases(stage) && !entries(&freed, stage).is_empty() {
            for name in ["XCLAIM", "XACK", "XPENDING", "XGROUP"] {
                commands.add(name, 1);
            }
        }
    }
    commands.releases(&released, &freed.iter().map(|row| row.task.id).collect::<Vec<TaskId>>());
    let accepted = freed.iter().map(|row| format!("{} {:?} {}", row.task.id, row.task.token, row.task.lease_until));
    let not = refused.iter().map(|refused| format!("{} {}", refused.id, refused.reason.code));
    let mark = mark(accepted.chain(not));
    let done = agreed(act, &mark)? && !freed.is_empty();
    if done {
        tx.commit().await?;
        for &stage in &wanted.stages {
            acknowledge(dispatch, stage, entries(&freed, stage)).await;
        }
        dispatch.append(&released).await;
    }
    Ok(Plan { mark, done, accepted: freed, refused, commands, last_start: None, more })
}

/// Milliseconds since the lease was last renewed: it always ends one lease after that.
pub fn idle(row: &TaskRow, config: &StagesConfig, now: i64) -> i64 {
    let lease = i64::try_from(config.of(row.task.stage).lease.as_millis()).unwrap_or(0);
    (now - (row.task.lease_until - lease)).max(0)
}

async fn choose(
    tx: &Tx,
    config: &StagesConfig,
    wanted: &Stalled,
) -> Result<(Vec<TaskRow>, Vec<Refusal>, bool), Refused> {
    let now = tx.now();
    let min_idle = i64::try_from(wanted.min_idle.as_millis()).unwrap_or(i64::MAX);
    let (mut chosen, mut refused) = (Vec::new(), Vec::new());
    if wanted.ids.is_empty() {
        for &stage in &wanted.stages {
            let most = i64::try_from(MOST + 1).unwrap_or(i64::MAX);
            let stalled = tx.stalled(stage, now, most).await?;
            chosen.extend(stalled.into_iter().filter(|row| idle(row, config, now) >= min_idle));
        }
        let more = chosen.len() > MOST;
        chosen.truncate(MOST);
        // By their videos, so that no two of these wait for each other's rows.
        chosen.sort_by_key(|row| row.task.video);
        return Ok((chosen, refused, more));
    }
    for id in &wanted.ids {
        let refuse = |reason: Reason| Refusal { id: id.clone(), video: None, reason };
        let Some(video) = tx.video_named(id).await? else {
            refused.push(refuse(Reason::new("not_found", "there is no such video, task or entry")));
            continue;
        };
        let running = tx.open_tasks(&[video]).await?;
        let running = running.into_iter().find(|row| row.task.state == State::Running);
        match running.filter(|row| wanted.stages.contains(&row.task.stage)) {
            None => refused.push(refuse(not_running())),
            Some(row) if row.task.lease_until >= now => {
                refused.push(not_stalled(id.clone(), &row, config, now));
            }
            Some(row) if idle(&row, config, now) < min_idle => {
                refused.push(refuse(Reason::new("not_idle", "it has not been idle for so long")));
            }
            Some(row) if chosen.iter().any(|one: &TaskRow| one.task.id == row.task.id) => {}
            Some(row) => chosen.push(row),
        }
    }
    chosen.sort_by_key(|row| row.task.video);
    Ok((chosen, refused, false))
}

fn not_stalled(id: String, row: &TaskRow, config: &StagesConfig, now: i64) -> Refusal {
    let reason = if row.task.state == State::Running {
        let holder = row.task.holder.as_deref().unwrap_or("its worker");
        let text = format!("{holder} is alive: it renewed its lease {} s ago", idle(row, config, now) / 1000);
        Reason::new("lease_held", text)
    } else {
        not_running()
    };
    Refusal { id, video: Some(row.task.video), reason }
}

fn not_running() -> Reason {
    Reason::new("not_running", "nobody is at work on it, so there is nothing to take")
}

fn entries(freed: &[TaskRow], stage: Stage) -> Vec<String> {
    freed.iter().filter(|row| row.task.stage == stage).filter_map(|row| row.task.entry.clone()).collect()
}

async fn acknowledge(dispatch: &Dispatch, stage: Stage, entries: Vec<String>) {
    let Some(streams) = dispatch.streams().filter(|_| dispatch.releases(stage) && !entries.is_empty()) else { return };
    // Gone or not: what is pending under these ids stands for no run any more.
    if let Err(error) = streams.claim_all(stage, CONSUMER, entries.clone()).await {
        error.tell("stalled entries could not be claimed; the sweep acknowledges them");
        return;
    }
    if let Err(error) = streams.acknowledge(stage, entries).await {
        error.tell("claimed entries could not be acknowledged; the sweep does it");
    }
    if let Err(error) = streams.remove_consumer(stage, CONSUMER).await {
        error.tell("the consumer that claimed could not be removed");
    }
}
