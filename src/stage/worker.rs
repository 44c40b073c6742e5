//! A worker's name, and its sign of life.

use tokio::time::MissedTickBehavior;
use tokio_util::task::TaskTracker;

use super::{Engine, settle};
use crate::event::Stage;
use crate::ledger::{LedgerError, Worker};

/// Host, process id and a random part: no two workers share a name, also not after a restart. It is the consumer's name
/// on the stream too.
#[derive(Debug, Clone)]
pub struct Identity {
    pub name: String,
    host: String,
    stage: Stage,
}

impl Identity {
    pub fn new(stage: Stage) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = format!("{host}-{}-{stage}-{:08x}", std::process::id(), rand::random::<u32>());
        Self { name, host, stage }
    }
}

/// Says that the worker is alive until the stop; then takes its row away.
pub(super) async fn heartbeat(engine: &Engine, identity: &Identity, running: &TaskTracker) {
    let mut tick = tokio::time::interval(engine.times.heartbeat);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = engine.stop.reading.cancelled() => return,
        }
        if let Err(error) = seen(engine, identity, running).await {
            error.tell("the worker's sign of life could not be written");
        }
        settle::acknowledge_due(engine, identity.stage).await;
    }
}

pub(super) async fn seen(engine: &Engine, identity: &Identity, running: &TaskTracker) -> Result<(), LedgerError> {
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let tx = engine.ledger.begin().await?;
    tx.seen(&Worker {
        name: identity.name.clone(),
        stage: identity.stage.to_string(),
        host: identity.host.clone(),
        pid: i64::from(std::process::id()),
        slots: number(engine.config.concurrency),
        busy: number(running.len()),
        started_at: tx.now(),
        seen_at: tx.now(),
    })
    .await?;
    tx.commit().await
}

pub(super) async fn left(engine: &Engine, identity: &Identity) {
    let gone = async {
        let tx = engine.ledger.begin().await?;
        tx.worker_left(&identity.name).await?;
        tx.commit().await
    };
    if let Err(error) = gone.await {
        error.tell("the worker's row could not be taken away; it will be forgotten");
    }
}
