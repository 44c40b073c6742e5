//! Moving all tokens to the newest key, while the system runs.

use secrecy::{ExposeSecret, SecretString};

use super::{ACCESS, AddError, REFRESH, Vault};
use crate::ledger::{Account, Ledger};

/// An account's tokens, opened with a key that is not the newest.
pub struct Stale {
    account: Account,
    access: SecretString,
    refresh: SecretString,
}

/// The accounts whose tokens were sealed under an older key.
pub async fn stale(ledger: &Ledger, vault: &Vault) -> Result<Vec<Stale>, AddError> {
    let mut found = Vec::new();
    for account in ledger.accounts(None).await? {
        let access = vault.ring.open(vault.context(ACCESS, &account.id), &account.tokens.access)?;
        let refresh = vault.ring.open(vault.context(REFRESH, &account.id), &account.tokens.refresh)?;
        if access.stale || refresh.stale {
            found.push(Stale { account, access: access.plaintext, refresh: refresh.plaintext });
        }
    }
    Ok(found)
}

/// How many were moved. A pair that is refreshed meanwhile is under the newest already.
pub async fn rewrap(ledger: &Ledger, vault: &Vault) -> Result<usize, AddError> {
    let mut moved = 0;
    for Stale { account, access, refresh } in stale(ledger, vault).await? {
        let tx = ledger.begin().await?;
        let access = vault.seal(ACCESS, &account.id, access.expose_secret())?;
        let refresh = vault.seal(REFRESH, &account.id, refresh.expose_secret())?;
        if tx.rewrap_tokens(&account.id, account.token_version, &access, &refresh).await? {
            moved += 1;
        }
        tx.commit().await?;
    }
    Ok(moved)
}
