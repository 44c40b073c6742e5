//! A plan as its callers see it: what would be done, what is refused and why, what it costs, how long it takes.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Problem;
use super::videos::{WhyView, time};
use crate::control::plan::{Act, MOST, Plan, Refusal};

/// What every plan says beside what it is about.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlanView {
    /// Nothing was done.
    dry_run: bool,
    /// Stands for this plan: sent back as `plan`, exactly this is done, or 409 `plan_changed`.
    plan: String,
    refused: Vec<RefusedView>,
    commands: CommandsView,
    /// When the limits let the last of them begin, if nothing else is uploaded meanwhile; null where nothing begins.
    last_start_at: Option<String>,
    /// Seconds until then.
    takes_seconds: Option<i64>,
    /// More matched than one act takes (500); do it again for the rest.
    more: bool,
}

/// Redis commands, as its server counts them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CommandsView {
    total: u64,
    /// At once, by the command's name.
    #[schema(value_type = Object)]
    now: BTreeMap<&'static str, u64>,
    /// One XADD each, when there is room, a limit opens or its time has come.
    later: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefusedView {
    /// As it was named.
    id: String,
    video_id: Option<String>,
    reason: WhyView,
}

impl RefusedView {
    pub(super) fn of(refusal: Refusal) -> Self {
        Self { id: refusal.id, video_id: refusal.video.map(|id| id.to_string()), reason: refusal.reason.into() }
    }
}

impl PlanView {
    /// What is common, and what it is about.
    pub(super) fn of<T>(plan: Plan<T>, now: i64) -> (Self, Vec<T>) {
        let Plan { mark, done, accepted, refused, commands, last_start, more } = plan;
        let view = Self {
            dry_run: !done,
            plan: mark,
            refused: refused.into_iter().map(RefusedView::of).collect(),
            commands: CommandsView { total: commands.total(), now: commands.now, later: commands.later },
            last_start_at: last_start.map(time),
            takes_seconds: last_start.map(|last| (last - now).max(0).div_euclid(1000)),
            more,
        };
        (view, accepted)
    }
}

pub(super) fn act(dry_run: bool, plan: Option<String>) -> Act {
    if dry_run { Act::Tell } else { Act::Do { mark: plan } }
}

pub(super) fn at_most(ids: &[String]) -> Result<(), Problem> {
    if ids.len() > MOST {
        let text = format!("{} ids are more than one act takes; name {MOST} at most", ids.len());
        return Err(Problem::new(StatusCode::BAD_REQUEST, "too_many_ids", text));
    }
    Ok(())
}
