//! Moving all tokens to the newest key, while the system runs.

use secrecy::ExposeSecret;

use super::{ACCESS, AddError, REFRESH, Vault};
use crate::ledger::Ledger;

/// How many accounts' tokens were sealed under an older key. A pair that is refreshed meanwhile is under the newest
/// already.
pub async fn rewrap(ledger: &Ledger, vault: &Vault) -> Result<usize, AddError> {
    let mut moved = 0;
    for account in ledger.accounts(None).await? {
        let access = vault.ring.open(vault.context(ACCESS, &account.id), &account.tokens.access)?;
        let refresh = vault.ring.open(vault.context(REFRESH, &account.id), &account.tokens.refresh)?;
        if !access.stale && !refresh.stale {
            continue;
        }
        let tx = ledger.begin().await?;
        let access = vault.seal(ACCESS, &account.id, access.plaintext.expose_secret())?;
        let refresh = vault.seal(REFRESH, &account.id, refresh.plaintext.expose_secret())?;
        if tx.rewrap_tokens(&account.id, account.token_version, &access, &refresh).await? {
            moved += 1;
        }
        tx.commit().await?;
    }
    Ok(moved)
}
