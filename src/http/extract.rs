//! Bodies, queries and paths, refused as problems.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::Problem;
use crate::event::VideoId;

#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(super) struct Body<T>(pub(super) T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let code = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
            StatusCode::UNPROCESSABLE_ENTITY => "body_invalid",
            _ => "body_not_json",
        };
        Problem::new(rejection.status(), code, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "query_invalid", rejection.body_text())
    }
}

/// The `{id}` of a video's route. What is no id is no video.
pub(super) struct Id(pub(super) VideoId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| Problem::no_video())?;
        text.parse().map(Id).map_err(|_| Problem::no_video())
    }
}

/// RFC 3339, in milliseconds since 1970.
pub(super) fn moment(name: &str, text: &str) -> Result<i64, Problem> {
    chrono::DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis()).map_err(|_| {
        let text = format!("{name} has to be a time like 2026-11-30T18:00:00Z (RFC 3339, with its zone)");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "time_invalid", text)
    })
}

/// The `{id}` of a route that takes several kinds of them.
pub(super) struct Text(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Text {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<String>::from_request_parts(parts, state).await;
        let unread = |_| Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing of that name");
        read.map(|Path(text)| Self(text)).map_err(unread)
    }
}

/// The `{id}` of an account's route.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<String>::from_request_parts(parts, state).await;
        // PostgreSQL refuses a NUL in what it is asked, and no id holds one.
        match read {
            Ok(Path(text)) if !text.contains('\0') => Ok(Self(text)),
            _ => Err(Problem::new(StatusCode::NOT_FOUND, "account_not_found", "there is no such account")),
        }
    }
}
