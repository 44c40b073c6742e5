//! Moving all tokens to the newest key, while the system runs.

use secrecy::ExposeSecret;

use super::{ACCESS, AddError, REFRESH, Vault};
use crate::ledger::{Account, AccountState, Ledger};
use crate::seal::{SealError, key_id};

/// A process that has not the newest key yet may refresh a pair meanwhile; what it sealed is moved in the next round.
const ROUNDS: usize = 3;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Accounts whose tokens were under an older key.
    pub moved: usize,
    /// What needs another key than the newest, each with that key's id. While there is any, that key may not be dropped.
    pub needs: Vec<(String, String)>,
}

/// `write` false: only says what there is.
pub async fn rewrap(ledger: &Ledger, vault: &Vault, write: bool) -> Result<Rewrapped, AddError> {
    let mut done = Rewrapped::default();
    for _ in 0..ROUNDS {
        let moved = round(ledger, vault, write).await?;
        done.moved += moved;
        if moved == 0 || !write {
            break;
        }
    }
    done.needs = needs(ledger, vault).await?;
    Ok(done)
}

async fn round(ledger: &Ledger, vault: &Vault, write: bool) -> Result<usize, AddError> {
    let mut moved = 0;
    for account in ledger.accounts(None).await? {
        let tokens = &account.tokens;
        if !under_another(vault, &tokens.access) && !under_another(vault, &tokens.refresh) {
            continue;
        }
        let again = |purpose, sealed: &str| -> Result<String, SealError> {
            vault.seal(purpose, &account.id, vault.open(purpose, &account.id, sealed)?.expose_secret())
        };
        match (again(ACCESS, &tokens.access), again(REFRESH, &tokens.refresh)) {
            (Ok(_), Ok(_)) if !write => moved += 1,
            (Ok(access), Ok(refresh)) => {
                let tx = ledger.begin().await?;
                if tx.rewrap_tokens(&account.id, account.token_version, &access, &refresh).await? {
                    moved += 1;
                }
                tx.commit().await?;
            }
            // Told with what is left, and no reason to leave the others where they are.
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(account.id = account.id, %error, "an account's tokens can't be moved to the newest key");
            }
        }
    }
    Ok(moved)
}

fn under_another(vault: &Vault, sealed: &str) -> bool {
    key_id(sealed).is_some_and(|key| Some(key) != vault.ring.ids().next())
}

/// A pair that is lost is no reason to keep a key: it will be replaced by another.
fn matters(account: &Account) -> bool {
    account.state == AccountState::Active
}

async fn needs(ledger: &Ledger, vault: &Vault) -> Result<Vec<(String, String)>, AddError> {
    let mut sealed = Vec::new();
    for account in ledger.accounts(None).await?.into_iter().filter(matters) {
        let what = format!("the tokens of the account {}", account.id);
        sealed.extend([(what.clone(), account.tokens.access), (what, account.tokens.refresh)]);
    }
    for (video, url) in ledger.upload_urls_in_use().await? {
        sealed.push((format!("the upload of the video {video}"), url));
    }
    for verifier in ledger.login_verifiers_in_use(ledger.now().await?).await? {
        sealed.push(("a login at TikTok".to_owned(), verifier));
    }
    let other = sealed.into_iter().filter(|(_, sealed)| under_another(vault, sealed));
    let mut needs: Vec<(String, String)> =
        other.filter_map(|(what, sealed)| Some((what, key_id(&sealed)?.to_owned()))).collect();
    needs.dedup();
    Ok(needs)
}
