//! `GET /api/accounts/connect` and `/callback`: the way of a person to TikTok's login and back.
//!
//! TikTok's page sends the browser back from another site, so the session's cookie (`SameSite=Strict`) does not come
//! along. A cookie of this login alone does (`Lax`, ten minutes), and says that it is the browser that began. The command
//! line takes TikTok's answer on a port of its own and brings it here with its key.

use askama::Template;
use axum::extract::State;
use axum::http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use url::{Host, Url};
use utoipa::{IntoParams, ToSchema};

use super::accounts::{self, AccountAnswer};
use super::auth::cookie;
use super::extract::Query;
use super::videos::time;
use super::{Access, AppState, Caller, Problem};
use crate::account::connect::{Answer, Bearer, Begun, Connect, ConnectError, LIFE_MS, Way};

const COOKIE: &str = "subiteya_connect";
const CALLBACK: &str = "/api/accounts/callback";

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/accounts/connect", get(connect)).route(CALLBACK, get(callback))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    /// Connect this account again, and no other.
    account_id: Option<String>,
    /// Where a program on the person's machine takes the answer: `http://127.0.0.1:PORT/…`. Default: this server.
    redirect_uri: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Login {
    /// TikTok's page.
    url: String,
    expires_at: String,
}

/// Begins a login at TikTok: sends a browser there, and a program finds the address in the body.
#[utoipa::path(get, path = "/api/accounts/connect", tag = "accounts", params(Asked),
    responses((status = 303, body = Login), (status = 503, body = Problem)))]
pub(super) async fn connect(
    State(state): State<AppState>,
    caller: Result<Caller, Problem>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    let begun = match caller {
        Err(problem) if problem.is_unauthorized() && wants_page(&headers) => {
            return Redirect::to("/sign-in").into_response();
        }
        Err(problem) => Err(problem),
        Ok(caller) => begin(&state, &caller, &headers, &asked).await,
    };
    let begun = match begun {
        Ok(begun) => begun,
        Err(problem) => return refused(&headers, problem),
    };
    let location = HeaderValue::from_str(begun.url.as_str()).unwrap_or(HeaderValue::from_static("/"));
    let headers = [(LOCATION, location), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    let login = Login { url: begun.url.to_string(), expires_at: time(begun.expires_at) };
    let mut response = (StatusCode::SEE_OTHER, headers, Json(login)).into_response();
    if let Some(cookie) = begun.browser.and_then(|token| login_cookie(&token, LIFE_MS / 1000)) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

async fn begin(state: &AppState, caller: &Caller, headers: &HeaderMap, asked: &Asked) -> Result<Begun, Problem> {
    caller.may(Access::Change)?;
    let connect = connecting(state)?;
    if let Some(id) = &asked.account_id {
        accounts::owned(state, caller, id).await?;
    }
    let redirect_uri = match &asked.redirect_uri {
        Some(uri) => on_loopback(uri)?,
        None => format!("{}{CALLBACK}", own_origin(state, headers)?),
    };
    let way = Way {
        redirect_uri: &redirect_uri,
        browser: asked.redirect_uri.is_none(),
        account: asked.account_id.as_deref(),
    };
    Ok(connect.begin(&caller.key, &way).await?)
}

/// What TikTok sends a person back with.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Returned {
    code: Option<String>,
    state: Option<String>,
    scopes: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Takes TikTok's answer: a page for a browser, the account for a program.
#[utoipa::path(get, path = "/api/accounts/callback", tag = "accounts", params(Returned),
    responses((status = 200, body = AccountAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn callback(
    State(state): State<AppState>,
    caller: Result<Caller, Problem>,
    headers: HeaderMap,
    Query(returned): Query<Returned>,
) -> Response {
    match finish(&state, caller, &headers, returned).await {
        Err(problem) => refused(&headers, problem),
        Ok(done) => {
            let mut response = if wants_page(&headers) {
                let sentence = format!("{} is connected. Videos can be posted as this account now.", done.name);
                page(StatusCode::OK, true, "Connected", &sentence)
            } else {
                Json(done.answer).into_response()
            };
            if let Some(gone) = login_cookie("", 0) {
                response.headers_mut().insert(SET_COOKIE, gone);
            }
            response
        }
    }
}

struct Done {
    name: String,
    answer: AccountAnswer,
}

async fn finish(
    state: &AppState,
    caller: Result<Caller, Problem>,
    headers: &HeaderMap,
    returned: Returned,
) -> Result<Done, Problem> {
    let login = cookie(headers, COOKIE).filter(|token| !token.is_empty());
    let caller = match caller {
        Ok(caller) => Some(caller),
        // A key that is wrong is no reason to ask the cookie.
        Err(problem) if headers.contains_key(AUTHORIZATION) || !problem.is_unauthorized() => return Err(problem),
        Err(_) if login.is_none() => {
            let detail = ConnectError::Foreign.to_string();
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail));
        }
        Err(_) => None,
    };
    let connect = connecting(state)?;
    let bearer = Bearer { user: caller.map(|caller| caller.key.user), browser: login.map(str::to_owned) };
    let Returned { code, state: begun, scopes, error, error_description } = returned;
    let answer = Answer { state: begun, code, scopes, error, error_description };
    let account = connect.finish(answer, bearer).await?;
    Ok(Done { name: account.display_name.clone(), answer: accounts::answer(state, account).await? })
}

fn connecting(state: &AppState) -> Result<&Connect, Problem> {
    state.connect.as_ref().ok_or_else(|| {
        let detail = "this server has no app at TikTok; set TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "tiktok_not_configured", detail)
    })
}

/// A program's own port: TikTok takes `localhost` and `127.0.0.1` with a port and nothing behind the path.
fn on_loopback(uri: &str) -> Result<String, Problem> {
    let ours = |url: &Url| {
        matches!(url.host_str(), Some("127.0.0.1" | "localhost"))
            && url.scheme() == "http"
            && url.port().is_some()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    Url::parse(uri).ok().filter(ours).map(String::from).ok_or_else(|| {
        let detail = "redirectUri: expected an address on this machine, such as http://127.0.0.1:4000/callback/";
        Problem::new(StatusCode::BAD_REQUEST, "redirect_uri", detail)
    })
}

/// How the browser reaches us, which the check of `Host` has found to be one of our names. TikTok sends people back to
/// `https` or to this machine.
fn own_origin(state: &AppState, headers: &HeaderMap) -> Result<String, Problem> {
    let host = headers.get(axum::http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let known = state.http.allowed_origins.iter().find(|origin| super::guard::is_origin_of(origin, host));
    if let Some(origin) = known.filter(|origin| origin.starts_with("https://")) {
        return Ok(origin.clone());
    }
    match Url::parse(&format!("http://{host}/")) {
        Ok(url) if matches!(url.host(), Some(Host::Domain("localhost"))) || url.host_str() == Some("127.0.0.1") => {
            // TikTok wants the port in words, also where it is the usual one.
            let port = url.port_or_known_default().unwrap_or(80);
            Ok(format!("http://{}:{port}", url.host_str().unwrap_or_default()))
        }
        _ => {
            let detail = "TikTok sends people back to https addresses, localhost or 127.0.0.1 only; open the page under \
                          one of these, and name its origin in SUBITEYA_ALLOWED_ORIGINS";
            Err(Problem::new(StatusCode::CONFLICT, "address_not_for_tiktok", detail))
        }
    }
}

fn login_cookie(token: &str, seconds: i64) -> Option<HeaderValue> {
    let text = format!("{COOKIE}={token}; Path={CALLBACK}; Max-Age={seconds}; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&text).ok()
}

/// A browser that goes somewhere says so; scripts and programs don't.
fn wants_page(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/html"))
}

fn refused(headers: &HeaderMap, problem: Problem) -> Response {
    if !wants_page(headers) {
        return problem.into_response();
    }
    page(problem.status(), false, "Not connected", &sentence(problem.detail()))
}

/// The detail of a problem, as a sentence stands on a page.
fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str())).unwrap_or_default()
}

#[derive(Template)]
#[template(path = "http/connect.html")]
struct Page<'a> {
    title: &'a str,
    sentence: &'a str,
    well: bool,
}

fn page(status: StatusCode, well: bool, title: &str, sentence: &str) -> Response {
    match (Page { title, sentence, well }).render() {
        Ok(html) => (status, [(CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "the page of a login could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        let status = match &error {
            ConnectError::Ledger(_) | ConnectError::Seal(_) | ConnectError::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            ConnectError::Foreign | ConnectError::Denied | ConnectError::Scopes(_) => StatusCode::FORBIDDEN,
            ConnectError::Used | ConnectError::Taken | ConnectError::OtherCreator => StatusCode::CONFLICT,
            ConnectError::Expired => StatusCode::GONE,
            ConnectError::Unknown | ConnectError::NoCode | ConnectError::CodeDead => StatusCode::BAD_REQUEST,
            ConnectError::Refused(_) | ConnectError::Away | ConnectError::App(_) => StatusCode::BAD_GATEWAY,
        };
        match error {
            ConnectError::Ledger(error) => error.into(),
            ConnectError::Seal(error) => {
                tracing::error!(%error, "a login at TikTok could not be sealed or opened");
                Self::new(status, "internal", "the login could not be kept safe on our side; the log says why")
            }
            other => Self::new(status, other.code(), other.to_string()),
        }
    }
}
