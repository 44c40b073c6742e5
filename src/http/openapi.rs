//! `GET /api/openapi.json`: every route, as its handler describes it.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{Caller, accounts, brand, connect, creator, dead, metrics, monitor, pauses, session, videos, webhook};

#[derive(OpenApi)]
#[openapi(
    info(title = "SubiteYa", description = "Video upload, branding and TikTok posts"),
    modifiers(&Keys),
    security(("key" = [])),
    paths(
        videos::upload::upload, videos::list::list, videos::show::show, videos::events::events, videos::follow::follow, videos::explain::explain, videos::bytes::source, videos::bytes::edited, videos::bytes::thumbnail,
        videos::options::change, videos::control::change, videos::control::cancel, videos::control::retry, videos::control::resolve,
        accounts::list, accounts::show, accounts::remove, accounts::open, accounts::open_app,
        pauses::pause_stage, pauses::resume_stage, pauses::pause_account, pauses::resume_account,
        creator::show, creator::avatar, connect::connect, connect::callback, webhook::tiktok,
        brand::show, brand::change, brand::put_image, brand::show_image, brand::preview,
        monitor::usage::redis_usage, monitor::queues::queue_health, monitor::streams::streams, monitor::history::show, monitor::pending::pending, monitor::claim::claim, monitor::replay::replay_stream,
        dead::list, dead::show, dead::retry, dead::drop_letters,
        session::begin, session::show, session::end, metrics::show,
    )
)]
struct Description;

struct Keys;

impl Modify for Keys {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        description.components.get_or_insert_default().add_security_scheme("key", scheme);
    }
}

/// For whoever has a key, like all but the two checks of life.
pub(super) async fn show(_: Caller) -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
