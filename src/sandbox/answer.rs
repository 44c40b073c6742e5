//! Answers: the envelope of the API, the flat form of OAuth, and [`Refusal`], which is both the answer to the client and,
//! when the client broke a rule, the name of that rule.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// Names the broken rule in the answer, beside TikTok's own words.
pub(super) const RULE_HEADER: HeaderName = HeaderName::from_static("x-sandbox-rule");

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
    /// The rule that the client broke; `None` where it did nothing wrong, as with a token that ran out.
    pub(super) rule: Option<&'static str>,
    pub(super) retry_after: Option<u64>,
    /// A PUT's progress, as `Content-Range`.
    pub(super) content_range: Option<String>,
}

impl Refusal {
    pub(super) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code: code.into(), message: message.into(), rule: None, retry_after: None, content_range: None }
    }

    pub(super) fn rule(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "the sandbox could not do its work");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The sandbox itself failed, see its log")
    }

    pub(super) fn answer(self, form: Form, log_id: &str) -> Response {
        let mut response = match form {
            Form::Envelope => envelope(self.status, json!({}), &self.code, &self.message, log_id),
            Form::Flat => {
                let body = json!({"error": self.code, "error_description": self.message, "log_id": log_id});
                (self.status, axum::Json(body)).into_response()
            }
            Form::Text => (self.status, self.message.into_owned()).into_response(),
        };
        let headers = response.headers_mut();
        if let Some(rule) = self.rule {
            headers.insert(RULE_HEADER, HeaderValue::from_static(rule));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(range) = self.content_range.and_then(|range| HeaderValue::try_from(range).ok()) {
            headers.insert(header::CONTENT_RANGE, range);
        }
        response
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Envelope,
    Flat,
    Text,
}

pub(super) fn envelope(status: StatusCode, data: Value, code: &str, message: &str, log_id: &str) -> Response {
    let body = json!({"data": data, "error": {"code": code, "message": message, "log_id": log_id}});
    (status, axum::Json(body)).into_response()
}

/// 400 invalid_params, with the message as TikTok words it.
pub(super) fn invalid(rule: &'static str, message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_params", message).rule(rule)
}
