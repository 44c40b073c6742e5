//! How many runs of a stage there could be now: the one number by which workers are scaled.
//!
//! Parked tasks, those of paused creators and those that a limit holds up are no demand: more workers would only stand
//! beside them.

use crate::event::Stage;
use crate::http::AppState;
use crate::ledger::{LedgerError, Pause};
use crate::limit::{self, Ask, Key};

pub(super) async fn of(state: &AppState, stage: Stage, running: i64, now: i64) -> Result<i64, LedgerError> {
    if state.ledger.paused(&Pause::name_of_stage(stage)).await?.is_some() {
        return Ok(running);
    }
    let config = state.stages.of(stage);
    let ready = state.ledger.ready(stage, config.limit_per_account.map(|rate| rate.count), now).await?;
    let key = if stage == Stage::Edit { Key::Edit } else { Key::Publish };
    let open = limit::open(&state.ledger, now, &Ask { key, rate: config.limit }).await?;
    let may_start =
        open.and_then(|open| i64::try_from(open).ok()).map_or(ready.limited, |open| ready.limited.min(open));
    Ok(running + ready.resuming + may_start)
}
