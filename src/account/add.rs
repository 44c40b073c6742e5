//! Adding an account with tokens that came from elsewhere.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{ACCESS, REFRESH, Vault};
use crate::ledger::{AccountState, LedgerError, NewAccount, Tx};
use crate::seal::SealError;

/// Tokens as TikTok gives them. Seconds; without them the pair is refreshed before its first use.
#[derive(Debug, Deserialize)]
pub struct NewTokens {
    pub access_token: SecretString,
    pub refresh_token: SecretString,
    pub expires_in: Option<i64>,
    pub refresh_expires_in: Option<i64>,
}

#[derive(Debug, thiserror::Error)]
pub enum AddError {
    #[error("the account's id \"{0}\" can't be used: expected 1 to 64 letters, digits, `_`, `-` or `.`")]
    Id(String),
    #[error("the {0} is empty")]
    Empty(&'static str),
    #[error("the account {0} is there already, for another user or another TikTok creator; choose another id")]
    Taken(String),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Adds the account, or connects it again: brand, videos and limits stay.
pub async fn add(
    tx: &Tx,
    vault: &Vault,
    (id, user, open_id, display_name): (&str, &str, &str, &str),
    tokens: &NewTokens,
) -> Result<(), AddError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if id.is_empty() || id.len() > 64 || !id.bytes().all(fits) {
        return Err(AddError::Id(id.to_owned()));
    }
    for (name, empty) in [
        ("open_id", open_id.is_empty()),
        ("display_name", display_name.is_empty()),
        ("access_token", tokens.access_token.expose_secret().is_empty()),
        ("refresh_token", tokens.refresh_token.expose_secret().is_empty()),
    ] {
        if empty {
            return Err(AddError::Empty(name));
        }
    }
    let pair = super::pair(
        tx.now(),
        vault.seal(ACCESS, id, tokens.access_token.expose_secret())?,
        vault.seal(REFRESH, id, tokens.refresh_token.expose_secret())?,
        (tokens.expires_in, tokens.refresh_expires_in),
    );
    let account = NewAccount {
        id: id.to_owned(),
        user: user.to_owned(),
        open_id: open_id.to_owned(),
        display_name: display_name.to_owned(),
        tokens: pair,
    };
    let waits = tx.account(id).await?.is_some_and(|known| known.state == AccountState::Reconnect);
    match tx.put_account(&account).await {
        Err(LedgerError::Conflict) => return Err(AddError::Taken(id.to_owned())),
        other => other?,
    }
    if waits {
        // Its posts go on now, and not when they would have looked again by themselves.
        for row in tx.waiting_at_tiktok(id).await? {
            if let Ok(awake) = row.task.wake(tx.now()) {
                tx.put_task(&row.task, &awake).await?;
            }
        }
    }
    Ok(())
}
