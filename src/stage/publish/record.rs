//! The protocol's row in the ledger: read, and written by compare-and-set.

use super::row::Publication;
use super::step::Write;
use crate::event::{LeaseToken, Stage, TaskId, VideoId};
use crate::ledger::{LedgerError, PublicationRow, Session, TaskRow, Tx};
use crate::task::State;
use crate::torture::{self, Guard};

/// The row as it was read, and what it says.
#[derive(Debug, Clone)]
pub struct Record {
    pub publication: Publication,
    row: PublicationRow,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Done,
    /// It touched no row: somebody else holds the lease, or the row is not what it was.
    Lost,
}

pub async fn load(session: &Session, video: VideoId) -> Result<Option<Record>, LedgerError> {
    let Some(row) = session.publication(video).await? else { return Ok(None) };
    let publication = serde_json::from_str(&row.record)
        .map_err(|error| LedgerError::Corrupt(format!("the publication of {video}: {error}")))?;
    Ok(Some(Record { publication, row }))
}

/// Rule 1: what will be sent is fixed before any init.
pub async fn freeze(tx: &Tx, video: VideoId, account: &str, publication: &Publication) -> Result<(), LedgerError> {
    let empty = PublicationRow {
        video,
        account: account.to_owned(),
        generation: 0,
        version: 1,
        publish_id: None,
        upload_url: None,
        final_started: false,
        inits: 0,
        record: String::new(),
    };
    tx.insert_publication(&filled(&empty, publication)?).await
}

/// Writes what the protocol decided, if its guard holds: the lease's token is still this task's, and generation and
/// version are those that were read.
pub async fn write(
    tx: &Tx,
    video: VideoId,
    task: TaskId,
    seen: &Record,
    write: &Write,
) -> Result<Written, LedgerError> {
    let lease = match tx.task(task).await? {
        Some(_) if torture::without(Guard::Lease) => write.guard.lease,
        Some(row) if row.task.state == State::Running => row.task.token,
        Some(_) | None => None,
    };
    put(tx, video, lease, seen, write).await
}

/// The same within the settlement's transaction, in which the task has just been settled: `task` is the row as it was
/// before, whose token the settlement has compared.
pub async fn write_settled(tx: &Tx, task: &TaskRow, seen: &Record, write: &Write) -> Result<Written, LedgerError> {
    // A lease that was never taken (a poisoned task has none) is the guard's own.
    let lease = task.task.token.or(write.guard.lease);
    put(tx, task.task.video, lease, seen, write).await
}

/// An operator's write: nobody may hold a lease on the post.
pub async fn operate(tx: &Tx, video: VideoId, seen: &Record, write: &Write) -> Result<Written, LedgerError> {
    for stage in [Stage::Publish, Stage::Confirm] {
        if tx.task_of(video, stage).await?.is_some_and(|row| row.task.state == State::Running) {
            return Ok(Written::Lost);
        }
    }
    put(tx, video, None, seen, write).await
}

async fn put(
    tx: &Tx,
    video: VideoId,
    lease: Option<LeaseToken>,
    seen: &Record,
    write: &Write,
) -> Result<Written, LedgerError> {
    let Some(current) = load(tx, video).await? else { return Ok(Written::Lost) };
    let stands = current.row.version == seen.row.version && write.guard.holds(&current.publication, lease);
    if !stands && !torture::without(Guard::CompareAndSet) {
        return Ok(Written::Lost);
    }
    tx.put_publication(&current.row, &filled(&current.row, &write.row)?).await?;
    Ok(Written::Done)
}

fn filled(row: &PublicationRow, publication: &Publication) -> Result<PublicationRow, LedgerError> {
    Ok(PublicationRow {
        generation: publication.generation,
        publish_id: publication.publish_id.clone(),
        upload_url: publication.upload_url.clone(),
        final_started: publication.final_started.is_some(),
        inits: publication.inits,
        record: serde_json::to_string(publication).map_err(|error| LedgerError::Corrupt(error.to_string()))?,
        ..row.clone()
    })
}
