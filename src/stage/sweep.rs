//! Rule 10: Redis' pending list against the ledger. At start, after trouble, and every `stalled_check` while anything is
//! out.

use std::collections::HashSet;

use tokio::sync::OwnedSemaphorePermit;

use super::streamed::{Fault, Worker};
use super::{Work, lease};
use crate::stream::{Pending, StreamError};

/// Entries of one page of the pending list.
const PAGE: u64 = 100;

/// Entries of dead consumers, and of this one where they are not in hand (an XACK was lost, or a read), are claimed and judged by the ledger like any that was read; those that the ledger knows as
/// ended are acknowledged at once; consumers that are dead and hold nothing are removed.
pub(super) async fn sweep<W: Work>(worker: &Worker<W>, permits: &mut Vec<OwnedSemaphorePermit>) -> Result<(), Fault> {
    match pages(worker, permits).await {
        Err(Fault::Stream(StreamError::NoGroup)) => {
            worker.streams.ensure_group(W::STAGE).await?;
            Ok(())
        }
        other => other,
    }
}

async fn pages<W: Work>(worker: &Worker<W>, permits: &mut Vec<OwnedSemaphorePermit>) -> Result<(), Fault> {
    let ledger = &worker.engine.ledger;
    let mut after: Option<String> = None;
    let mut holders = HashSet::new();
    let mut alive = live_names(worker).await?;
    alive.insert(worker.identity.name.clone());
    loop {
        let page = worker.streams.pending(W::STAGE, after.as_deref(), PAGE).await?;
        for one in &page {
            holders.insert(one.consumer.clone());
            let ours = one.consumer == worker.identity.name;
            if if ours { worker.knows(&one.id) } else { alive.contains(&one.consumer) } {
                continue;
            }
            match ledger.task_under(W::STAGE, &one.id).await? {
                Some(row) if row.task.state.ended() => worker.acknowledge(one.id.clone()).await,
                // It runs, or its lease is over and it is taken over from the ledger, with its entry.
                Some(_) => {}
                None => adopt(worker, one, permits).await?,
            }
        }
        match page.last() {
            Some(last) if page.len() as u64 == PAGE => after = Some(last.id.clone()),
            _ => break,
        }
    }
    for name in worker.streams.consumers(W::STAGE).await? {
        if !alive.contains(&name) && !holders.contains(&name) {
            worker.streams.remove_consumer(W::STAGE, &name).await?;
        }
    }
    Ok(())
}

/// An entry that its reader never leased: claimed, and run or released anew.
async fn adopt<W: Work>(
    worker: &Worker<W>,
    one: &Pending,
    permits: &mut Vec<OwnedSemaphorePermit>,
) -> Result<(), Fault> {
    match worker.streams.claim(W::STAGE, &worker.identity.name, &one.id).await? {
        Some(delivery) => worker.accept(vec![delivery], permits).await,
        // Gone from the stream: only the pending list still knows it.
        None => {
            worker.acknowledge(one.id.clone()).await;
            Ok(())
        }
    }
}

async fn live_names<W: Work>(worker: &Worker<W>) -> Result<HashSet<String>, Fault> {
    let now = worker.engine.ledger.now().await?;
    let since = lease::alive_since(&worker.engine, now);
    Ok(worker.engine.ledger.workers(since).await?.into_iter().map(|worker| worker.name).collect())
}
