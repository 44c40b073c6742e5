//! Who asks, and what they may see and do.
//!
//! A caller comes with an API key (`Authorization: Bearer`) or a page's session cookie. A cookie is sent by the browser
//! whoever wrote the page, so a change with one needs an `Origin` that is our own.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};

use super::{AppState, Problem, guard};
use crate::access;
use crate::ingest::Uploader;
use crate::ledger::{Account, ApiKey, Role, Video};

pub(super) const COOKIE: &str = "subiteya_session";

/// Whoever has a key or a session.
#[derive(Debug, Clone)]
pub struct Caller {
    pub key: ApiKey,
}

/// What a route asks of its caller beside being known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read what may be seen.
    Read,
    /// Bytes, titles and names: not for viewers.
    Content,
    /// Change something: not for viewers.
    Change,
    /// The fleet's figures: not for creators.
    Monitor,
    /// For operators alone.
    Operate,
}

impl Caller {
    pub fn may(&self, access: Access) -> Result<(), Problem> {
        match (access, self.key.role) {
            (_, Role::Operator) | (Access::Read, _) | (Access::Monitor, Role::Viewer) => Ok(()),
            (Access::Content | Access::Change, Role::Creator) => Ok(()),
            (Access::Content, Role::Viewer) => Err(Problem::forbidden("a viewer's key reads no bytes")),
            (Access::Change, Role::Viewer) => Err(Problem::forbidden("a viewer's key changes nothing")),
            (Access::Monitor, Role::Creator) => {
                Err(Problem::forbidden("this needs the key of a viewer or an operator"))
            }
            (Access::Operate, _) => Err(Problem::forbidden("this needs an operator's key")),
        }
    }

    /// Whose videos and accounts are visible; None is everybody's.
    pub(super) fn sees(&self) -> Option<&str> {
        match self.key.role {
            Role::Creator => Some(&self.key.user),
            Role::Operator | Role::Viewer => None,
        }
    }

    /// Titles and names.
    pub(super) fn reads_content(&self) -> bool {
        self.key.role != Role::Viewer
    }

    pub(super) fn owns(&self, video: &Video) -> bool {
        self.sees().is_none_or(|user| user == video.user)
    }

    pub(super) fn owns_account(&self, account: &Account) -> bool {
        self.sees().is_none_or(|user| user == account.user)
    }

    pub(super) fn uploader(&self) -> Uploader {
        Uploader { user: self.key.user.clone(), role: self.key.role }
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        if let Some(key) = bearer(&parts.headers) {
            let found = state.ledger.key_by_hash(&access::hash(key)).await?;
            return found.map(|key| Self { key }).ok_or_else(unknown);
        }
        let Some(token) = session_cookie(&parts.headers) else { return Err(unknown()) };
        let now = state.ledger.now().await?;
        let found = state.ledger.key_by_session(&access::hash(token), now).await?;
        let caller = found.map(|key| Self { key }).ok_or_else(unknown)?;
        if ![Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method) {
            same_origin(&parts.headers)?;
        }
        Ok(caller)
    }
}

fn unknown() -> Problem {
    let detail = "this needs an API key: send `Authorization: Bearer <key>`, or sign in at /sign-in";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

pub(super) fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, COOKIE)
}

pub(super) fn cookie<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == wanted)
        .map(|(_, token)| token)
}

/// A change by a page has to come from one of our own pages.
pub(super) fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match (origin, host) {
        (Some(origin), Some(host)) if guard::is_origin_of(origin, host) => Ok(()),
        _ => {
            let detail = "a change with the session cookie needs an Origin header of this very site";
            Err(Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail))
        }
    }
}
