//! The loop of a stage that has no stream: its tasks are taken from the ledger when they are due. They hold neither slot
//! nor permit of another stage, and cost no Redis command.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::lease::{self, Taken};
use super::{Engine, Identity, Work, run};
use crate::ledger::LedgerError;

/// Questions to TikTok at once, per process.
const AT_ONCE: usize = 8;

/// Works until the stop, then until what runs has ended or was handed back.
pub async fn work<W: Work>(engine: Engine, work: Arc<W>) {
    let identity = Identity::new(W::STAGE);
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let tracker = TaskTracker::new();
    while !engine.stop.reading.is_cancelled() {
        if let Err(error) = round(&engine, &work, &identity, &slots, &tracker).await {
            tracing::warn!(stage = %W::STAGE, %error, "due tasks could not be taken; tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(engine.times.tick) => {}
            () = engine.stop.reading.cancelled() => {}
        }
    }
    tracker.close();
    tracker.wait().await;
}

async fn round<W: Work>(
    engine: &Engine,
    work: &Arc<W>,
    identity: &Identity,
    slots: &Arc<Semaphore>,
    tracker: &TaskTracker,
) -> Result<(), LedgerError> {
    let now = engine.ledger.now().await?;
    let most = i64::try_from(AT_ONCE).unwrap_or(8);
    let mut rows = engine.ledger.stalled(W::STAGE, now, most).await?;
    rows.extend(engine.ledger.due(W::STAGE, now, most).await?);
    for row in rows {
        let Ok(slot) = slots.clone().try_acquire_owned() else { break };
        match lease::take(engine, &**work, &identity.name, row.task.id, None).await? {
            Taken::Refused => {}
            Taken::Granted(row) => {
                let (engine, work) = (engine.clone(), work.clone());
                tracker.spawn(async move {
                    run::run(engine, work, *row).await;
                    drop(slot);
                });
            }
        }
    }
    Ok(())
}
