//! When a video will be posted, as far as can be told now.
//!
//! The data: what stands in each stage's [`Queue`], how fast the stage goes ([`Pace`]), and nothing else. `line::starts` plays
//! the ordered release and the limits through on it, with the very functions that they run by, and tells when each task
//! begins. Editing comes first; what it will have done arrives at publishing. A pure function; whoever asks reads the
//! ledger first, which is a bounded question.
//!
//! It knows of no video that comes later, of no fault, and of no run that takes longer than those of late. On what it
//! knows it is right to a few seconds (`tests/it/ledger/forecast.rs`): the order is the release's own.

mod line;
mod look;

use std::collections::HashMap;

use crate::config::Rate;
use crate::event::{Stage, TaskId, VideoId};
use crate::ledger::{LimitRow, Queue, Standing};
use crate::limit;

pub use look::look;

/// How fast a stage goes, and what holds it up. Times are milliseconds on the ledger's clock.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    pub limit: Option<Rate>,
    pub row: LimitRow,
    pub per_creator: Option<Rate>,
    /// By creator; who has no row has taken no permit yet.
    pub creators: HashMap<String, LimitRow>,
    /// How many may be out on the stream.
    pub room: usize,
    pub slots: usize,
    /// What one run takes.
    pub run: i64,
    /// Until when a person has paused it.
    pub paused: Hold,
    /// Accounts that are paused or have to be connected again.
    pub held: HashMap<String, Hold>,
}

/// Until when something stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    #[default]
    Free,
    Until(i64),
    /// Nobody knows: a person has to do something.
    Open,
}

impl Hold {
    /// From when on it goes; None: nobody knows.
    pub fn over_at(self, now: i64) -> Option<i64> {
        match self {
            Hold::Free => Some(now),
            Hold::Until(until) => Some(until.max(now)),
            Hold::Open => None,
        }
    }
}

/// What is expected of all that wait, as it was at one moment.
#[derive(Debug, Clone, Default)]
pub struct Forecast {
    pub at: i64,
    posts: HashMap<VideoId, i64>,
    /// The last of each lane that was looked at: stage, account and priority name it.
    ends: HashMap<(Stage, String, usize), End>,
}

/// Where a lane was cut off, and how far apart its last ones are.
#[derive(Debug, Clone)]
pub struct End {
    pub last: Standing,
    at: i64,
    apart: i64,
}

impl End {
    /// The one that stands so far behind it.
    pub fn behind(&self, places: i64) -> i64 {
        self.at + places.saturating_mul(self.apart)
    }
}

impl Forecast {
    /// When the post of this video will be begun.
    pub fn of(&self, video: VideoId) -> Option<i64> {
        self.posts.get(&video).copied()
    }

    /// For one that stands deeper in its lane than was looked.
    pub fn end(&self, stage: Stage, account: &str, priority: usize) -> Option<&End> {
        self.ends.get(&(stage, account.to_owned(), priority))
    }
}

/// Plays both stages through from `now` on.
pub fn forecast(now: i64, edit: (Queue, &Pace), publish: (Queue, &Pace)) -> Forecast {
    let ((edit, edit_pace), (mut publish, publish_pace)) = (edit, publish);
    let lanes = [lanes(&edit), lanes(&publish)];
    let begun = edit.running.iter().map(|one| (one.clone(), one.started_at.unwrap_or(now)));
    let mut done: Vec<(Standing, i64)> = begun.collect();
    let known: Vec<Standing> = edit.waiting.iter().chain(&edit.queued).cloned().collect();
    let starts = line::starts(now, edit, edit_pace);
    done.extend(known.into_iter().filter_map(|one| starts.get(&one.task).map(|&at| (one, at))));
    for (one, started) in done {
        let due_at = (started + edit_pace.run).max(now).max(one.publish_at.unwrap_or(0));
        publish.waiting.push(Standing { due_at, started_at: None, permitted: false, ..one });
    }
    let all: Vec<(VideoId, TaskId)> =
        publish.waiting.iter().chain(&publish.queued).map(|one| (one.video, one.task)).collect();
    let starts = line::starts(now, publish, publish_pace);
    let posts: HashMap<VideoId, i64> =
        all.into_iter().filter_map(|(video, task)| Some((video, *starts.get(&task)?))).collect();
    let mut forecast = Forecast { at: now, ends: HashMap::new(), posts };
    for (stage, lanes) in Stage::STREAMED.into_iter().zip(lanes) {
        for ((account, priority), lane) in lanes {
            if let Some(end) = end(&lane, &forecast.posts, publish_pace) {
                forecast.ends.insert((stage, account, priority), end);
            }
        }
    }
    forecast
}

fn lanes(queue: &Queue) -> HashMap<(String, usize), Vec<Standing>> {
    let mut lanes: HashMap<_, Vec<Standing>> = HashMap::new();
    for one in &queue.waiting {
        lanes.entry((one.account.clone(), one.priority)).or_default().push(one.clone());
    }
    lanes
}

fn end(lane: &[Standing], posts: &HashMap<VideoId, i64>, pace: &Pace) -> Option<End> {
    let last = lane.last()?;
    let at = *posts.get(&last.video)?;
    let first = posts.get(&lane.first()?.video).copied().unwrap_or(at);
    let seen = (at - first) / i64::try_from(lane.len() - 1).unwrap_or(1).max(1);
    let allowed = pace.per_creator.map_or(0, limit::apart);
    Some(End { last: last.clone(), at, apart: seen.max(allowed) })
}
