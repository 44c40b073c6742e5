//! Many videos again: a replay of a stream, and the retry of dead letters.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::Refused;
use super::plan::{Act, Commands, Plan, Refusal, agreed, mark, refusal};
use super::turn::{Again, Turn};
use crate::config::StagesConfig;
use crate::event::{Stage, VideoId};
use crate::ledger::{Ledger, TaskRow, Tx, Video};
use crate::limit::{self, Ask, Key, Start};
use crate::relay::Dispatch;

/// How many that wait already are played through to tell how long it takes.
const AHEAD: i64 = 5000;

/// Which videos, and which turn of them.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Each as it was named, and what it is.
    pub videos: Vec<(String, Option<VideoId>)>,
    pub again: Again,
    /// The line of history.
    pub event: &'static str,
    pub by: String,
    pub more: bool,
}

/// A video that gets a new turn, as it was before.
#[derive(Debug, Clone)]
pub struct Replayed {
    pub video: Video,
    pub task: TaskRow,
}

/// All of them that may have another turn get it, in one transaction, or are only told.
pub async fn replay(
    ledger: &Ledger,
    dispatch: &Dispatch,
    stages: &StagesConfig,
    wanted: Wanted,
    act: &Act,
) -> Result<Plan<Replayed>, Refused> {
    let tx = ledger.begin().await?;
    let (mut turns, mut refused): (Vec<Turn>, Vec<Refusal>) = (Vec::new(), Vec::new());
    // By id, so that no two of these wait for each other's rows.
    let mut videos: BTreeMap<VideoId, String> = BTreeMap::new();
    for (name, video) in wanted.videos {
        match video {
            Some(video) => {
                videos.entry(video).or_insert(name);
            }
            None => refused.push(refusal(name, None, Refused::NoSuchVideo)?),
        }
    }
    let mut waiting = waiting_ahead(&tx, wanted.again).await?;
    for (video, name) in videos {
        let turn = async {
            let turn = Turn::of(&tx, video, wanted.again).await?;
            turn.write(&tx, wanted.event, json!({ "by": wanted.by })).await?;
            Ok(turn)
        };
        match turn.await {
            Ok(turn) => turns.push(turn),
            Err(error) => refused.push(refusal(name, Some(video), error)?),
        }
    }
    let mut last_start = None;
    for stage in turns.iter().map(|turn| turn.again.stage).collect::<BTreeSet<_>>() {
        let of_stage = turns.iter().filter(|turn| turn.again.stage == stage);
        let mut starts = waiting.remove(&stage).unwrap_or_default();
        starts.extend(of_stage.map(start));
        last_start = last_start.max(last(ledger, tx.now(), stages, stage, &starts).await?);
    }
    let mut released = Vec::new();
    for stage in turns.iter().map(|turn| turn.again.stage).collect::<BTreeSet<_>>() {
        released.extend(dispatch.release(&tx, stage).await?);
    }
    let mut commands = Commands::default();
    commands.releases(&released, &turns.iter().map(|turn| turn.again.id).collect::<Vec<_>>());
    let accepted =
        turns.iter().map(|turn| format!("{} {:?} {}", turn.again.id, turn.row.task.state, turn.row.task.seq));
    let not = refused.iter().map(|refused| format!("{} {}", refused.id, refused.reason.code));
    let mark = mark(accepted.chain(not));
    let done = agreed(act, &mark)? && !turns.is_empty();
    if done {
        tx.commit().await?;
        dispatch.append(&released).await;
    }
    let accepted = turns.into_iter().map(|turn| Replayed { video: turn.video, task: turn.row }).collect();
    Ok(Plan { mark, done, accepted, refused, commands, last_start, more: wanted.more })
}

/// What stands in the line already.
async fn waiting_ahead(tx: &Tx, again: Again) -> Result<BTreeMap<Stage, Vec<Start>>, Refused> {
    let mut ahead = BTreeMap::new();
    for stage in Stage::STREAMED {
        if matches!(again, Again::Of(wanted) if wanted != stage) {
            continue;
        }
        let counts = tx.stage_counts(stage, tx.now()).await?;
        let number = usize::try_from((counts.waiting + counts.queued).min(AHEAD)).unwrap_or(0);
        ahead.insert(stage, vec![Start { creator: None, due: tx.now() }; number]);
    }
    Ok(ahead)
}

fn start(turn: &Turn) -> Start {
    let creator = (turn.again.stage == Stage::Publish).then(|| turn.row.creator.clone());
    Start { creator, due: turn.again.due_at }
}

/// Read beside the transaction, which would lock the limits that workers need.
async fn last(
    ledger: &Ledger,
    now: i64,
    stages: &StagesConfig,
    stage: Stage,
    starts: &[Start],
) -> Result<Option<i64>, Refused> {
    let config = stages.of(stage);
    let key = if stage == Stage::Edit { Key::Edit } else { Key::Publish };
    let ask = Ask { key, rate: config.limit };
    Ok(limit::last_start(ledger, now, &ask, config.limit_per_account, starts).await?)
}
