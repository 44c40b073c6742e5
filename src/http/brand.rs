//! `/api/accounts/{id}/brand`: what an account's videos are given.
//!
//! The watermark's image is uploaded bytes, first and apart from the brand, and named by their SHA-256. `watermark.image` is
//! that name; in a PUT it may be left out.

use axum::body::Body as RawBody;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

use super::accounts::owned;
use super::extract::{Body, Name, Query};
use super::{Access, AppState, Caller, Problem};
use crate::access::hex;
use crate::ffmpeg::{Brand, Fault, Shape};
use crate::ingest::{watermark, whole_brand};
use crate::media;

const MAX_IMAGE: usize = 5 * 1024 * 1024;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/accounts/{id}/brand", get(show).put(change))
        .route("/api/accounts/{id}/brand/preview", post(preview))
        .route("/api/accounts/{id}/brand/watermark", put(put_image).get(show_image))
        .layer(DefaultBodyLimit::max(MAX_IMAGE))
}

/// An account's brand.
#[utoipa::path(get, path = "/api/accounts/{id}/brand", tag = "accounts", params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
) -> Result<Json<Value>, Problem> {
    Ok(Json(owned(&state, &caller, &id).await?.brand))
}

/// Changes the brand of videos that are edited from now on.
#[utoipa::path(put, path = "/api/accounts/{id}/brand", tag = "accounts", params(("id" = String, Path)),
    request_body = Object, responses((status = 200, body = Object), (status = 422, body = Problem)))]
pub(super) async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
    Body(brand): Body<Value>,
) -> Result<Json<Value>, Problem> {
    caller.may(Access::Change)?;
    let account = owned(&state, &caller, &id).await?;
    let image = account.watermark_key.as_deref().and_then(media::watermark_name);
    let unfit = |reason| Problem::reason(StatusCode::UNPROCESSABLE_ENTITY, reason);
    let brand = whole_brand(brand, image).map_err(unfit)?;
    let tx = state.ledger.begin().await?;
    tx.put_brand(&id, &brand).await?;
    tx.commit().await?;
    Ok(Json(owned(&state, &caller, &id).await?.brand))
}

/// Uploads the watermark's image: PNG, JPEG or WebP, at most 5 MiB and 4096 pixels a side.
#[utoipa::path(put, path = "/api/accounts/{id}/brand/watermark", tag = "accounts", params(("id" = String, Path)),
    request_body(content = Vec<u8>, content_type = "image/png"),
    responses((status = 200, body = Object), (status = 413, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn put_image(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
    bytes: Bytes,
) -> Result<Json<Value>, Problem> {
    caller.may(Access::Change)?;
    owned(&state, &caller, &id).await?;
    let (width, height) = watermark(&state.tools, &bytes).await?;
    let name = hex(&Sha256::digest(&bytes));
    let key = media::watermark_key(&name);
    state.media.put(&key, bytes.clone()).await?;
    let tx = state.ledger.begin().await?;
    tx.put_watermark(&id, &key).await?;
    if let Some(mut brand) = tx.account(&id).await?.map(|account| account.brand)
        && let Some(Value::Object(mark)) = brand.get_mut("watermark")
    {
        mark.insert("image".to_owned(), json!(name));
        tx.put_brand(&id, &brand).await?;
    }
    tx.commit().await?;
    // An image that nobody named until now may have been swept away in between.
    state.media.put(&key, bytes).await?;
    Ok(Json(json!({ "image": name, "width": width, "height": height })))
}

/// The watermark's image.
#[utoipa::path(get, path = "/api/accounts/{id}/brand/watermark", tag = "accounts", params(("id" = String, Path)),
    responses((status = 200), (status = 404, body = Problem)))]
pub(super) async fn show_image(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
) -> Result<Response, Problem> {
    caller.may(Access::Content)?;
    let account = owned(&state, &caller, &id).await?;
    let none = || Problem::new(StatusCode::NOT_FOUND, "no_watermark", "the account has no watermark image");
    let key = account.watermark_key.ok_or_else(none)?;
    let size = state.media.size(&key).await?;
    let body = RawBody::from_stream(state.media.read(&key, 0..size).await?);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"watermark\""),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::CACHE_CONTROL, "private, no-cache"),
    ];
    Ok((headers, body).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PreviewQuery {
    /// Of the sample: upright (without it) or wide, where `vertical` shows.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    shape: Shape,
}

/// What a brand looks like that is not kept yet: a frame over a sample, made by FFmpeg as the edit makes its frames.
#[utoipa::path(post, path = "/api/accounts/{id}/brand/preview", tag = "accounts",
    params(("id" = String, Path), PreviewQuery), request_body = Object,
    responses((status = 200, content_type = "image/jpeg", body = Vec<u8>), (status = 422, body = Problem)))]
pub(super) async fn preview(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
    Query(query): Query<PreviewQuery>,
    Body(brand): Body<Value>,
) -> Result<Response, Problem> {
    caller.may(Access::Change)?;
    let account = owned(&state, &caller, &id).await?;
    let image = account.watermark_key.as_deref().and_then(media::watermark_name);
    let unfit = |reason| Problem::reason(StatusCode::UNPROCESSABLE_ENTITY, reason);
    let brand = whole_brand(brand, image).map_err(unfit)?;
    let brand = Brand::from_json(brand.to_string().as_bytes())
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "brand_invalid", error.to_string()))?;
    // Whoever turns a knob back and forth waits for themselves and not for an edit's processor.
    let _turn = state.previews.acquire().await.map_err(|_| Problem::internal())?;
    let folder = tempfile::tempdir_in(&state.tools.setup().spool).map_err(media::MediaError::from)?;
    let watermark = match &brand.watermark {
        Some(watermark) => {
            let key = media::watermark_key(&watermark.image);
            Some(state.media.as_file(&key, &folder.path().join("watermark")).await?)
        }
        None => None,
    };
    let bytes = state.tools.preview(&brand, watermark.as_deref(), query.shape).await.map_err(not_drawn)?;
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, bytes).into_response())
}

fn not_drawn(fault: Fault) -> Problem {
    match fault {
        Fault::Refused(reason) => Problem::reason(StatusCode::UNPROCESSABLE_ENTITY, reason),
        Fault::Failed(reason) | Fault::Environment(reason) => {
            tracing::warn!(reason.code, reason.text, "a brand's preview could not be made");
            Problem::unavailable("preview_unavailable", "the preview can't be made right now; try again")
        }
        Fault::Canceled => Problem::unavailable("preview_unavailable", "the preview was interrupted; try again"),
    }
}
