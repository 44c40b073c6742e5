//! A video's bytes: source, result, thumbnail. Streamed, with ranges, and never as something a browser would run.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::owned;
use crate::event::VideoId;
use crate::http::extract::Id;
use crate::http::range::Wanted;
use crate::http::{Access, AppState, Caller, Problem};

/// What is sent, and as what.
struct Sent {
    key: String,
    /// A strong one; none where the key doesn't stand for the content.
    etag: Option<String>,
    kind: &'static str,
    /// `inline` for what browsers may show, else `attachment`.
    disposition: &'static str,
    /// From ids only.
    name: String,
}

/// The file as it was uploaded.
#[utoipa::path(get, path = "/api/videos/{id}/source", tag = "videos", params(("id" = String, Path)),
    responses((status = 200), (status = 206), (status = 404, body = Problem), (status = 416, body = Problem)))]
pub(in crate::http) async fn source(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let video = readable(&state, &caller, id).await?;
    let sent = Sent {
        key: video.source_key,
        etag: Some(video.source_sha256),
        kind: "application/octet-stream",
        disposition: "attachment",
        name: format!("{id}-source"),
    };
    send(&state, &headers, sent).await
}

/// The branded video.
#[utoipa::path(get, path = "/api/videos/{id}/edited", tag = "videos", params(("id" = String, Path)),
    responses((status = 200), (status = 206), (status = 404, body = Problem), (status = 416, body = Problem)))]
pub(in crate::http) async fn edited(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let video = readable(&state, &caller, id).await?;
    let key = video.edited_key.ok_or_else(|| not_made("the video is not edited yet"))?;
    let name = format!("{id}.mp4");
    let sent = Sent { key, etag: video.edited_sha256, kind: "video/mp4", disposition: "inline", name };
    send(&state, &headers, sent).await
}

/// A picture of the branded video.
#[utoipa::path(get, path = "/api/videos/{id}/thumbnail", tag = "videos", params(("id" = String, Path)),
    responses((status = 200), (status = 404, body = Problem)))]
pub(in crate::http) async fn thumbnail(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let video = readable(&state, &caller, id).await?;
    let key = video.thumbnail_key.ok_or_else(|| not_made("the video has no thumbnail yet"))?;
    let name = format!("{id}.jpg");
    send(&state, &headers, Sent { key, etag: None, kind: "image/jpeg", disposition: "inline", name }).await
}

async fn readable(state: &AppState, caller: &Caller, id: VideoId) -> Result<crate::ledger::Video, Problem> {
    caller.may(Access::Content)?;
    owned(state, caller, id).await
}

fn not_made(text: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_made_yet", text)
}

async fn send(state: &AppState, asked: &HeaderMap, sent: Sent) -> Result<Response, Problem> {
    let size = state.media.size(&sent.key).await?;
    let etag = sent.etag.as_ref().map(|hash| format!("\"{hash}\""));
    let header = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    // A part of something that changed meanwhile would not fit the parts before.
    let same = header(header::IF_RANGE).is_none_or(|condition| Some(condition) == etag.as_deref());
    let wanted = Wanted::read(header(header::RANGE).filter(|_| same), size);
    let (status, range) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Unsatisfiable => {
            let text = format!("there are {size} bytes; ask for a range of them");
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", text);
            return Ok(([(header::CONTENT_RANGE, format!("bytes */{size}"))], problem).into_response());
        }
    };
    let mut headers = HeaderMap::new();
    let mut put = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, sent.kind);
    put(header::CONTENT_LENGTH, &(range.end - range.start).to_string());
    put(header::CONTENT_DISPOSITION, &format!("{}; filename=\"{}\"", sent.disposition, sent.name));
    put(header::ACCEPT_RANGES, "bytes");
    put(header::CACHE_CONTROL, "private, no-cache");
    put(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
    if let Some(etag) = &etag {
        put(header::ETAG, etag);
        if header(header::IF_NONE_MATCH).is_some_and(|known| known.split(',').any(|one| one.trim() == etag)) {
            headers.remove(header::CONTENT_LENGTH);
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(header::CONTENT_RANGE, value);
        }
    }
    let body = Body::from_stream(state.media.read(&sent.key, range).await?);
    Ok((status, headers, body).into_response())
}
