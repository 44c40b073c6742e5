//! The one thing that a video waits for, and until when.
//!
//! Asked in the order in which they stand in its way: a running task waits for nothing; then what a person decided
//! (pauses), what its account lacks, what its task was parked for, when it is meant to be posted, the limits, and last
//! its turn.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::videos::time;
use super::{AppState, Problem};
use crate::creator::{self, Allowed};
use crate::event::{Stage, VideoId};
use crate::ledger::{AccountState, LedgerError, Pause, TaskRow, Video};
use crate::limit::{self, Ask, Key, Verdict};
use crate::task::State;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct WaitingFor {
    pub(super) code: String,
    pub(super) text: String,
    /// Null: nobody knows, or a person has to do something first.
    pub(super) until: Option<String>,
    /// With a video that can't be posted as it is asked for: what its creator may choose from instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<Allowed>,
}

impl WaitingFor {
    fn new(code: &str, text: impl Into<String>, until: Option<i64>) -> Self {
        Self { code: code.to_owned(), text: text.into(), until: until.map(time), allowed: None }
    }

    /// Of all of these videos that wait for something.
    pub(super) async fn of(state: &AppState, videos: &[Video]) -> Result<HashMap<VideoId, Self>, Problem> {
        let open: Vec<VideoId> = videos.iter().filter(|video| !video.status.ended()).map(|video| video.id).collect();
        if open.is_empty() {
            return Ok(HashMap::new());
        }
        let tasks = state.ledger.open_tasks(&open).await?;
        let look = Look { state, now: state.ledger.now().await?, pauses: state.ledger.pauses().await? };
        let mut waiting = HashMap::new();
        for video in videos {
            let Some(row) = tasks.iter().find(|row| row.task.video == video.id) else { continue };
            if let Some(one) = look.at(video, row).await? {
                waiting.insert(video.id, one);
            }
        }
        Ok(waiting)
    }
}

struct Look<'s> {
    state: &'s AppState,
    now: i64,
    pauses: Vec<Pause>,
}

impl Look<'_> {
    async fn at(&self, video: &Video, row: &TaskRow) -> Result<Option<WaitingFor>, LedgerError> {
        let task = &row.task;
        if task.state == State::Running {
            return Ok(None);
        }
        if task.stage == Stage::Confirm {
            let until = Some(task.due_at).filter(|&due| due > self.now);
            return Ok(Some(match &task.wait {
                Some(reason) => WaitingFor::new(&reason.code, &reason.text, until),
                None => WaitingFor::new("tiktok_processing", "TikTok is processing the post", until),
            }));
        }
        if self.state.dispatch.streams().is_none() {
            return Ok(Some(WaitingFor::new("redis_disabled", "Redis is disabled (ENABLE_REDIS=false)", None)));
        }
        if self.state.dispatch.streams().is_some_and(|streams| streams.over_quota().is_some()) {
            let text = "Redis' command quota is used up; it moves again by itself when the plan's month begins";
            return Ok(Some(WaitingFor::new("redis_quota", text, None)));
        }
        if task.stage == Stage::Edit && self.state.dispatch.budget().holds_edits() {
            let text =
                "what is left of the month's Redis commands is kept for publishing; editing goes on as the month does";
            return Ok(Some(WaitingFor::new("redis_budget", text, None)));
        }
        if let Some(waiting) = self.paused(row) {
            return Ok(Some(waiting));
        }
        if task.stage == Stage::Publish
            && let Some(account) = self.state.ledger.account_even_removed(&row.account).await?
            && account.state == AccountState::Reconnect
        {
            return Ok(Some(WaitingFor::new(
                "account_reconnect",
                "the TikTok account has to be connected again",
                None,
            )));
        }
        if task.is_held() {
            return Ok(Some(self.held(row).await?));
        }
        if task.state == State::Waiting && task.due_at > self.now {
            return Ok(Some(not_due(video, row)));
        }
        if let Verdict::Closed { until, reason } = limit::look(&self.state.ledger, self.now, &self.asks(row)).await? {
            return Ok(Some(WaitingFor::new(&reason.code, reason.text, Some(until))));
        }
        Ok(Some(match task.state {
            State::Queued => WaitingFor::new("queued", "it is on the stream and waits for a free worker", None),
            _ => WaitingFor::new("turn", "it waits for its turn to be put on the stream", None),
        }))
    }

    async fn held(&self, row: &TaskRow) -> Result<WaitingFor, LedgerError> {
        let known = creator::known(&self.state.ledger, &row.creator).await?;
        let waiting = match &row.task.wait {
            Some(reason) => WaitingFor::new(&reason.code, &reason.text, None),
            None => WaitingFor::new("held", "its creator has to decide how it is to be posted", None),
        };
        Ok(WaitingFor { allowed: known.map(|known| Allowed::from(&known.info)), ..waiting })
    }

    fn paused(&self, row: &TaskRow) -> Option<WaitingFor> {
        let (stage, account) = (Pause::name_of_stage(row.task.stage), Pause::name_of_account(&row.account));
        let holding = |name: &String| self.pauses.iter().find(|pause| pause.name == *name && pause.holds_at(self.now));
        let (code, what, pause) = match holding(&stage) {
            Some(pause) => {
                ("stage_paused", if row.task.stage == Stage::Edit { "editing" } else { "publishing" }, pause)
            }
            None => ("account_paused", "the account", holding(&account)?),
        };
        let text = if pause.reason.is_empty() {
            format!("{what} is paused")
        } else {
            format!("{what} is paused: {}", pause.reason)
        };
        Some(WaitingFor::new(code, text, pause.until))
    }

    fn asks(&self, row: &TaskRow) -> Vec<Ask> {
        let config = self.state.stages.of(row.task.stage);
        match row.task.stage {
            Stage::Edit => vec![Ask { key: Key::Edit, rate: config.limit }],
            Stage::Publish | Stage::Confirm => vec![
                Ask { key: Key::Publish, rate: config.limit },
                Ask { key: Key::Creator(row.creator.clone()), rate: config.limit_per_account },
            ],
        }
    }
}

fn not_due(video: &Video, row: &TaskRow) -> WaitingFor {
    let due = Some(row.task.due_at);
    match &row.task.wait {
        Some(reason) => WaitingFor::new(&reason.code, &reason.text, due),
        None if row.task.stage == Stage::Publish && video.publish_at.is_some() => {
            WaitingFor::new("scheduled", "it is to be posted at the time that was chosen", video.publish_at)
        }
        None => WaitingFor::new("not_due", "it waits for its time", due),
    }
}
