//! Settling: one transaction (this task's outcome, the video's status, the next task, a line of history), then the append
//! to the next stream, then XACK. Runs that end while a settlement is being committed are settled together by the next one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tracing::{Instrument, Span};

use super::{Engine, Work, lease, traced};
use crate::event::Stage;
use crate::ledger::{Company, LedgerError, Status, TaskRow, Tx, VideoPatch};
use crate::metrics::{self, metrics};
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

/// Where the runs of one worker are settled; cheap to clone.
pub struct Settling<W: Work> {
    pub(super) engine: Engine,
    pub(super) work: Arc<W>,
    company: Company<Ended<W>, Result<(), Failed>>,
}

impl<W: Work> Clone for Settling<W> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), work: self.work.clone(), company: self.company.clone() }
    }
}

impl<W: Work> Settling<W> {
    pub fn new(engine: Engine, work: Arc<W>) -> Self {
        Self { engine, work, company: Company::default() }
    }
}

/// A run that has ended, and waits to be settled.
struct Ended<W: Work> {
    row: TaskRow,
    outcome: Outcome,
    made: Option<W::Made>,
    span: Span,
}

/// Tries until the ledger has it, however long the database is away: what was done is not done again. Only a stop ends it
/// early. True when the ledger knows what became of the task, so that its entry can be acknowledged.
pub async fn settle<W: Work>(settling: &Settling<W>, row: &TaskRow, outcome: Outcome, made: Option<W::Made>) -> bool {
    let engine = &settling.engine;
    let longest = UNANSWERED.min(engine.config.lease / 12);
    for attempt in 1.. {
        let settled = if attempt == 1 {
            let ended = Ended { row: row.clone(), outcome: outcome.clone(), made: made.clone(), span: Span::current() };
            together(settling, ended).await
        } else {
            // Whatever is wrong with one of them keeps no others.
            once(engine, &*settling.work, row, &outcome, made.clone()).await
        };
        match settled {
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

/// With whatever ended meanwhile.
async fn together<W: Work>(settling: &Settling<W>, ended: Ended<W>) -> Result<(), Failed> {
    let (engine, work) = (settling.engine.clone(), settling.work.clone());
    let act = move |ended: Vec<Ended<W>>| {
        let (engine, work) = (engine.clone(), work.clone());
        async move {
            if ended.len() > 1 {
                match many(&engine, &*work, &ended).await {
                    Ok(settled) => return one_by_one(&engine, &*work, ended, settled).await,
                    // A database that is away is away for all of them.
                    Err(error) if error.to_others().is_some() => {
                        return ended
                            .iter()
                            .map(|_| error.to_others().map_or(Ok(()), |error| Err(error.into())))
                            .collect();
                    }
                    Err(error) => tracing::debug!(%error, runs = ended.len(), "they are settled one by one"),
                }
            }
            one_by_one(&engine, &*work, ended, Vec::new()).await
        }
    };
    let cut = || Failed::Ledger(LedgerError::Corrupt("the settlement was cut off".to_owned()));
    settling.company.join(ended, act).await.unwrap_or_else(|| Err(cut()))
}

/// Those that were not settled together.
async fn one_by_one<W: Work>(
    engine: &Engine,
    work: &W,
    ended: Vec<Ended<W>>,
    settled: Vec<bool>,
) -> Vec<Result<(), Failed>> {
    let mut results = Vec::with_capacity(ended.len());
    for (number, one) in ended.into_iter().enumerate() {
        let done = settled.get(number).copied().unwrap_or(false);
        let Ended { row, outcome, made, span } = one;
        results.push(if done { Ok(()) } else { once(engine, work, &row, &outcome, made).instrument(span).await });
    }
    results
}

/// The plain case in company: runs that ended well, under leases that still hold. Which of them are settled.
async fn many<W: Work>(engine: &Engine, work: &W, ended: &[Ended<W>]) -> Result<Vec<bool>, LedgerError> {
    let tx = engine.ledger.gather().await?;
    let ids: Vec<_> = ended.iter().map(|one| one.row.task.id).collect();
    tx.read_tasks_ahead(&ids).await?;
    if let Some(next) = W::NEXT {
        let videos: Vec<_> = ended.iter().map(|one| one.row.task.video).collect();
        tx.read_stage_ahead(&videos, next).await?;
    }
    let mut settled = vec![false; ended.len()];
    let mut stages = BTreeSet::new();
    for (one, settled) in ended.iter().zip(&mut settled) {
        let (Some(token), Outcome::Done) = (one.row.task.token, &one.outcome) else { continue };
        let Some(current) = tx.task(one.row.task.id).await? else { continue };
        let Ok(done) = current.task.settle(token, &Outcome::Done, engine.config.attempts, Duration::ZERO, tx.now())
        else {
            continue;
        };
        tx.put_task(&current.task, &done).await?;
        note_end(&tx, &current, &Outcome::Done).await?;
        stages.extend(work.settle(&tx, &current, &Outcome::Done, one.made.clone()).await?);
        *settled = true;
    }
    let mut released = Vec::new();
    for stage in stages {
        released.extend(engine.dispatch.release(&tx, stage).await?);
    }
    if W::STAGE == Stage::Edit {
        torture::at(Point::EditSettling);
    }
    tx.commit().await?;
    torture::at(settled_point(W::STAGE));
    for (one, _) in ended.iter().zip(&settled).filter(|(_, settled)| **settled) {
        metrics().ended(W::STAGE, metrics::Ended::of(&Outcome::Done));
        traced::ended(&one.row);
        one.span.in_scope(|| tracing::info!("done"));
    }
    engine.dispatch.append(&released).await;
    Ok(settled)
}

#[derive(Debug)]
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
    let released = match work.settle(&tx, &current, &outcome, made).await? {
        Some(stage) => engine.dispatch.release(&tx, stage).await?,
        None => Vec::new(),
    };
    if W::STAGE == Stage::Edit {
        torture::at(Point::EditSettling);
    }
    tx.commit().await?;
    torture::at(settled_point(W::STAGE));
    metrics().ended(W::STAGE, metrics::Ended::of(&outcome));
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
pub async fn panicked<W: Work>(settling: &Settling<W>, row: &TaskRow, panic: &str) -> bool {
    tracing::error!(panic, "the stage panicked");
    let reason = Reason::new("internal", "SubiteYa itself failed on this video; its log says where");
    settle(settling, row, Outcome::Retry(reason), None).await
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
