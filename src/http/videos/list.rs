//! `GET /api/videos`: newest first, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::view::VideoView;
use crate::http::extract::Query;
use crate::http::waiting::WaitingFor;
use crate::http::{AppState, Caller, Problem, estimate};
use crate::ledger::{ListFilter, Video, VideoPage};

const MOST: u32 = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(in crate::http) struct ListQuery {
    status: Option<String>,
    account_id: Option<String>,
    /// Part of the title, the reason or the account's name; or a whole status, reason's code or id. For viewers a whole id alone.
    q: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// 1 to 100; 50 without it.
    limit: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Videos {
    videos: Vec<VideoView>,
    /// The next page's cursor; null on the last page. Where `q` matches few of many videos a page may hold fewer than
    /// `limit`, also none, and still have a next one.
    next: Option<String>,
}

/// Lists videos: a creator's own, everybody's for operators and (without titles) viewers.
#[utoipa::path(get, path = "/api/videos", tag = "videos", params(ListQuery), responses((status = 200, body = Videos)))]
pub(in crate::http) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Videos>, Problem> {
    let wrong = |code: &str, text: String| Problem::new(StatusCode::BAD_REQUEST, code, text);
    let limit = query.limit.unwrap_or(50);
    if !(1..=MOST).contains(&limit) {
        return Err(wrong("limit_invalid", format!("limit has to be from 1 to {MOST}")));
    }
    // PostgreSQL refuses a NUL in what it is asked, and no text holds one.
    if [&query.q, &query.account_id].into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(wrong("query_invalid", "the query holds a NUL character".to_owned()));
    }
    let text = query.q.filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| !caller.reads_content() && uuid::Uuid::parse_str(text).is_err()) {
        return Err(Problem::forbidden("a viewer's key doesn't search texts; q has to be a whole id"));
    }
    let status = query.status.map(|status| status.parse()).transpose();
    let cursor = query.cursor.map(|cursor| cursor.parse()).transpose();
    let filter = ListFilter {
        user: caller.sees().map(str::to_owned),
        status: status.map_err(|text: String| wrong("status_invalid", text))?,
        account: query.account_id,
        text,
        cursor: cursor.map_err(|_| wrong("cursor_invalid", "cursor has to be the `next` of a page".to_owned()))?,
        limit,
    };
    let VideoPage { videos, next } = state.ledger.videos(&filter).await?;
    let next = next.map(|next| next.to_string());
    Ok(Json(Videos { videos: views(&state, &caller, &videos).await?, next }))
}

/// Each with what it waits for, and when its post is likely to be begun.
pub(super) async fn views(state: &AppState, caller: &Caller, videos: &[Video]) -> Result<Vec<VideoView>, Problem> {
    let mut waiting = WaitingFor::of(state, videos).await?;
    let open = videos.iter().any(|video| !video.status.ended());
    let forecast = if open { state.estimates.get(state, 0).await? } else { Arc::default() };
    let estimate = |video: &Video| forecast.of(video.id).filter(|_| estimate::applies(state, video));
    let view = |video: &Video| VideoView::of(video, caller, (waiting.remove(&video.id), estimate(video)));
    Ok(videos.iter().map(view).collect())
}
