//! `GET /api/videos/{id}/events`: what changes about a video, as it changes.
//!
//! The ledger is read once a second. Of each reading the fields that differ from the one before are sent: as `progress`
//! when progress alone moved, else as `status`. The first event carries everything. The stream ends when the video has.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt, stream};
use serde_json::{Map, Value};

use super::owned;
use super::view::VideoView;
use crate::event::VideoId;
use crate::http::extract::Id;
use crate::http::{AppState, Caller, Problem};

pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Follows a video until it ends.
#[utoipa::path(get, path = "/api/videos/{id}/events", tag = "videos", params(("id" = String, Path)),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 404, body = Problem)))]
pub(in crate::http) async fn events(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
) -> Result<impl IntoResponse, Problem> {
    owned(&state, &caller, id).await?;
    let closing = state.closing.clone();
    let changes = changes(state, caller, id).take_until(closing.cancelled_owned());
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    // A proxy that gathers answers would hold events back.
    Ok(([("x-accel-buffering", "no")], Sse::new(changes).keep_alive(keep_alive)))
}

struct Following {
    state: AppState,
    caller: Caller,
    id: VideoId,
    seen: Map<String, Value>,
    ended: bool,
}

fn changes(state: AppState, caller: Caller, id: VideoId) -> impl Stream<Item = Result<Event, Infallible>> {
    let following = Following { state, caller, id, seen: Map::new(), ended: false };
    stream::unfold(following, |mut following| async move {
        loop {
            if following.ended {
                return None;
            }
            if !following.seen.is_empty() {
                tokio::time::sleep(EVERY).await;
            }
            match following.look().await {
                Ok(Some(event)) => return Some((Ok(event), following)),
                Ok(None) => {}
                // The database is away: the browser comes back by itself.
                Err(_) => return None,
            }
        }
    })
}

impl Following {
    async fn look(&mut self) -> Result<Option<Event>, Problem> {
        let video = owned(&self.state, &self.caller, self.id).await?;
        self.ended = video.status.ended();
        let view = VideoView::now(&self.state, &self.caller, &video).await?;
        let Ok(Value::Object(now)) = serde_json::to_value(&view) else { return Ok(None) };
        let told = told(&self.seen, &now);
        self.seen = now;
        Ok(told.map(|(name, changed)| Event::default().event(name).data(Value::Object(changed).to_string())))
    }
}

/// The event's name and the fields that it tells.
pub(super) fn told(
    before: &Map<String, Value>,
    now: &Map<String, Value>,
) -> Option<(&'static str, Map<String, Value>)> {
    let changed = differences(before, now);
    let only = |names: &[&str]| changed.keys().all(|name| names.contains(&name.as_str()));
    // What moves by itself is told with what does not.
    if only(&["updatedAt", "estimatedPostAt"]) {
        return None;
    }
    Some((if only(&["progress", "updatedAt"]) { "progress" } else { "status" }, changed))
}

fn differences(before: &Map<String, Value>, now: &Map<String, Value>) -> Map<String, Value> {
    now.iter()
        .filter(|(name, value)| before.get(*name) != Some(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_changed_is_told() {
        let before = json!({ "status": "EDITING", "progress": 10, "reason": null });
        let now = json!({ "status": "EDITING", "progress": 30, "reason": null });
        let (Value::Object(before), Value::Object(now)) = (before, now) else { unreachable!() };
        assert_eq!(Value::Object(differences(&before, &now)), json!({ "progress": 30 }));
    }
}
