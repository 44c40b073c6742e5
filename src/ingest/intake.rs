//! The commit of an upload: video, edit task, a line of history, what its `Idempotency-Key` stands for, and the release, in
//! one transaction; then the append. Uploads that come while another one is being committed are committed together.

use serde_json::{Value, json};

use crate::event::Stage;
use crate::ledger::{Company, Ledger, LedgerError, TaskRow, Tx, Video};
use crate::relay::Dispatch;
use crate::task::Task;
use crate::torture::{self, Point};

/// How long an `Idempotency-Key` is remembered.
pub(super) const KEY_LIFE_MS: i64 = 24 * 3600 * 1000;

/// An upload whose bytes are in the store. The video's times are set when it is written.
#[derive(Debug, Clone)]
pub struct New {
    pub video: Video,
    /// The account's `open_id`.
    pub creator: String,
    /// `Idempotency-Key`, and the fingerprint of what was asked with it.
    pub key: Option<(String, String)>,
}

#[derive(Debug)]
pub enum Written {
    Committed(Box<Video>),
    /// A request with the same key was committed before.
    KeyTaken,
}

#[derive(Debug)]
pub enum NotWritten {
    Ledger(LedgerError),
    /// The commit was not answered: it may stand or not.
    Uncertain(LedgerError),
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    ledger: Ledger,
    dispatch: Dispatch,
    company: Company<New, Result<Written, NotWritten>>,
}

impl Intake {
    pub fn new(ledger: Ledger, dispatch: Dispatch) -> Self {
        Self { ledger, dispatch, company: Company::default() }
    }

    pub async fn commit(&self, new: New) -> Result<Written, NotWritten> {
        let (ledger, dispatch) = (self.ledger.clone(), self.dispatch.clone());
        let act = move |new: Vec<New>| {
            let (ledger, dispatch) = (ledger.clone(), dispatch.clone());
            async move { together(&ledger, &dispatch, new).await }
        };
        let cut = || NotWritten::Uncertain(LedgerError::Corrupt("the commit was cut off".to_owned()));
        self.company.join(new, act).await.unwrap_or_else(|| Err(cut()))
    }
}

async fn together(ledger: &Ledger, dispatch: &Dispatch, new: Vec<New>) -> Vec<Result<Written, NotWritten>> {
    let failed = match write(ledger, dispatch, &new).await {
        Ok(written) => return written.into_iter().map(Ok).collect(),
        Err(failed) => failed,
    };
    // A database that is away is away for all of them; what may have been committed is not sent again.
    let copies: Option<Vec<NotWritten>> = match &failed {
        NotWritten::Ledger(error) => new[1..].iter().map(|_| Some(NotWritten::Ledger(error.to_others()?))).collect(),
        NotWritten::Uncertain(error) => {
            new[1..].iter().map(|_| Some(NotWritten::Uncertain(error.to_others()?))).collect()
        }
    };
    if let Some(copies) = copies {
        return std::iter::once(failed).chain(copies).map(Err).collect();
    }
    let mut results = Vec::with_capacity(new.len());
    for one in new {
        let written = write(ledger, dispatch, std::slice::from_ref(&one)).await;
        results.push(written.map(|mut written| written.pop().unwrap_or(Written::KeyTaken)));
    }
    results
}

async fn write(ledger: &Ledger, dispatch: &Dispatch, new: &[New]) -> Result<Vec<Written>, NotWritten> {
    let tx = ledger.gather().await?;
    let mut written = Vec::with_capacity(new.len());
    for one in new {
        written.push(insert(&tx, one).await?);
    }
    let released = dispatch.release(&tx, Stage::Edit).await?;
    torture::at(Point::IngestWriting);
    tx.commit()
        .await
        .map_err(|error| if error.was_answered() { NotWritten::Ledger(error) } else { NotWritten::Uncertain(error) })?;
    torture::at(Point::IngestCommitted);
    dispatch.append(&released).await;
    Ok(written)
}

async fn insert(tx: &Tx, new: &New) -> Result<Written, LedgerError> {
    let video = Video { created_at: tx.now(), updated_at: tx.now(), ..new.video.clone() };
    if let Some((key, fingerprint)) = &new.key {
        let since = tx.now() - KEY_LIFE_MS;
        if !tx.remember_request(&video.user, key, fingerprint, video.id, since).await? {
            return Ok(Written::KeyTaken);
        }
    }
    tx.insert_video(&video).await?;
    let task = Task::new(video.id, Stage::Edit, tx.now());
    let (account, creator, priority) = (video.account.clone(), new.creator.clone(), video.priority.as_number());
    tx.insert_task(&TaskRow { task, account, creator, priority }).await?;
    let detail: Value = json!({ "size": video.source_size, "sha256": video.source_sha256 });
    tx.note(video.id, None, "uploaded", detail).await?;
    Ok(Written::Committed(Box::new(video)))
}

impl From<LedgerError> for NotWritten {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}
