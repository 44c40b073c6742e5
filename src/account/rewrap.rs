//! Moving all that is sealed to the newest key, while the system runs.

use secrecy::ExposeSecret;

use super::{ACCESS, AddError, REFRESH, UPLOAD_URL, VERIFIER, Vault};
use crate::event::{Stage, VideoId};
use crate::ledger::{Account, AccountState, Ledger, LedgerError, PublicationRow, Tx};
use crate::seal::{SealError, key_id};
use crate::task::State;

/// A process that has not the newest key yet may refresh a pair meanwhile; what it sealed is moved in the next round.
const ROUNDS: usize = 3;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Accounts whose tokens were under an older key.
    pub moved: usize,
    /// Upload URLs and logins under way that were.
    pub moved_under_way: usize,
    /// What needs another key than the newest, each with that key's id. While there is any, that key may not be dropped.
    pub needs: Vec<(String, String)>,
}

/// `write` false: only says what there is.
pub async fn rewrap(ledger: &Ledger, vault: &Vault, write: bool) -> Result<Rewrapped, AddError> {
    let mut done = Rewrapped::default();
    for _ in 0..ROUNDS {
        let moved = round(ledger, vault, write).await?;
        let under_way = uploads(ledger, vault, write).await? + logins(ledger, vault, write).await?;
        done.moved += moved;
        done.moved_under_way += under_way;
        if moved + under_way == 0 || !write {
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

/// What a worker has in its hands stays as it is until the worker is through; it is named with what is left.
async fn uploads(ledger: &Ledger, vault: &Vault, write: bool) -> Result<usize, AddError> {
    let mut moved = 0;
    for (video, sealed) in ledger.upload_urls_in_use().await? {
        if !under_another(vault, &sealed) {
            continue;
        }
        let Ok(url) = vault.open_upload_url(&video.to_string(), &sealed) else { continue };
        let again = vault.seal(UPLOAD_URL, &video.to_string(), url.expose_secret())?;
        if !write {
            moved += 1;
            continue;
        }
        let tx = ledger.begin().await?;
        if !is_worked_on(&tx, video).await?
            && let Some(row) = tx.publication(video).await?.filter(|row| row.upload_url.as_ref() == Some(&sealed))
        {
            tx.put_publication(&row, &with_url(&row, again)?).await?;
            moved += 1;
        }
        tx.commit().await?;
    }
    Ok(moved)
}

async fn is_worked_on(tx: &Tx, video: VideoId) -> Result<bool, LedgerError> {
    for stage in [Stage::Publish, Stage::Confirm] {
        if tx.task_of(video, stage).await?.is_some_and(|row| row.task.state == State::Running) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// It stands in the protocol's own state, too.
fn with_url(row: &PublicationRow, sealed: String) -> Result<PublicationRow, LedgerError> {
    let corrupt = |error: serde_json::Error| LedgerError::Corrupt(format!("the publication of {}: {error}", row.video));
    let mut record: serde_json::Value = serde_json::from_str(&row.record).map_err(corrupt)?;
    if let Some(url) = record.get_mut("upload_url") {
        *url = sealed.clone().into();
    }
    Ok(PublicationRow { upload_url: Some(sealed), record: record.to_string(), ..row.clone() })
}

async fn logins(ledger: &Ledger, vault: &Vault, write: bool) -> Result<usize, AddError> {
    let mut moved = 0;
    for (state, sealed) in ledger.login_verifiers_in_use(ledger.now().await?).await? {
        if !under_another(vault, &sealed) {
            continue;
        }
        let Ok(verifier) = vault.open(VERIFIER, &state, &sealed) else { continue };
        let again = vault.seal(VERIFIER, &state, verifier.expose_secret())?;
        if !write {
            moved += 1;
            continue;
        }
        let tx = ledger.begin().await?;
        moved += usize::from(tx.rewrap_verifier(&state, &sealed, &again).await?);
        tx.commit().await?;
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
    for (_, verifier) in ledger.login_verifiers_in_use(ledger.now().await?).await? {
        sealed.push(("a login at TikTok".to_owned(), verifier));
    }
    let other = sealed.into_iter().filter(|(_, sealed)| under_another(vault, sealed));
    let mut needs: Vec<(String, String)> =
        other.filter_map(|(what, sealed)| Some((what, key_id(&sealed)?.to_owned()))).collect();
    needs.dedup();
    Ok(needs)
}
