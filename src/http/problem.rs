//! Errors as RFC 9457 problems: `application/problem+json` with a stable `code`.

use std::any::Any;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::RETRY_AFTER;
use crate::control;
use crate::creator::{Allowed, Misfit};
use crate::ingest::Refusal;
use crate::ledger::LedgerError;
use crate::media::MediaError;
use crate::outcome::Reason;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What a request is answered with when it fails.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    /// For programs; never changes.
    code: String,
    /// For people.
    detail: String,
    /// With a video that can't be posted as it is asked for: what can be asked for instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<Box<Allowed>>,
    #[serde(skip)]
    retry_after: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub fn new(status: StatusCode, code: impl Into<String>, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            kind: "about:blank",
            title,
            status,
            code: code.into(),
            detail: detail.into(),
            allowed: None,
            retry_after: None,
        }
    }

    pub(super) fn reason(status: StatusCode, reason: Reason) -> Self {
        Self::new(status, reason.code, reason.text)
    }

    /// What was asked for can't be posted so.
    pub(super) fn unfit(misfit: Misfit) -> Self {
        let allowed = Some(Box::new(misfit.allowed));
        Self { allowed, ..Self::reason(StatusCode::UNPROCESSABLE_ENTITY, misfit.reason) }
    }

    pub(super) fn no_video() -> Self {
        Self::new(StatusCode::NOT_FOUND, "video_not_found", "there is no such video")
    }

    pub(super) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    pub(super) fn is_unavailable(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    pub(super) fn unavailable(code: &str, detail: &str) -> Self {
        Self { retry_after: Some(RETRY_AFTER), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail) }
    }

    pub(super) fn internal() -> Self {
        let detail = "something went wrong on our side; the log has it under this request's x-request-id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (self.status, headers, body).into_response()
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable(_) => {
                tracing::debug!(%error, "a request found no database");
                Self::unavailable("ledger_unavailable", "the database is not available; try again")
            }
            LedgerError::Conflict => {
                Self::new(StatusCode::CONFLICT, "changed_meanwhile", "somebody else changed it meanwhile; look again")
            }
            LedgerError::Refused(_) | LedgerError::Corrupt(_) => {
                tracing::error!(%error, "a request failed on the database");
                Self::internal()
            }
        }
    }
}

impl From<MediaError> for Problem {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Missing(_) => Self::new(StatusCode::GONE, "bytes_gone", "the bytes are not kept any more"),
            MediaError::NoRoom(_) => {
                tracing::error!(%error, "an upload could not be looked at");
                Self::unavailable("probe_unavailable", "the upload can't be looked at right now; try again")
            }
            MediaError::Full => {
                tracing::error!("the object store is full");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "store_full", "there is no room left for uploads")
            }
            MediaError::Unavailable(_) => {
                tracing::warn!(%error, "a request found no object store");
                Self::unavailable("store_unavailable", "the object store is not available; try again")
            }
            // Keys that were changed, a bucket that was removed: somebody mends it, and nothing was lost meanwhile.
            MediaError::Refused(_) | MediaError::Exists(_) => {
                tracing::error!(%error, "the object store refused a request's bytes");
                Self::unavailable("store_unavailable", "the object store is not available; try again")
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::Form(reason) => Self::reason(StatusCode::BAD_REQUEST, reason),
            Refusal::Content(reason) => Self::reason(StatusCode::UNPROCESSABLE_ENTITY, reason),
            Refusal::Unfit(misfit) => Self::unfit(misfit),
            Refusal::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "file_too_large", text),
            Refusal::KeyReused => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", text),
            Refusal::Media(error) => error.into(),
            Refusal::Ledger(error) => error.into(),
            Refusal::Uncertain(_) => Self::unavailable(
                "acceptance_unknown",
                "whether the upload was accepted can't be told; send it again with the same Idempotency-Key",
            ),
            Refusal::Machine(reason) => {
                tracing::error!(reason.code, reason.text, "an upload could not be looked at");
                Self::unavailable("probe_unavailable", "the upload can't be looked at right now; try again")
            }
            Refusal::Broken => Self::internal(),
        }
    }
}

impl From<control::Refused> for Problem {
    fn from(refused: control::Refused) -> Self {
        match refused {
            control::Refused::NoSuchVideo => Self::no_video(),
            control::Refused::Impossible(reason) => Self::reason(StatusCode::CONFLICT, reason),
            control::Refused::Contradiction(reason) => Self::reason(StatusCode::UNPROCESSABLE_ENTITY, reason),
            control::Refused::Unfit(misfit) => Self::unfit(misfit),
            control::Refused::Ledger(error) => error.into(),
        }
    }
}

pub(super) async fn no_such_route(request: Request) -> Problem {
    let detail = format!("there is nothing at {}; GET /api/openapi.json lists what there is", request.uri().path());
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

pub(super) async fn wrong_method(request: Request) -> Problem {
    let detail = format!("{} can't be done here; the Allow header says what can", request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of another kind"), "a request panicked");
    Problem::internal().into_response()
}

/// Gives errors that axum or a layer made themselves the shape of all others.
pub(super) async fn shape(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let shaped = kind.starts_with("application/") || kind.starts_with("text/html");
    if !(status.is_client_error() || status.is_server_error()) || shaped {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let said = to_bytes(body, 4096).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        StatusCode::GATEWAY_TIMEOUT => "timed_out",
        StatusCode::NOT_FOUND => "not_found",
        _ => "bad_request",
    };
    let too_large = "the body is larger than this route takes: 5 MiB for a watermark, 64 KiB for JSON; send less";
    let detail = if status == StatusCode::PAYLOAD_TOO_LARGE {
        too_large
    } else if said.is_empty() {
        status.canonical_reason().unwrap_or("failed")
    } else {
        said.as_ref()
    };
    let problem = serde_json::to_vec(&Problem::new(status, code, detail)).unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    Response::from_parts(parts, Body::from(problem))
}
