//! The relay's loop.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::Dispatch;
use crate::event::Stage;
use crate::ledger::{Ledger, LedgerError};
use crate::limit;
use crate::outage::Outage;
use crate::stage::{Engine, doubt, millis};

/// How long an entry must have been over before the stream may be trimmed behind it.
const TRIM_MARGIN: i64 = 60_000;
/// Workers that were not seen for so long are forgotten.
const FORGET: i64 = 3_600_000;

/// Every second: releases what is due, doubts what was overtaken. Every few seconds: counts the slots of the workers
/// that are alive, and finds how far the streams may be trimmed. Asks the ledger only.
pub async fn run(engine: Engine) {
    let mut tick = tokio::time::interval(engine.times.tick);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seldom = Instant::now();
    let mut refitted = false;
    // Not the database's own, of which the ledger tells.
    let outage = Outage::of("relaying");
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = engine.stop.reading.cancelled() => return,
        }
        engine.health.beat("relay");
        if let Some(streams) = engine.dispatch.streams() {
            streams.ask_again().await;
            streams.look_for_lost();
        }
        let done = async {
            if !refitted {
                let tx = engine.ledger.begin().await?;
                limit::refit(&tx, engine.dispatch.per_creator()).await?;
                tx.commit().await?;
                refitted = true;
            }
            if Instant::now() >= seldom {
                look_around(&engine).await?;
                seldom = Instant::now() + engine.times.heartbeat;
            }
            // One question while nothing is to be done, which is what most relays of a fleet find.
            let now = engine.ledger.now().await?;
            if engine.ledger.relay_is_wanted(now, millis(engine.times.doubt)).await? {
                for stage in Stage::STREAMED {
                    relay(&engine, stage).await?;
                }
            }
            Ok::<_, LedgerError>(())
        };
        match done.await {
            Ok(()) => outage.worked(),
            Err(LedgerError::Unavailable(error)) => tracing::debug!(%error, "the relay waits for the database"),
            Err(error) => outage.failed(&error),
        }
    }
}

async fn relay(engine: &Engine, stage: Stage) -> Result<(), LedgerError> {
    let overtaken = doubt::overtaken(engine, stage).await?;
    if overtaken > 0 {
        tracing::warn!(%stage, tasks = overtaken, "released tasks were overtaken, so their entries are lost; they are released anew");
    }
    release_due(&engine.ledger, &engine.dispatch, stage).await
}

/// Releases what is due and has room.
pub async fn release_due(ledger: &Ledger, dispatch: &Dispatch, stage: Stage) -> Result<(), LedgerError> {
    if !dispatch.releases(stage) || !ledger.anything_due(stage, ledger.now().await?).await? {
        return Ok(());
    }
    let tx = ledger.begin().await?;
    let released = dispatch.release(&tx, stage).await?;
    tx.commit().await?;
    dispatch.append(&released).await;
    Ok(())
}

async fn look_around(engine: &Engine) -> Result<(), LedgerError> {
    let now = engine.ledger.now().await?;
    let since = now - millis(engine.times.alive.max(Duration::from_secs(1)));
    for stage in Stage::STREAMED {
        engine.dispatch.saw_slots(stage, engine.ledger.slots(stage, since).await?);
        if let Some(streams) = engine.dispatch.streams() {
            streams.may_trim(stage, engine.ledger.trim_bound(stage, now, TRIM_MARGIN).await?);
        }
    }
    let tx = engine.ledger.begin().await?;
    tx.forget_workers(now - FORGET).await?;
    tx.commit().await
}
