//! `/api/videos`: what uploads, shows, follows, streams and controls videos.

mod attempts;
pub(super) mod bytes;
pub(super) mod control;
pub(super) mod events;
pub(super) mod explain;
pub(super) mod follow;
pub(super) mod list;
pub(super) mod options;
mod post_state;
pub(super) mod show;
pub(super) mod upload;
mod view;

pub(super) use list::list;
pub(super) use upload::upload;
pub(super) use view::{TimelineLine, WhyView, time};

use axum::Router;
use axum::routing::{get, patch, post};

use super::{AppState, Caller, Problem};
use crate::event::VideoId;
use crate::ledger::Video;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/videos/events", get(follow::follow))
        .route("/api/videos/{id}", get(show::show).patch(control::change))
        .route("/api/videos/{id}/explain", get(explain::explain))
        .route("/api/videos/{id}/events", get(events::events))
        .route("/api/videos/{id}/source", get(bytes::source))
        .route("/api/videos/{id}/edited", get(bytes::edited))
        .route("/api/videos/{id}/thumbnail", get(bytes::thumbnail))
        .route("/api/videos/{id}/options", patch(options::change))
        .route("/api/videos/{id}/cancel", post(control::cancel))
        .route("/api/videos/{id}/retry", post(control::retry))
        .route("/api/videos/{id}/resolve", post(control::resolve))
}

/// The video, if this caller may know of it. Another's is not there.
async fn owned(state: &AppState, caller: &Caller, id: VideoId) -> Result<Video, Problem> {
    let found = state.ledger.video(id).await?;
    found.filter(|video| caller.owns(video)).ok_or_else(Problem::no_video)
}
