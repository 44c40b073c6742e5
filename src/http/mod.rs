//! The HTTP API, the pages and the metrics.
//!
//! A request passes, from outside in: a request id and its log line, the catch for panics, the fixed headers, the
//! `Host` check, CORS, the shape of errors (all are `application/problem+json`), then its route. Routes ask for a
//! [`Caller`], which is where keys, cookies and `Origin` are checked; what a caller may see or do is decided there and
//! nowhere else. Everything is answered from the ledger; Redis is asked by the monitor alone, and only where commands
//! are not metered.

mod accounts;
mod auth;
mod brand;
mod connect;
mod creator;
mod dead;
mod estimate;
mod extract;
mod guard;
mod health;
mod metrics;
mod monitor;
mod openapi;
mod pages;
mod pauses;
mod plan;
mod problem;
mod range;
mod serve;
mod session;
mod standing;
mod state;
mod videos;
mod waiting;
mod webhook;

pub use auth::{Access, Caller};
pub use monitor::history::keep as keep_history;
pub use problem::Problem;
pub use state::{AppState, Parts};

use std::io;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

/// Bytes of a body that is neither an upload nor an image.
const MAX_BODY: usize = 64 * 1024;
/// How long a request may take that is no upload. A stream that has begun may go on.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Seconds after which somebody who was told 503 may come again.
const RETRY_AFTER: u32 = 5;

/// The whole app.
pub fn router(state: AppState) -> Router {
    let routes = Router::new()
        .merge(videos::routes())
        .merge(accounts::routes())
        .merge(connect::routes())
        .merge(creator::routes())
        .merge(webhook::routes())
        .merge(brand::routes())
        .merge(pauses::routes())
        .merge(monitor::routes())
        .merge(dead::routes())
        .merge(session::routes())
        .merge(pages::routes())
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/api/openapi.json", get(openapi::show))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, TIMEOUT))
        // An upload may take as long as it takes, while bytes come.
        .route("/api/videos", post(videos::upload).get(videos::list).layer(DefaultBodyLimit::disable()))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::wrong_method);
    layered(routes, state)
}

fn layered(routes: Router<AppState>, state: AppState) -> Router {
    routes
        .layer(middleware::from_fn(problem::shape))
        .layer(guard::cors(&state))
        .layer(middleware::from_fn_with_state(state.clone(), guard::host))
        .layer(middleware::from_fn(guard::headers))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(middleware::from_fn(guard::request))
        .with_state(state)
}

/// Serves until the state's `closing` token is cancelled: then no new connection, event streams end, and requests
/// under way are finished. The caller bounds how long that may take.
pub async fn serve(listener: TcpListener, app: Router, state: AppState) -> io::Result<()> {
    let closing = state.closing.clone();
    serve::connections(listener, app, closing, serve::HEAD).await;
    state.ingest.settled().await;
    Ok(())
}
