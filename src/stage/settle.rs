//! Settling: one transaction (this task's outcome, the video's status, the next task, a line of history), then the append
//! to the next stream, then XACK.

use std::time::Duration;

use serde_json::json;

use super::{Engine, Work, lease, traced};
use crate::event::Stage;
use crate::ledger::{LedgerError, Status, TaskRow, Tx, VideoPatch};
use crate::metrics::{Ended, metrics};
use crate::outcome::{Outcome, Reason, backoff};
use crate::task::{State, Task};
use crate::torture::{self, Guard, Point};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The longest pause while the database does not answer: well within the grace after which others take the task for a
/// dead worker's.
const UNANSWERED: Duration = Duration::from_secs(1);

/// How often a settlement is tried that the ledger answers and doesn't take.
const REFUSALS: u32 = 10;

/// Tries until the ledger has it, however long the database is away: what was done is not done again. Only a stop ends it
/// early. True when the ledger knows what became of the task, so that its entry can be acknowledged.
pub async fn settle<W: Work>(
    engine: &Engine,
    work: &W,
    row: &TaskRow,
    outcome: Outcome,
    made: Option<W::Made>,
) -> bool {
    let longest = UNANSWERED.min(engine.config.lease / 12);
    for attempt in 1.. {
        match once(engine, work, row, &outcome, made.clone()).await {
            Ok(()) => return true,
            Err(Failed::Gone) => {
                metrics().lost_lease(W::STAGE);
                tracing::warn!("the lease is gone; somebody else settles this task");
                return true;
            }
            Err(Failed::Ledger(error @ LedgerError::Unavailable(_))) => {
                error.tell("the outcome could not be written; tried again");
            }
            Err(Failed::Ledger(error)) if attempt < REFUSALS => {
                error.tell("the outcome could not be written; tried again");
            }
            Err(Failed::Ledger(_)) => break,
        }
        tokio::select! {
            () = tokio::time::sleep(backoff(Duration::from_millis(100), longest, attempt, rand::random())) => {}
            () = engine.stop.working.cancelled() => break,
        }
    }
    tracing::error!("the outcome could not be written; the task is taken over when its lease is over");
    false
}

enum Failed {
    Gone,
    Ledger(LedgerError),
}

impl From<LedgerError> for Failed {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

async fn once<W: Work>(
    engine: &Engine,
    work: &W,
    row: &TaskRow,
    outcome: &Outcome,
    made: Option<W::Made>,
) -> Result<(), Failed> {
    let token = row.task.token.ok_or(Failed::Gone)?;
    let tx = engine.ledger.begin().await?;
    let current = tx.task(row.task.id).await?.ok_or(Failed::Gone)?;
    let held = if torture::without(Guard::Lease) { &row.task } else { &current.task };
    if held.token != Some(token) {
        return Err(Failed::Gone);
    }
    let outcome = match outcome {
        Outcome::Retry(reason) if current.task.attempts + 1 >= engine.config.attempts => {
            let text = format!("{} (after {} attempts)", reason.text, current.task.attempts + 1);
            work.last(&tx, &current, Reason::new(reason.code.clone(), text)).await?
        }
        other => other.clone(),
    };
    let pause = backoff(engine.config.backoff, LONGEST_PAUSE, current.task.attempts + 1, rand::random());
    let settled = held.settle(token, &outcome, engine.config.attempts, pause, tx.now()).map_err(|_| Failed::Gone)?;
    tx.put_task(&current.task, &settled).await?;
    note_end(&tx, &current, &outcome).await?;
    if settled.state == State::Waiting {
        note_wait(&tx, &settled).await?;
    }
    let released = work.settle(&tx, &current, &outcome, made).await?;
    if W::STAGE == Stage::Edit {
        torture::at(Point::EditSettling);
    }
    tx.commit().await?;
    torture::at(settled_point(W::STAGE));
    metrics().ended(W::STAGE, Ended::of(&outcome));
    traced::ended(row);
    match &outcome {
        Outcome::Done => tracing::info!("done"),
        Outcome::Retry(reason) => tracing::warn!(reason.code, reason.text, pause = ?pause, "failed; tried again"),
        Outcome::Parked { until, reason } => tracing::info!(reason.code, reason.text, until, "parked"),
        Outcome::Dead(reason) => tracing::warn!(reason.code, reason.text, "failed for good"),
        Outcome::NeedsReview(reason) => tracing::warn!(reason.code, reason.text, "needs a person"),
    }
    engine.dispatch.append(&released).await;
    Ok(())
}

/// A bug of ours counts as a fault of the video, so that it is tried again and then seen.
pub async fn panicked<W: Work>(engine: &Engine, work: &W, row: &TaskRow, panic: &str) -> bool {
    tracing::error!(panic, "the stage panicked");
    let reason = Reason::new("internal", "SubiteYa itself failed on this video; its log says where");
    settle(engine, work, row, Outcome::Retry(reason), None).await
}

/// True when the task was handed back or is no longer ours.
pub async fn hand_back(engine: &Engine, row: &TaskRow) -> bool {
    match lease::hand_back(engine, row).await {
        Ok(()) => true,
        Err(error) => {
            error.tell("the task could not be handed back; it is taken over when its lease is over");
            false
        }
    }
}

/// Acknowledges an entry, now or when it has company.
pub async fn acknowledge(engine: &Engine, stage: Stage, entry: Option<String>) {
    let Some(entry) = entry else { return };
    engine.acks.add(entry);
    acknowledge_due(engine, stage).await;
}

/// Acknowledges what has waited long enough for company.
pub async fn acknowledge_due(engine: &Engine, stage: Stage) {
    let Some(streams) = engine.dispatch.streams() else { return };
    let entries = engine.acks.due(engine.times.company);
    if entries.is_empty() {
        return;
    }
    if let Err(error) = streams.acknowledge(stage, entries).await {
        engine.acks.owe();
        error.tell("entries could not be acknowledged; the sweep does it");
    }
    torture::at(if stage == Stage::Edit { Point::EditAcknowledged } else { Point::PublishAcknowledged });
}

/// What stands in the ledger once a task of this stage is settled well.
fn settled_point(stage: Stage) -> Point {
    match stage {
        Stage::Edit => Point::EditSettled,
        Stage::Publish => Point::PublishUploadedStored,
        Stage::Confirm => Point::PublishPostedStored,
    }
}

/// The line of history that an outcome leaves.
pub(super) async fn note_end(tx: &Tx, row: &TaskRow, outcome: &Outcome) -> Result<(), LedgerError> {
    let (event, detail) = match outcome {
        Outcome::Done => ("done", json!({})),
        Outcome::Retry(reason) => {
            ("retry", json!({ "code": reason.code, "text": reason.text, "attempt": row.task.attempts + 1 }))
        }
        Outcome::Parked { until, reason } => {
            ("parked", json!({ "code": reason.code, "text": reason.text, "until": until }))
        }
        Outcome::Dead(reason) => ("failed", json!({ "code": reason.code, "text": reason.text })),
        Outcome::NeedsReview(reason) => ("needs review", json!({ "code": reason.code, "text": reason.text })),
    };
    tx.note(row.task.video, Some(row.task.stage), event, detail).await
}

/// The video's status while its task runs.
pub(super) async fn note_start(tx: &Tx, task: &Task) -> Result<(), LedgerError> {
    let status = match task.stage {
        Stage::Edit => Status::Editing,
        Stage::Publish => Status::Publishing,
        Stage::Confirm => return Ok(()),
    };
    // Only a new stage starts its bar anew: an attempt that follows another one never goes back.
    let edited =
        tx.video(task.video).await?.is_some_and(|video| video.status == Status::Edited && video.progress == 100);
    let progress = (task.stage == Stage::Publish && edited).then_some(0);
    tx.patch_video(task.video, VideoPatch { status: Some(status), progress, ..VideoPatch::default() }).await
}

/// The video's status while its task waits.
pub(super) async fn note_wait(tx: &Tx, task: &Task) -> Result<(), LedgerError> {
    let status = match task.stage {
        Stage::Edit => Status::EditingQueued,
        Stage::Publish => Status::Edited,
        Stage::Confirm => Status::Processing,
    };
    tx.patch_video(task.video, VideoPatch { status: Some(status), ..VideoPatch::default() }).await
}
