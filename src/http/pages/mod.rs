//! The pages: static files that talk to the API like any other client. No script stands in a page, and whatever a user
//! wrote is set as text.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

use super::auth::Caller;
use super::{AppState, Problem};

#[derive(RustEmbed)]
#[folder = "src/http/pages/static"]
struct Files;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(index))
        .route("/videos", get(async |caller| signed_in(caller, "videos.html")))
        .route("/videos/{id}", get(async |caller| signed_in(caller, "video.html")))
        .route("/streams", get(async |caller| signed_in(caller, "streams.html")))
        .route("/accounts", get(async |caller| signed_in(caller, "accounts.html")))
        .route("/accounts/{id}", get(async |caller| signed_in(caller, "account.html")))
        .route("/budget", get(async |caller| signed_in(caller, "budget.html")))
        .route("/sign-in", get(|| async { page("sign-in.html", StatusCode::OK) }))
        .route("/static/{name}", get(file))
}

/// A viewer uploads nothing: the wall screen is theirs.
async fn index(caller: Result<Caller, Problem>) -> Response {
    match caller {
        Ok(caller) if !caller.reads_content() => Redirect::to("/streams").into_response(),
        caller => signed_in(caller, "index.html"),
    }
}

fn signed_in(caller: Result<Caller, Problem>, name: &str) -> Response {
    match caller {
        Ok(_) => page(name, StatusCode::OK),
        Err(problem) if problem.is_unauthorized() => Redirect::to("/sign-in").into_response(),
        Err(problem) if problem.is_unavailable() => {
            let mut response = page("unavailable.html", StatusCode::SERVICE_UNAVAILABLE);
            response.headers_mut().insert(header::RETRY_AFTER, super::RETRY_AFTER.into());
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// A one-time link's page: its button is what uses the link up.
pub(super) async fn link() -> Response {
    page("link.html", StatusCode::OK)
}

pub(super) fn link_used_up() -> Response {
    page("link-used-up.html", StatusCode::GONE)
}

fn page(name: &str, status: StatusCode) -> Response {
    let Some(file) = Files::get(name) else { return not_found() };
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, file.data).into_response()
}

async fn file(Path(name): Path<String>, asked: HeaderMap) -> Response {
    let Some(file) = Files::get(&name).filter(|_| !name.ends_with(".html")) else { return not_found() };
    let etag = format!("\"{}\"", crate::access::hex(&file.metadata.sha256_hash()));
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    for (name, value) in [(header::ETAG, etag.as_str()), (header::CONTENT_TYPE, file.metadata.mimetype())] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    if asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, file.data).into_response()
}

fn not_found() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such file").into_response()
}
