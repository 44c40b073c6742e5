//! Taking a lease: the entry that was read, or the ledger itself, names a task; one transaction decides.

use serde_json::json;

use super::{Admission, Engine, Work, millis, settle, traced};
use crate::event::{LeaseToken, Stage, TaskId};
use crate::ledger::{LedgerError, Pause, TaskRow, Tx};
use crate::limit::STAGE_LIMIT;
use crate::metrics::{Ended, metrics};
use crate::outcome::{Outcome, Reason};
use crate::task::{Claim, HANDED_BACK, Leased, Refused, State, Task};
use crate::torture::{self, Guard, Point};

/// What became of the wish for a lease.
#[derive(Debug)]
pub enum Taken {
    /// Ours; it runs now.
    Granted(Box<TaskRow>),
    /// Not ours to run: done, canceled, leased elsewhere, put off or never there. Its entry is acknowledged.
    Refused,
    /// Another one runs it under this very entry, and acknowledges it.
    Elsewhere,
    /// The stage is closed for now. The entry was read, so the task is set aside for when it opens.
    SetAside,
}

/// How long a task waits whose rows the ledger can't make sense of.
const UNREADABLE: i64 = 60_000;

/// Rules 4 and 7. `entry` is the stream entry under which it was found.
pub async fn take<W: Work>(
    engine: &Engine,
    work: &W,
    worker: &str,
    id: TaskId,
    entry: Option<String>,
) -> Result<Taken, LedgerError> {
    match granted(engine, work, worker, id, entry).await {
        // A fault of this one task, which may not keep its worker from all others.
        Err(error @ (LedgerError::Refused(_) | LedgerError::Corrupt(_))) => {
            tracing::error!(task.id = %id, %error, "a task can't be leased; it is put off");
            put_off(engine, id).await?;
            Ok(Taken::Refused)
        }
        other => other,
    }
}

async fn put_off(engine: &Engine, id: TaskId) -> Result<(), LedgerError> {
    let tx = engine.ledger.begin().await?;
    let Some(row) = tx.task(id).await? else { return Ok(()) };
    let reason = Reason::new("internal", "SubiteYa's own record of this video can't be read; its log says why");
    let Ok(waiting) = row.task.postpone(tx.now() + UNREADABLE, reason, tx.now()) else { return Ok(()) };
    tx.put_task(&row.task, &waiting).await?;
    tx.commit().await
}

async fn granted<W: Work>(
    engine: &Engine,
    work: &W,
    worker: &str,
    id: TaskId,
    entry: Option<String>,
) -> Result<Taken, LedgerError> {
    let tx = engine.ledger.begin().await?;
    let Some(row) = tx.task(id).await? else { return Ok(Taken::Refused) };
    if row.task.stage != W::STAGE {
        return Ok(Taken::Refused);
    }
    let claim =
        Claim { token: LeaseToken::new(), holder: worker.to_owned(), entry: entry.clone(), lease: engine.config.lease };
    let interrupted = row.task.state == State::Running;
    // The ledger had trouble until just now: a holder that lives may renew first.
    if interrupted && engine.ledger.calm_for() < engine.calm() {
        return Ok(Taken::Refused);
    }
    let granted = match row.task.lease(claim, tx.now()) {
        Err(refused) => {
            tracing::debug!(task.id = %id, %refused, "not run again");
            let same = refused == Refused::Leased && row.task.entry.is_some() && row.task.entry == entry;
            return Ok(if same { Taken::Elsewhere } else { Taken::Refused });
        }
        Ok(Leased::Poisoned(dead)) => {
            let reason = Reason::new(
                "poison",
                format!("its worker died {} times while it ran; a person has to look at it", dead.takeovers),
            );
            let outcome = work.last(&tx, &row, reason).await?;
            let state = if matches!(outcome, Outcome::NeedsReview(_)) { State::Review } else { State::Dead };
            tx.put_task(&row.task, &Task { state, ..dead }).await?;
            settle::note_end(&tx, &row, &outcome).await?;
            work.settle(&tx, &row, &outcome, None).await?;
            tx.commit().await?;
            metrics().took_over(W::STAGE);
            metrics().ended(W::STAGE, Ended::of(&outcome));
            traced::ended(&row);
            tracing::error!(task.id = %id, video.id = %row.task.video, "a task that kills its workers is parked as dead");
            return Ok(Taken::Refused);
        }
        Ok(Leased::Granted(granted)) => granted,
    };
    let paused = paused(&tx, &row).await?;
    let admission = match &paused {
        // It keeps its place: the release passes it over until the pause is over or somebody ends it.
        Some(pause) => {
            let place = Some(row.task.due_at).filter(|&due| due > HANDED_BACK);
            Admission::Closed { until: place.unwrap_or(tx.now()), reason: Reason::new("paused", &pause.reason) }
        }
        None => work.admit(&tx, &row).await?,
    };
    if let Admission::Closed { until, reason } = admission {
        // All of the stage waits: what was read stays read, which costs no further command.
        if reason.code == STAGE_LIMIT
            && let Some(entry) = entry
            && let Ok(aside) = row.task.set_aside(entry)
        {
            tx.put_task(&row.task, &aside).await?;
            tx.commit().await?;
            return Ok(Taken::SetAside);
        }
        let Ok(waiting) = row.task.postpone(until, reason.clone(), tx.now()) else { return Ok(Taken::Refused) };
        let waiting = Task { takeovers: granted.takeovers, ..waiting };
        tx.put_task(&row.task, &waiting).await?;
        if interrupted {
            settle::note_wait(&tx, &waiting).await?;
        }
        if row.task.wait.as_ref().map(|wait| &wait.code) != Some(&reason.code) {
            let until = paused.map_or(Some(until), |pause| pause.until);
            let detail = json!({ "code": reason.code, "text": reason.text, "until": until });
            tx.note(row.task.video, Some(W::STAGE), "parked", detail).await?;
        }
        tx.commit().await?;
        return Ok(Taken::Refused);
    }
    tx.put_task(&row.task, &granted).await?;
    let event = if interrupted { "taken over" } else { "started" };
    let detail = json!({ "worker": worker, "attempt": granted.attempts + 1, "takeovers": granted.takeovers });
    tx.note(granted.video, Some(W::STAGE), event, detail).await?;
    settle::note_start(&tx, &granted).await?;
    tx.commit().await?;
    metrics().started(W::STAGE);
    if interrupted {
        metrics().took_over(W::STAGE);
    }
    match W::STAGE {
        Stage::Edit => torture::at(Point::EditLeased),
        Stage::Publish => torture::at(Point::PublishLeased),
        Stage::Confirm => {}
    }
    Ok(Taken::Granted(Box::new(TaskRow { task: granted, ..row })))
}

/// What a person has paused that this task would be begun under. Asking TikTok what became of a post is no beginning.
async fn paused(tx: &Tx, row: &TaskRow) -> Result<Option<Pause>, LedgerError> {
    if row.task.stage == Stage::Confirm {
        return Ok(None);
    }
    match tx.paused(&Pause::name_of_stage(row.task.stage)).await? {
        None => tx.paused(&Pause::name_of_account(&row.account)).await,
        paused => Ok(paused),
    }
}

/// Marks what was read ahead of a free slot (rule 3). Gives the entries whose task is not to be run: they are acknowledged.
pub async fn set_aside(engine: &Engine, read: Vec<(TaskId, String)>) -> Result<Vec<String>, LedgerError> {
    let mut over = Vec::new();
    if read.is_empty() {
        return Ok(over);
    }
    let tx = engine.ledger.begin().await?;
    for (id, entry) in read {
        match tx.task(id).await? {
            // Read once more after a fault, and in hand already.
            Some(row) if row.task.entry.as_ref() == Some(&entry) && !row.task.state.ended() => {}
            Some(row) => match row.task.set_aside(entry.clone()) {
                Ok(aside) if !row.task.is_set_aside() => tx.put_task(&row.task, &aside).await?,
                _ => over.push(entry),
            },
            None => over.push(entry),
        }
    }
    tx.commit().await?;
    Ok(over)
}

/// Gives back an entry's task that was read and not leased (rule 11).
pub async fn give_back(engine: &Engine, id: TaskId) -> Result<(), LedgerError> {
    let tx = engine.ledger.begin().await?;
    if let Some(row) = tx.task(id).await?
        && let Ok(waiting) = row.task.give_back()
    {
        tx.put_task(&row.task, &waiting).await?;
        hand_on(engine, tx, &waiting).await?;
    }
    Ok(())
}

/// Hands back a task that runs (rule 11), uncounted.
pub async fn hand_back(engine: &Engine, row: &TaskRow) -> Result<(), LedgerError> {
    let Some(token) = row.task.token else { return Ok(()) };
    let tx = engine.ledger.begin().await?;
    let Some(now) = tx.task(row.task.id).await? else { return Ok(()) };
    let Ok(waiting) = now.task.hand_back(token) else { return Ok(()) };
    tx.put_task(&now.task, &waiting).await?;
    tx.note(row.task.video, Some(row.task.stage), "handed back", json!({})).await?;
    settle::note_wait(&tx, &waiting).await?;
    hand_on(engine, tx, &waiting).await?;
    metrics().ended(row.task.stage, Ended::HandedBack);
    traced::ended(row);
    Ok(())
}

async fn hand_on(engine: &Engine, tx: Tx, waiting: &Task) -> Result<(), LedgerError> {
    let released = engine.dispatch.release_handed_back(&tx, waiting).await?;
    tx.commit().await?;
    engine.dispatch.append(&released).await;
    Ok(())
}

/// Renews a lease; tells how far the work is, if that has changed. False: the lease is gone.
pub async fn renew(engine: &Engine, row: &TaskRow, progress: Option<u8>) -> Result<bool, LedgerError> {
    let Some(token) = row.task.token else { return Ok(false) };
    let tx = engine.ledger.begin().await?;
    let Some(now) = tx.task(row.task.id).await? else { return Ok(false) };
    let Ok(renewed) = now.task.renew(token, engine.config.lease, tx.now()) else {
        return Ok(torture::without(Guard::Lease));
    };
    tx.put_task(&now.task, &renewed).await?;
    if let Some(progress) = progress {
        tx.raise_progress(row.task.video, i64::from(progress)).await?;
    }
    tx.commit().await?;
    Ok(true)
}

pub(super) fn lease_third(engine: &Engine) -> std::time::Duration {
    engine.config.lease / 3
}

pub(super) fn alive_since(engine: &Engine, now: i64) -> i64 {
    now - millis(engine.times.alive.max(engine.config.lease))
}
