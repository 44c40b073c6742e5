//! Removing an account: it is gone in any case, and TikTok is told where that is possible.

use std::time::Duration;

use super::Tokens;
use crate::ledger::{Account, Ledger, LedgerError};
use crate::tiktok::client::Client;

/// How long a person waits for TikTok at most.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whether TikTok has taken our authorization back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    Yes,
    /// Why not.
    No(String),
}

/// Revokes first: were we to die in between, the account would ask for its person and could be removed again.
pub async fn remove(
    ledger: &Ledger,
    account: &Account,
    tiktok: Option<(&Tokens, &Client)>,
) -> Result<Revoked, LedgerError> {
    let others = ledger.accounts_of_creator(&account.open_id).await?;
    let other = others.iter().find(|other| other.id != account.id && other.removed_at.is_none());
    let revoked = match (other, tiktok) {
        // TikTok takes back what a creator has granted the app, and not one pair of tokens.
        (Some(other), _) => Revoked::No(format!("the account {} is the same TikTok creator's and needs it", other.id)),
        (None, None) => Revoked::No("this server has no app at TikTok".to_owned()),
        (None, Some((tokens, client))) => match tokio::time::timeout(PATIENCE, revoke(account, tokens, client)).await {
            Ok(revoked) => revoked,
            Err(_) => Revoked::No(format!("TikTok did not answer within {} s", PATIENCE.as_secs())),
        },
    };
    let tx = ledger.begin().await?;
    tx.remove_account(&account.id).await?;
    tx.commit().await?;
    tracing::info!(account.id = account.id, ?revoked, "the account was removed");
    Ok(revoked)
}

async fn revoke(account: &Account, tokens: &Tokens, client: &Client) -> Revoked {
    let access = match tokens.access(&account.id, None).await {
        Ok(access) => access,
        Err(refusal) => return Revoked::No(refusal.text),
    };
    match client.revoke(&access.token).await {
        Ok(()) => Revoked::Yes,
        Err(refusal) => Revoked::No(format!("TikTok refused: {}", refusal.text)),
    }
}
