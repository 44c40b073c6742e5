//! `/api/dead`: what failed for good, why, and what can be done about it. For operators.
//!
//! A dead letter is a failed video with the task that it ended in, or an entry that could not be read. What waits for a
//! person's word (NEEDS_REVIEW) is none: that is `resolve`'s.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Query, Text};
use super::monitor::{ReplayedView, stages};
use super::plan::{PlanView, RefusedView, act, at_most};
use super::videos::{TimelineLine, WhyView, time};
use super::{Access, AppState, Caller, Problem};
use crate::control::Again;
use crate::control::dismiss::{Dropped, Named, dismiss};
use crate::control::plan::{Act, MOST};
use crate::control::replay::{Wanted, replay};
use crate::event::Stage;
use crate::ledger::{DeadEntry, DeadFilter, DeadLetter, DeadPage};

const MOST_LISTED: usize = 100;
const MOST_ENTRIES: i64 = 100;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/dead", get(list))
        .route("/api/dead/{id}", get(show))
        .route("/api/dead/retry", post(retry))
        .route("/api/dead/drop", post(drop_letters))
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LetterView {
    /// The video's.
    id: String,
    task_id: String,
    account_id: String,
    title: String,
    /// In which it ended.
    #[schema(value_type = String)]
    stage: Stage,
    /// Of the stage: that of publishing also where confirming failed.
    stream: &'static str,
    reason: WhyView,
    /// Faults of this video.
    attempts: u32,
    /// Workers that died over it, in a row.
    takeovers: u32,
    ended_at: Option<String>,
}

/// Something on a stream that is no entry of ours.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryView {
    /// By which it can be dropped.
    id: String,
    stream: String,
    entry: String,
    reason: WhyView,
    /// What stood in it, as JSON.
    fields: String,
    at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadAnswer {
    /// Newest upload first.
    dead: Vec<LetterView>,
    /// On the first page: entries that could not be read, newest first.
    entries: Vec<EntryView>,
    /// The next page's cursor; null on the last page.
    next: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneAnswer {
    dead: LetterView,
    /// Why a retry would be refused; null: it can be tried again.
    refused: Option<RefusedView>,
    timeline: Vec<TimelineLine>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct DeadQuery {
    /// video.uploaded or video.edited; both without it.
    stream: Option<String>,
    /// Part of the title, the reason or the account, or a whole id.
    q: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// 1 to 100; 50 without it.
    limit: Option<usize>,
}

/// Which dead letters: those with these ids, or all that the rest names.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct DeadBody {
    /// Videos, tasks, entries, or ids of entries that could not be read.
    ids: Vec<String>,
    /// All of them, as far as `stream` and `q` say; ids are left out then.
    all: bool,
    stream: Option<String>,
    q: Option<String>,
    /// Tell the plan, and change nothing.
    dry_run: bool,
    /// The plan that is agreed to.
    plan: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RetryAnswer {
    #[serde(flatten)]
    common: PlanView,
    retried: Vec<ReplayedView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DropAnswer {
    #[serde(flatten)]
    common: PlanView,
    /// Ids of videos and of entries.
    dropped: Vec<String>,
}

impl LetterView {
    fn of(letter: DeadLetter) -> Self {
        let DeadLetter { video, task } = letter;
        let stage = task.task.stage;
        Self {
            id: video.id.to_string(),
            task_id: task.task.id.to_string(),
            account_id: video.account,
            title: video.title,
            stage,
            stream: stage.stream().or(Stage::Publish.stream()).unwrap_or_default(),
            reason: video.reason.map(WhyView::from).unwrap_or_default(),
            attempts: task.task.attempts,
            takeovers: task.task.takeovers,
            ended_at: video.ended_at.map(time),
        }
    }
}

impl EntryView {
    fn of(entry: DeadEntry) -> Self {
        Self {
            id: entry_id(&entry.stream, &entry.entry),
            reason: WhyView::new("undecodable", &entry.reason),
            fields: entry.fields,
            at: time(entry.at),
            stream: entry.stream,
            entry: entry.entry,
        }
    }
}

fn entry_id(stream: &str, entry: &str) -> String {
    format!("{stream}:{entry}")
}

/// The stages whose dead letters belong to a stream: what is posted is confirmed without one.
fn dead_stages(stream: Option<&str>) -> Result<Vec<Stage>, Problem> {
    let mut chosen = stages(stream)?;
    if chosen.contains(&Stage::Publish) {
        chosen.push(Stage::Confirm);
    }
    Ok(chosen)
}

fn text(q: Option<String>) -> Option<String> {
    q.filter(|text| !text.is_empty())
}

/// Lists dead letters with their reasons.
#[utoipa::path(get, path = "/api/dead", tag = "monitor", params(DeadQuery),
    responses((status = 200, body = DeadAnswer), (status = 403, body = Problem)))]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<DeadQuery>,
) -> Result<Json<DeadAnswer>, Problem> {
    caller.may(Access::Operate)?;
    let limit = query.limit.unwrap_or(50);
    if !(1..=MOST_LISTED).contains(&limit) {
        let text = format!("limit has to be from 1 to {MOST_LISTED}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "limit_invalid", text));
    }
    let cursor = query.cursor.as_deref().map(str::parse).transpose().map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, "cursor_invalid", "cursor has to be the `next` of a page")
    })?;
    let stages = dead_stages(query.stream.as_deref())?;
    let filter = DeadFilter { stages: stages.clone(), text: text(query.q), cursor, limit };
    let entries = if cursor.is_none() { entries(&state, &filter).await? } else { Vec::new() };
    let DeadPage { letters, next } = state.ledger.dead_letters(&filter).await?;
    Ok(Json(DeadAnswer {
        dead: letters.into_iter().map(LetterView::of).collect(),
        entries: entries.into_iter().map(EntryView::of).collect(),
        next: next.map(|next| next.to_string()),
    }))
}

async fn entries(state: &AppState, filter: &DeadFilter) -> Result<Vec<DeadEntry>, Problem> {
    let text = filter.text.as_deref().map(str::to_lowercase);
    let mut entries = state.ledger.dead_entries(MOST_ENTRIES).await?;
    entries.retain(|entry| {
        let fits = |text: &String| {
            [&entry.entry, &entry.reason, &entry.fields].iter().any(|one| one.to_lowercase().contains(text))
        };
        filter.stages.iter().any(|stage| stage.stream() == Some(entry.stream.as_str()))
            && text.as_ref().is_none_or(fits)
    });
    Ok(entries)
}

/// One dead letter: its history, and whether it can be tried again.
#[utoipa::path(get, path = "/api/dead/{id}", tag = "monitor", params(("id" = String, Path)),
    responses((status = 200, body = OneAnswer), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Text(id): Text,
) -> Result<Json<OneAnswer>, Problem> {
    caller.may(Access::Operate)?;
    let video = state.ledger.video_named(&id).await?.ok_or_else(not_dead)?;
    let letter = state.ledger.dead_of(&[video]).await?.pop().ok_or_else(not_dead)?;
    let wanted = retry_of(vec![(id, Some(video))], false, &caller);
    let plan = replay(&state.ledger, &state.dispatch, &state.stages, wanted, &Act::Tell).await?;
    let lines = state.ledger.history(video).await?;
    Ok(Json(OneAnswer {
        dead: LetterView::of(letter),
        refused: plan.refused.into_iter().next().map(RefusedView::of),
        timeline: lines.into_iter().map(TimelineLine::from).collect(),
    }))
}

fn not_dead() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_dead", "there is no such dead letter")
}

/// Tries dead letters again where they ended. What may have been posted is refused.
#[utoipa::path(post, path = "/api/dead/retry", tag = "monitor", request_body = DeadBody,
    responses((status = 200, body = RetryAnswer), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn retry(
    State(state): State<AppState>,
    caller: Caller,
    Body(body): Body<DeadBody>,
) -> Result<Json<RetryAnswer>, Problem> {
    caller.may(Access::Operate)?;
    let (named, more) = named(&state, &body).await?;
    let mut videos = Vec::new();
    for one in named {
        match one {
            Named::Video(name, video) => videos.push((name, video)),
            // What can't be read stands for no video; the plan says that there is none.
            Named::Entry { id, .. } => videos.push((id, None)),
        }
    }
    let wanted = retry_of(videos, more, &caller);
    let act = act(body.dry_run, body.plan);
    let plan = replay(&state.ledger, &state.dispatch, &state.stages, wanted, &act).await?;
    let (common, retried) = PlanView::of(plan, state.ledger.now().await?);
    Ok(Json(RetryAnswer { common, retried: retried.into_iter().map(ReplayedView::of).collect() }))
}

fn retry_of(videos: Vec<(String, Option<crate::event::VideoId>)>, more: bool, caller: &Caller) -> Wanted {
    Wanted { videos, again: Again::OfDeadLetter, event: "tried again", by: caller.key.user.clone(), more }
}

/// Drops dead letters: the videos stay failed, with their reasons and history.
#[utoipa::path(post, path = "/api/dead/drop", tag = "monitor", request_body = DeadBody,
    responses((status = 200, body = DropAnswer), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn drop_letters(
    State(state): State<AppState>,
    caller: Caller,
    Body(body): Body<DeadBody>,
) -> Result<Json<DropAnswer>, Problem> {
    caller.may(Access::Operate)?;
    let (named, more) = named(&state, &body).await?;
    let act = act(body.dry_run, body.plan);
    let plan = dismiss(&state.ledger, named, more, &caller.key.user, &act).await?;
    let (common, dropped) = PlanView::of(plan, state.ledger.now().await?);
    let id = |dropped| match dropped {
        Dropped::Letter(letter) => letter.video.id.to_string(),
        Dropped::Entry { id } => id,
    };
    Ok(Json(DropAnswer { common, dropped: dropped.into_iter().map(id).collect() }))
}

/// What a body names, and whether there are more than one act takes.
async fn named(state: &AppState, body: &DeadBody) -> Result<(Vec<Named>, bool), Problem> {
    at_most(&body.ids)?;
    if body.all != body.ids.is_empty() {
        let text = "name ids, or say \"all\": true (with stream and q, if not all of them are meant)";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "ids_or_all", text));
    }
    let stages = dead_stages(body.stream.as_deref())?;
    if body.all {
        let filter = DeadFilter { stages, text: text(body.q.clone()), cursor: None, limit: MOST };
        let DeadPage { letters, next } = state.ledger.dead_letters(&filter).await?;
        let videos = letters.into_iter().map(|one| Named::Video(one.video.id.to_string(), Some(one.video.id)));
        return Ok((videos.collect(), next.is_some()));
    }
    let mut named = Vec::new();
    for id in &body.ids {
        match id.split_once(':') {
            Some((stream, entry)) if !id.contains('\0') => {
                let (stream, entry) = (stream.to_owned(), entry.to_owned());
                named.push(Named::Entry { id: id.clone(), stream, entry });
            }
            _ => named.push(Named::Video(id.clone(), state.ledger.video_named(id).await?)),
        }
    }
    Ok((named, false))
}
