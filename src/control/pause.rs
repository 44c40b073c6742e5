//! Pausing a stage or an account, and letting it go on.

use super::{Refused, impossible};
use crate::event::Stage;
use crate::ledger::{Ledger, Pause};
use crate::relay::Dispatch;

/// From now until its time, or until somebody resumes it; takes the place of an earlier pause. What is under way finishes.
/// Workers look at it before they begin anything, so it takes effect within a second.
pub async fn pause(ledger: &Ledger, pause: &Pause) -> Result<(), Refused> {
    let tx = ledger.begin().await?;
    if pause.until.is_some_and(|until| until <= tx.now()) {
        return Err(impossible("until_over", "the time until which it shall be paused is over already"));
    }
    tx.put_pause(pause).await?;
    tx.commit().await?;
    tracing::info!(what = pause.name, until = pause.until, reason = pause.reason, by = pause.set_by, "paused");
    Ok(())
}

/// Ends a pause, and releases at once what waited for that. False: there was none.
pub async fn resume(ledger: &Ledger, dispatch: &Dispatch, name: &str, by: &str) -> Result<bool, Refused> {
    let tx = ledger.begin().await?;
    let held = tx.paused(name).await?.is_some();
    tx.remove_pause(name).await?;
    let mut released = Vec::new();
    for stage in Stage::STREAMED {
        released.extend(dispatch.release(&tx, stage).await?);
    }
    tx.commit().await?;
    if held {
        tracing::info!(what = name, by, "resumed");
    }
    dispatch.append(&released).await;
    Ok(held)
}
