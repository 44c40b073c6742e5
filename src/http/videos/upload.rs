//! `POST /api/videos`: a form, streamed to a draft.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::view::{VideoAnswer, VideoView};
use crate::http::{Access, AppState, Caller, Problem};
use crate::ingest::{Draft, FILE_FIELDS, MAX_CAPTIONS, MAX_FIELD};
use crate::metrics::{Upload, metrics};
use crate::trace::Parent;

/// The longest pause between two pieces of an upload.
const IDLE: Duration = Duration::from_secs(60);
/// What a form may weigh beside its file.
const OVERHEAD: u64 = 4 * 1024 * 1024;
/// How much of a refused form is still read, so that its sender gets to read the answer.
const DRAIN: usize = 8 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// For the description only.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the form; it is read field by field")]
pub(in crate::http) struct UploadForm {
    /// The file; older clients call it `file`.
    #[schema(value_type = String, format = Binary)]
    video: Vec<u8>,
    account_id: String,
    /// At most 2200 UTF-16 units.
    title: String,
    /// SRT or VTT, as a file or as text; at most 1 MiB.
    captions: Option<String>,
    /// PUBLIC_TO_EVERYONE, MUTUAL_FOLLOW_FRIENDS, FOLLOWER_OF_CREATOR or SELF_ONLY (the default).
    privacy_level: Option<String>,
    allow_comment: Option<bool>,
    allow_duet: Option<bool>,
    allow_stitch: Option<bool>,
    branded_content: Option<bool>,
    your_brand: Option<bool>,
    ai_generated: Option<bool>,
    /// RFC 3339; one that is over means now.
    publish_at: Option<String>,
    /// high (the default), normal or low.
    priority: Option<String>,
    /// JSON of a brand, instead of the account's, or `none`.
    brand: Option<String>,
}

/// Counts uploads in flight.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn begin(uploads: &Arc<AtomicUsize>) -> Self {
        uploads.fetch_add(1, Ordering::Relaxed);
        Self(uploads.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Uploads a video.
#[utoipa::path(post, path = "/api/videos", tag = "videos",
    params(("Idempotency-Key" = Option<String>, Header, description = "scope user, 24 h"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; the video's trace goes on with it")),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 201, body = VideoAnswer), (status = 413, body = Problem), (status = 422, body = Problem)))]
pub(in crate::http) async fn upload(
    State(state): State<AppState>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<VideoAnswer>), Problem> {
    let done = received(&state, caller, request).await;
    metrics().upload(match &done {
        Ok(_) => Upload::Accepted,
        Err(problem) if problem.status().is_server_error() => Upload::Failed,
        Err(_) => Upload::Refused,
    });
    done
}

async fn received(
    state: &AppState,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<VideoAnswer>), Problem> {
    caller.may(Access::Change)?;
    let key = idempotency_key(request.headers())?;
    let most = state.ingest.max_upload();
    if declared(request.headers()).is_some_and(|length| length > most.saturating_add(OVERHEAD)) {
        let text = format!("the upload is larger than {most} bytes, the largest that is accepted");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "file_too_large", text));
    }
    let _counted = InFlight::begin(&state.uploads);
    let parent = parent(request.headers());
    let mut form = Multipart::from_request(request, state).await.map_err(|rejection| {
        let text = format!("{}; send multipart/form-data", rejection.body_text());
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_multipart", text)
    })?;
    let mut draft = state.ingest.draft(caller.uploader());
    draft.traced_under(parent);
    if let Err(problem) = read(&mut form, &mut draft).await {
        drop(draft);
        timeout(DRAIN_TIME, drain(&mut form)).await.ok();
        return Err(problem);
    }
    let accepted = draft.accept(key).await?;
    let video = VideoView::now(state, &caller, &accepted.video).await?;
    Ok((StatusCode::CREATED, Json(VideoAnswer { video })))
}

async fn read(form: &mut Multipart, draft: &mut Draft) -> Result<(), Problem> {
    while let Some(mut field) = in_time(form.next_field()).await? {
        let name = field.name().unwrap_or_default().to_owned();
        if FILE_FIELDS.contains(&name.as_str()) {
            draft.begin_file().await?;
            while let Some(piece) = next(&mut field).await? {
                draft.write(&piece).await?;
            }
        } else {
            draft.expects(&name)?;
            let most = if name == "captions" { MAX_CAPTIONS } else { MAX_FIELD };
            let value = small(&mut field, &name, most).await?;
            draft.field(&name, value)?;
        }
    }
    Ok(())
}

async fn small(field: &mut Field<'_>, name: &str, most: usize) -> Result<Vec<u8>, Problem> {
    let mut value = Vec::new();
    while let Some(piece) = next(field).await? {
        if value.len() + piece.len() > most {
            let text = format!("the field {name:?} is larger than {most} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "field_too_large", text));
        }
        value.extend_from_slice(&piece);
    }
    Ok(value)
}

async fn next(field: &mut Field<'_>) -> Result<Option<Bytes>, Problem> {
    in_time(field.chunk()).await
}

async fn in_time<T>(read: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Problem> {
    match timeout(IDLE, read).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => {
            let text = format!("the form could not be read to its end: {}", error.body_text());
            Err(Problem::new(StatusCode::BAD_REQUEST, "form_broken", text))
        }
        Err(_) => {
            let text = format!("no byte came for {} s", IDLE.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "upload_stalled", text))
        }
    }
}

async fn drain(form: &mut Multipart) {
    let mut drained = 0;
    while let Ok(Some(mut field)) = form.next_field().await {
        while let Ok(Some(piece)) = field.chunk().await {
            drained += piece.len();
            if drained > DRAIN {
                return;
            }
        }
    }
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Two of them are as none.
fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut values = headers.get_all("traceparent").into_iter();
    let (one, None) = (values.next()?, values.next()) else { return None };
    Parent::read(one.to_str().ok()?)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        let text = "the Idempotency-Key has to be 1 to 255 visible ASCII characters";
        Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_invalid", text)
    })
}
