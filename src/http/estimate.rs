//! When a video is likely to be posted: one forecast of all that wait, made at most every two seconds for all who ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::AppState;
use crate::event::Stage;
use crate::forecast::{self, Forecast};
use crate::ledger::{LedgerError, Standing, Status, Video};
use crate::task::State;

const FRESH: Duration = Duration::from_secs(2);
/// Places in a lane that are counted behind what was looked at.
const COUNTED: i64 = 20_000;

#[derive(Default)]
pub(super) struct Estimates {
    last: Mutex<Option<(Instant, Arc<Forecast>)>>,
}

impl Estimates {
    /// One that knows what stood in the ledger at this time.
    pub(super) async fn get(&self, state: &AppState, at_least: i64) -> Result<Arc<Forecast>, LedgerError> {
        let mut last = self.last.lock().await;
        if let Some((made, forecast)) = last.as_ref()
            && made.elapsed() < FRESH
            && forecast.at > at_least
        {
            return Ok(forecast.clone());
        }
        let forecast = Arc::new(forecast::look(&state.ledger, &state.dispatch, &state.stages).await?);
        *last = Some((Instant::now(), forecast.clone()));
        Ok(forecast)
    }
}

/// Not where it has begun or ended, and not while nothing is handed out.
pub(super) fn applies(state: &AppState, video: &Video) -> bool {
    let moves = state.dispatch.streams().is_some_and(|streams| streams.over_quota().is_none());
    moves && matches!(video.status, Status::EditingQueued | Status::Editing | Status::Edited)
}

pub(super) async fn of(state: &AppState, video: &Video) -> Result<Option<i64>, LedgerError> {
    if !applies(state, video) {
        return Ok(None);
    }
    let forecast = state.estimates.get(state, video.updated_at).await?;
    match forecast.of(video.id) {
        Some(at) => Ok(Some(at)),
        None => far_behind(state, video, &forecast).await,
    }
}

/// Deeper in its lane than was looked: so many places behind the last one that was, as far apart as those are.
async fn far_behind(state: &AppState, video: &Video, forecast: &Forecast) -> Result<Option<i64>, LedgerError> {
    for row in state.ledger.open_tasks(&[video.id]).await? {
        if row.task.state != State::Waiting || row.task.stage == Stage::Confirm {
            continue;
        }
        let own = Standing {
            task: row.task.id,
            video: video.id,
            account: row.account,
            creator: row.creator,
            priority: usize::try_from(row.priority).unwrap_or(2).min(2),
            due_at: row.task.due_at,
            publish_at: video.publish_at,
            started_at: None,
            permitted: false,
        };
        let Some(end) = forecast.end(row.task.stage, &own.account, own.priority) else { continue };
        let places = state.ledger.between(row.task.stage, &end.last, &own, COUNTED).await?;
        return Ok((places > 0).then(|| end.behind(places).max(video.publish_at.unwrap_or(0))));
    }
    Ok(None)
}
