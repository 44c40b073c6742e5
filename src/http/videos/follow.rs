//! `GET /api/videos/events`: what changes about several videos, on one connection. A browser has only a few for a server.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use super::events::{EVERY, told};
use super::list::views;
use crate::event::VideoId;
use crate::http::extract::Query;
use crate::http::{AppState, Caller, Problem};
use crate::ledger::Video;

const MOST: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct FollowQuery {
    /// Videos, at most 100, parted by commas. Those that aren't there are not followed.
    ids: String,
}

/// Follows videos until all of them have ended. Each event carries the `id` and what changed, the first of a video everything.
#[utoipa::path(get, path = "/api/videos/events", tag = "videos", params(FollowQuery),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 400, body = Problem)))]
pub(in crate::http) async fn follow(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<FollowQuery>,
) -> Result<impl IntoResponse, Problem> {
    let ids: Vec<VideoId> = query.ids.split(',').filter_map(|id| id.parse().ok()).collect();
    if ids.len() > MOST {
        let text = format!("{} videos are too many; name {MOST} at most", ids.len());
        return Err(Problem::new(StatusCode::BAD_REQUEST, "too_many_ids", text));
    }
    let closing = state.closing.clone();
    let changes = changes(Following { state, caller, ids, seen: HashMap::new(), due: VecDeque::new(), began: false });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    // A proxy that gathers answers would hold events back.
    let headers = [("x-accel-buffering", "no")];
    Ok((headers, Sse::new(changes.take_until(closing.cancelled_owned())).keep_alive(keep_alive)))
}

struct Following {
    state: AppState,
    caller: Caller,
    /// Those that have not ended.
    ids: Vec<VideoId>,
    seen: HashMap<VideoId, Map<String, Value>>,
    due: VecDeque<Event>,
    began: bool,
}

fn changes(following: Following) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(following, |mut following| async move {
        loop {
            if let Some(event) = following.due.pop_front() {
                return Some((Ok(event), following));
            }
            if following.ids.is_empty() {
                return None;
            }
            if following.began {
                tokio::time::sleep(EVERY).await;
            }
            following.began = true;
            // The database is away: the browser comes back by itself.
            Box::pin(following.look()).await.ok()?;
        }
    })
}

impl Following {
    async fn look(&mut self) -> Result<(), Problem> {
        let mut videos = self.state.ledger.videos_with(&self.ids).await?;
        videos.retain(|video| self.caller.owns(video));
        let views = views(&self.state, &self.caller, &videos).await?;
        for (video, view) in videos.iter().zip(views) {
            let Ok(Value::Object(now)) = serde_json::to_value(&view) else { continue };
            let before = self.seen.entry(video.id).or_default();
            if let Some((name, mut changed)) = told(before, &now) {
                changed.insert("id".to_owned(), video.id.to_string().into());
                self.due.push_back(Event::default().event(name).data(Value::Object(changed).to_string()));
            }
            *before = now;
        }
        self.ids = videos.iter().filter(|video| !video.status.ended()).map(|video: &Video| video.id).collect();
        Ok(())
    }
}
