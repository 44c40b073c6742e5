//! `/api/accounts`: who the videos are posted as. Tokens never come back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Name;
use super::videos::time;
use super::{Access, AppState, Caller, Problem};
use crate::ledger::{Account, AccountState};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/accounts", get(list)).route("/api/accounts/{id}", get(show).delete(remove))
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
    /// ACTIVE, or RECONNECT: the person has to connect it again.
    #[schema(value_type = String)]
    state: AccountState,
    state_reason: Option<String>,
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
    fn of(account: Account, caller: &Caller) -> Self {
        let names = caller.reads_content();
        Self {
            id: account.id,
            user: account.user,
            open_id: names.then_some(account.open_id),
            display_name: names.then_some(account.display_name),
            username: account.username.filter(|_| names),
            avatar_url: account.avatar_url.filter(|_| names),
            state: account.state,
            state_reason: account.state_reason,
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
    Ok(Json(Accounts { accounts: accounts.into_iter().map(|account| AccountView::of(account, &caller)).collect() }))
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
    Ok(Json(AccountAnswer { account: AccountView::of(account, &caller) }))
}

/// Disconnects an account: its tokens are forgotten at once, its videos stay.
#[utoipa::path(delete, path = "/api/accounts/{id}", tag = "accounts", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    Name(id): Name,
) -> Result<StatusCode, Problem> {
    caller.may(Access::Change)?;
    owned(&state, &caller, &id).await?;
    let tx = state.ledger.begin().await?;
    tx.remove_account(&id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
