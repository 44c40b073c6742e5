//! The bytes of a post, for the page and for whoever checks them, with one range.

use std::io::SeekFrom;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use http::{HeaderMap, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::app::App;

pub(super) async fn video(State(app): State<Arc<App>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let found = app.look(|state, _| {
        let post = state.posts.iter().find(|post| post.publish_id == id)?;
        let task = state.tasks.get(&id)?;
        Some((task.plan, task.digits().to_owned(), post.content_type.clone()))
    });
    let Some((plan, digits, content_type)) = found else { return StatusCode::NOT_FOUND.into_response() };
    let size = plan.video_size;
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Some((first, last)) = range.map_or(Some((0, size - 1)), |range| parse_range(range, size)) else {
        return (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, format!("bytes */{size}"))])
            .into_response();
    };
    let folder = app.video_folder(&digits);
    if tokio::fs::metadata(&folder).await.is_err() {
        return (StatusCode::GONE, "The sandbox does not keep videos").into_response();
    }
    // Piece by piece: the file of each chunk that the range touches, from where to where.
    let last_chunk = plan.total_chunk_count - 1;
    let pieces = (first / plan.chunk_size).min(last_chunk)..=(last / plan.chunk_size).min(last_chunk);
    let bytes = futures::stream::iter(pieces.map(Ok)).and_then(move |index| {
        let start = index * plan.chunk_size;
        let chunk = folder.join(format!("{index:04}"));
        async move {
            let from = first.max(start) - start;
            let mut file = tokio::fs::File::open(chunk).await?;
            file.seek(SeekFrom::Start(from)).await?;
            Ok::<_, std::io::Error>(ReaderStream::new(file.take(last - start + 1 - from)))
        }
    });
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_LENGTH, (last - first + 1).to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    let mut response = (status, headers, Body::from_stream(bytes.try_flatten())).into_response();
    if let Some(content_range) = range.and_then(|_| format!("bytes {first}-{last}/{size}").parse().ok()) {
        response.headers_mut().insert(header::CONTENT_RANGE, content_range);
    }
    response
}

/// `bytes=A-B`, `bytes=A-` or `bytes=-N`, as first and last byte.
fn parse_range(range: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = match (first.trim(), last.trim()) {
        ("", count) => (size.saturating_sub(count.parse::<u64>().ok()?), size - 1),
        (first, "") => (first.parse().ok()?, size - 1),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.min(size - 1)),
    };
    (first <= last).then_some((first, last))
}
