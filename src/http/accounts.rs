//! `/api/accounts`: who the videos are posted as. Tokens never come back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Name;
use super::pauses::PauseView;
use super::standing::{Look, Standing};
use super::videos::time;
use super::{Access, AppState, Caller, Problem};
use crate::account::{self, Revoked};
use crate::control;
use crate::ledger::Account;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/accounts", get(list))
        .route("/api/accounts/open", post(open_app))
        .route("/api/accounts/{id}", get(show).delete(remove))
        .route("/api/accounts/{id}/open", post(open))
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountView {
    id: String,
    user: String,
    /// TikTok's name for the creator. Names are not for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
    /// ACTIVE; RECONNECT: the person has to connect it again; CLOSED_UNTIL: it posts nothing before `closedUntil`.
    state: &'static str,
    /// Why it is not ACTIVE.
    state_reason: Option<String>,
    closed_until: Option<String>,
    /// When the limits let the next video be posted. Null: a person has to do something first.
    next_post_at: Option<String>,
    /// Through this server, by this creator.
    posts_last_day: i64,
    /// Null: nobody has paused it.
    paused: Option<PauseView>,
    /// There is an image that its brand can show.
    has_watermark: bool,
    created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accounts {
    accounts: Vec<AccountView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountAnswer {
    account: AccountView,
}

impl AccountView {
    fn of(account: Account, standing: Standing, names: bool) -> Self {
        Self {
            id: account.id,
            user: account.user,
            open_id: names.then_some(account.open_id),
            display_name: names.then_some(account.display_name),
            username: account.username.filter(|_| names),
            avatar_url: account.avatar_url.filter(|_| names),
            state: standing.state,
            state_reason: standing.why,
            closed_until: standing.closed_until.map(time),
            next_post_at: standing.next_post_at.map(time),
            posts_last_day: standing.posts_last_day,
            paused: standing.paused.as_ref().map(PauseView::of),
            has_watermark: account.watermark_key.is_some(),
            created_at: time(account.created_at),
        }
    }
}

/// The account, if this caller may know of it.
pub(super) async fn owned(state: &AppState, caller: &Caller, id: &str) -> Result<Account, Problem> {
    let found = state.ledger.account(id).await?;
    found
        .filter(|account| caller.owns_account(account))
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "account_not_found", "there is no such account"))
}

/// Lists a creator's own accounts, or everybody's.
#[utoipa::path(get, path = "/api/accounts", tag = "accounts", responses((status = 200, body = Accounts)))]
pub(super) async fn list(State(state): State<AppState>, caller: Caller) -> Result<Json<Accounts>, Problem> {
    let accounts = state.ledger.accounts(caller.sees()).await?;
    let look = Look::begin(&state).await?;
    let mut shown = Vec::with_capacity(accounts.len());
    for account in accounts {
        let standing = look.at(&account).await?;
        shown.push(AccountView::of(account, standing, caller.reads_content()));
    }
    Ok(Json(Accounts { accounts: shown }))
}

/// One account.
#[utoipa::path(get, path = "/api/accounts/{id}", tag = "accounts", params(("id" = String, Path)),
    responses((status = 200, body = AccountAnswer), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
) -> Result<Json<AccountAnswer>, Problem> {
    let account = owned(&state, &caller, &id).await?;
    Ok(Json(view(&state, account, caller.reads_content()).await?))
}

/// For whoever has just connected it.
pub(super) async fn answer(state: &AppState, account: Account) -> Result<AccountAnswer, Problem> {
    view(state, account, true).await
}

async fn view(state: &AppState, account: Account, names: bool) -> Result<AccountAnswer, Problem> {
    let standing = Look::begin(state).await?.at(&account).await?;
    Ok(AccountAnswer { account: AccountView::of(account, standing, names) })
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RemoveAnswer {
    /// The account's id. It is removed in any case.
    removed: String,
    /// Whether TikTok has taken our authorization back.
    revoked: bool,
    /// Why not, where it has not.
    reason: Option<String>,
}

/// Disconnects an account: its tokens are revoked at TikTok where that is possible and forgotten in any case; its videos
/// stay.
#[utoipa::path(delete, path = "/api/accounts/{id}", tag = "accounts", params(("id" = String, Path)),
    responses((status = 200, body = RemoveAnswer), (status = 404, body = Problem)))]
pub(super) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
) -> Result<Json<RemoveAnswer>, Problem> {
    caller.may(Access::Change)?;
    let account = owned(&state, &caller, &id).await?;
    let revoked = match &state.connect {
        Some(connect) => connect.disconnect(account).await?,
        None => account::remove(&state.ledger, &account, None).await?,
    };
    let reason = match &revoked {
        Revoked::Yes => None,
        Revoked::No(why) => Some(why.clone()),
    };
    Ok(Json(RemoveAnswer { removed: id, revoked: reason.is_none(), reason }))
}

/// Opens an account early that TikTok has closed; our own limits hold. For operators.
#[utoipa::path(post, path = "/api/accounts/{id}/open", tag = "accounts", params(("id" = String, Path)),
    responses((status = 200, body = AccountAnswer), (status = 404, body = Problem)))]
pub(super) async fn open(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
) -> Result<Json<AccountAnswer>, Problem> {
    caller.may(Access::Change)?;
    let account = owned(&state, &caller, &id).await?;
    caller.may(Access::Operate)?;
    if let Some(closed) = control::open_account(&state.ledger, &account).await? {
        tracing::info!(account.id = id, user = caller.key.user, was = closed.code, "opened early");
    }
    Ok(Json(view(&state, account, caller.reads_content()).await?))
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Opened {
    /// Why posting was closed for the app; empty: it was open.
    opened: Vec<Why>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Why {
    code: String,
    text: String,
}

/// Opens early what TikTok has closed for the whole app, or for accounts that did not post within the day. For operators.
#[utoipa::path(post, path = "/api/accounts/open", tag = "accounts", responses((status = 200, body = Opened)))]
pub(super) async fn open_app(State(state): State<AppState>, caller: Caller) -> Result<Json<Opened>, Problem> {
    caller.may(Access::Operate)?;
    let closed = control::open_app(&state.ledger).await?;
    for reason in &closed {
        tracing::info!(user = caller.key.user, was = reason.code, "the app was opened early");
    }
    let opened = closed.into_iter().map(|reason| Why { code: reason.code, text: reason.text }).collect();
    Ok(Json(Opened { opened }))
}
