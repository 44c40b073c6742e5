//! What a forecast is made of, read from the ledger.

use std::collections::HashMap;

use super::{Forecast, Hold, Pace, forecast};
use crate::config::StagesConfig;
use crate::event::Stage;
use crate::ledger::{Ledger, LedgerError, LimitRow, Pause, Queue};
use crate::limit::Key;
use crate::relay::Dispatch;

/// What a run takes where none was seen yet: milliseconds.
const EDIT_RUN: i64 = 30_000;
const PUBLISH_RUN: i64 = 10_000;

pub async fn look(ledger: &Ledger, dispatch: &Dispatch, stages: &StagesConfig) -> Result<Forecast, LedgerError> {
    let now = ledger.now().await?;
    let (edit, publish) = (ledger.queue(Stage::Edit).await?, ledger.queue(Stage::Publish).await?);
    let holds = Holds { now, pauses: ledger.pauses().await?, lost: ledger.lost_accounts().await? };
    let runs = ledger.typical_runs().await?;
    let pace = |stage: Stage, queue: &Queue, row: LimitRow, otherwise: i64| {
        let config = stages.of(stage);
        Pace {
            limit: config.limit,
            row,
            per_creator: config.limit_per_account,
            creators: HashMap::new(),
            room: usize::try_from(dispatch.room(stage).queued).unwrap_or(0),
            slots: dispatch.slots(stage),
            run: runs.get(&stage).copied().unwrap_or(otherwise),
            paused: holds.of_stage(stage),
            held: holds.of_accounts(stage, queue),
        }
    };
    let edit_pace = pace(Stage::Edit, &edit, ledger.limit(&Key::Edit.to_string()).await?, EDIT_RUN);
    let row = ledger.limit(&Key::Publish.to_string()).await?;
    let mut publish_pace = pace(Stage::Publish, &publish, row, PUBLISH_RUN);
    publish_pace.held.extend(holds.of_accounts(Stage::Publish, &edit));
    publish_pace.creators = ledger.limits_of(&creators([&edit, &publish])).await?;
    Ok(forecast(now, (edit, &edit_pace), (publish, &publish_pace)))
}

fn creators(queues: [&Queue; 2]) -> Vec<String> {
    let all = queues.into_iter().flat_map(|queue| queue.waiting.iter().chain(&queue.queued).chain(&queue.running));
    let mut creators: Vec<String> = all.map(|one| one.creator.clone()).collect();
    creators.sort_unstable();
    creators.dedup();
    creators
}

struct Holds {
    now: i64,
    pauses: Vec<Pause>,
    lost: Vec<String>,
}

impl Holds {
    fn named(&self, name: &str) -> Hold {
        let pause = self.pauses.iter().find(|pause| pause.name == name && pause.holds_at(self.now));
        pause.map_or(Hold::Free, |pause| pause.until.map_or(Hold::Open, Hold::Until))
    }

    fn of_stage(&self, stage: Stage) -> Hold {
        self.named(&Pause::name_of_stage(stage))
    }

    /// Of the accounts in this queue. Editing needs no token.
    fn of_accounts(&self, stage: Stage, queue: &Queue) -> HashMap<String, Hold> {
        let all = queue.waiting.iter().chain(&queue.queued).chain(&queue.running);
        all.map(|one| {
            let lost = stage == Stage::Publish && self.lost.contains(&one.account);
            let hold = if lost { Hold::Open } else { self.named(&Pause::name_of_account(&one.account)) };
            (one.account.clone(), hold)
        })
        .collect()
    }
}
