//! Rule 8b: a reader that found its stream empty, although tasks are out on it, doubts them.

use super::streamed::Fault;
use super::{Engine, millis};
use crate::event::Stage;
use crate::ledger::{LedgerError, TaskRow};
use crate::metrics::metrics;
use crate::stream::{Delivery, Reader, Streams};
use crate::torture::{self, Guard, Point};

/// Reads until nothing is left. If that brings nothing, whatever was released a while before the read was lost: it is
/// put back and released anew. A reader that suspects its own connection makes a new one before it may say so.
pub async fn doubt(
    engine: &Engine,
    stage: Stage,
    reader: &Reader,
    most: u64,
    deaf: bool,
) -> Result<Vec<Delivery>, Fault> {
    if deaf {
        tracing::warn!(%stage, "work waits and the reader gets none: its connection is replaced");
        reader.reconnect().await;
    }
    let before = engine.ledger.now().await? - millis(engine.times.doubt);
    let read = reader.read_now(most).await?;
    if !read.is_empty() {
        return Ok(read);
    }
    let again = put_back(engine, stage, before).await?;
    if again > 0 && !engine.dispatch.streams().is_some_and(Streams::appends_fail) {
        tracing::warn!(%stage, tasks = again, "released tasks were lost on their way; they are released anew");
    }
    Ok(read)
}

/// A Redis that answers and takes nothing (it is full) is asked with one, and gets the rest when it has taken that.
async fn put_back(engine: &Engine, stage: Stage, before: i64) -> Result<usize, LedgerError> {
    let full = || engine.dispatch.streams().is_some_and(Streams::appends_fail);
    let mut lost = engine.ledger.unread_before(stage, before).await?;
    let mut again = 0;
    if full() {
        let rest = lost.split_off(lost.len().min(1));
        again += release_again(engine, stage, std::mem::replace(&mut lost, rest)).await?;
        if full() {
            return Ok(again);
        }
    }
    Ok(again + release_again(engine, stage, lost).await?)
}

async fn release_again(engine: &Engine, stage: Stage, lost: Vec<TaskRow>) -> Result<usize, LedgerError> {
    if lost.is_empty() || torture::without(Guard::Outbox) {
        return Ok(0);
    }
    let tx = engine.ledger.begin().await?;
    let mut again = 0;
    for row in lost {
        // Read once more inside the transaction: a worker may just have leased it.
        let Some(now) = tx.task(row.task.id).await? else { continue };
        if now.task.seq != row.task.seq {
            continue;
        }
        let Ok(waiting) = now.task.doubt(tx.now()) else { continue };
        tx.put_task(&now.task, &waiting).await?;
        again += 1;
    }
    torture::at(Point::RelayDoubted);
    let released = engine.dispatch.release(&tx, stage).await?;
    tx.commit().await?;
    engine.dispatch.append(&released).await;
    metrics().released_again(stage, again);
    Ok(again)
}

/// Rule 8a: queued tasks that a later one has overtaken. Asked by the relay.
pub async fn overtaken(engine: &Engine, stage: Stage) -> Result<usize, LedgerError> {
    let now = engine.ledger.now().await?;
    let passed = engine.ledger.overtaken(stage, now, millis(engine.times.doubt)).await?;
    if passed.is_empty() || torture::without(Guard::Outbox) {
        return Ok(0);
    }
    let tx = engine.ledger.begin().await?;
    let mut again = 0;
    for row in passed {
        let Some(now) = tx.task(row.task.id).await? else { continue };
        if now.task.seq == row.task.seq
            && let Ok(waiting) = now.task.doubt(tx.now())
        {
            tx.put_task(&now.task, &waiting).await?;
            again += 1;
        }
    }
    tx.commit().await?;
    metrics().released_again(stage, again);
    torture::at(Point::RelayDoubted);
    Ok(again)
}
