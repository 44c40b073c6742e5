//! The loop of a stage that has no stream: its tasks are taken from the ledger when they are due. They hold neither slot
//! nor permit of another stage, and cost no Redis command.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::lease::{self, Taken};
use super::overdue::Overdue;
use super::{Engine, Identity, Work, run};
use crate::event::TaskId;
use crate::ledger::LedgerError;

/// Questions to TikTok at once, per process.
const AT_ONCE: usize = 8;

/// Stalled tasks that are looked at at once.
const STALLED: i64 = 200;

/// Works until the stop, then until what runs has ended or was handed back.
pub async fn work<W: Work>(engine: Engine, work: Arc<W>) {
    let identity = Identity::new(W::STAGE);
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let tracker = TaskTracker::new();
    let in_hand = InHand::default();
    let mut overdue = Overdue::of(&engine);
    while !engine.stop.reading.is_cancelled() {
        engine.health.beat(W::STAGE.as_str());
        if let Err(error) = round(&engine, &work, &identity, (&slots, &in_hand, &mut overdue), &tracker).await {
            error.tell("due tasks could not be taken; tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(engine.times.tick) => {}
            () = engine.stop.reading.cancelled() => {}
        }
    }
    tracker.close();
    tracker.wait().await;
}

/// The tasks that run in this process. What runs here may have been kept from renewing, by a database that was away, and
/// is then not taken for a dead worker's.
type InHand = Arc<Mutex<HashSet<TaskId>>>;

async fn round<W: Work>(
    engine: &Engine,
    work: &Arc<W>,
    identity: &Identity,
    (slots, in_hand, overdue): (&Arc<Semaphore>, &InHand, &mut Overdue),
    tracker: &TaskTracker,
) -> Result<(), LedgerError> {
    let now = engine.ledger.now().await?;
    let most = i64::try_from(AT_ONCE).unwrap_or(8);
    let mut rows =
        overdue.ripe(engine.ledger.stalled(W::STAGE, now, STALLED).await?, Instant::now(), engine.ledger.calm_for());
    rows.extend(engine.ledger.due(W::STAGE, now, most).await?);
    rows.retain(|row| !hands(in_hand).contains(&row.task.id));
    for row in rows {
        let Ok(slot) = slots.clone().try_acquire_owned() else { break };
        match lease::take(engine, &**work, &identity.name, row.task.id, None).await? {
            Taken::Refused | Taken::Elsewhere | Taken::SetAside => {}
            Taken::Granted(row) => {
                let (engine, work, id) = (engine.clone(), work.clone(), row.task.id);
                let held = Held { in_hand: in_hand.clone(), id };
                hands(in_hand).insert(id);
                tracker.spawn(async move {
                    run::run(engine, work, *row).await;
                    drop((held, slot));
                });
            }
        }
    }
    Ok(())
}

fn hands(in_hand: &InHand) -> MutexGuard<'_, HashSet<TaskId>> {
    in_hand.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Out of hand when it is dropped, also by a panic.
struct Held {
    in_hand: InHand,
    id: TaskId,
}

impl Drop for Held {
    fn drop(&mut self) {
        hands(&self.in_hand).remove(&self.id);
    }
}
