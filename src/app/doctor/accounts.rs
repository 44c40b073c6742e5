//! The accounts: whether their tokens open, and who has to connect theirs again.

use std::collections::BTreeSet;

use super::report::Report;
use crate::account::Vault;
use crate::config::EncryptionKeys;
use crate::ledger::{Account, AccountState, Ledger, LedgerError};
use crate::seal::{KeyRing, SealError};

const PART: &str = "accounts";
/// How many are named.
const NAMED: usize = 5;

pub(super) async fn look(ledger: &Ledger, keys: Option<&EncryptionKeys>, report: &mut Report) {
    let (accounts, instance) = match read(ledger).await {
        Ok(found) => found,
        Err(error) => return report.ill(PART, error.to_string(), "see to the database"),
    };
    let (active, waiting): (Vec<_>, Vec<_>) =
        accounts.into_iter().partition(|account| account.state == AccountState::Active);
    if !waiting.is_empty() {
        let first = &waiting[0].id;
        report.doubt(
            PART,
            format!("{} have to be connected again, their posts wait: {}", waiting.len(), ids(&waiting)),
            format!("subiteya accounts connect --account {first}"),
        );
    }
    match keys {
        Some(keys) => open(&active, &Vault::new(KeyRing::of(keys), instance), report),
        None if !active.is_empty() => report.ill(
            PART,
            format!("{} accounts' tokens are sealed, and there is no key to open them", active.len()),
            "set ENCRYPTION_KEY to the one that this installation began with",
        ),
        None => {}
    }
    if report.is_well(PART) {
        report.well(PART, format!("{} can post: their tokens open", active.len()));
    }
}

async fn read(ledger: &Ledger) -> Result<(Vec<Account>, String), LedgerError> {
    Ok((ledger.accounts(None).await?, ledger.setting("instance").await?.unwrap_or_default()))
}

fn open(accounts: &[Account], vault: &Vault, report: &mut Report) {
    let (mut unknown, mut sealed_under, mut broken) = (Vec::new(), BTreeSet::new(), Vec::new());
    for account in accounts {
        match vault.opens(account) {
            Ok(()) => {}
            Err(SealError::UnknownKey(key)) => {
                unknown.push(account.clone());
                sealed_under.insert(key);
            }
            Err(SealError::Malformed | SealError::Refused) => broken.push(account.clone()),
        }
    }
    if !unknown.is_empty() {
        let keys: Vec<String> = sealed_under.into_iter().collect();
        report.ill(
            PART,
            format!(
                "{} accounts' tokens are sealed under the key {}, and ENCRYPTION_KEY holds {}: {}",
                unknown.len(),
                keys.join(", "),
                vault.key_ids().join(", "),
                ids(&unknown)
            ),
            "put that key behind the new one (ENCRYPTION_KEY=NEW,OLD) and run `subiteya keys rewrap`; if it is lost, \
             connect them again",
        );
    }
    if let Some(first) = broken.first() {
        report.ill(
            PART,
            format!(
                "{} accounts' tokens don't open: they were changed, or come from another installation's database: {}",
                broken.len(),
                ids(&broken)
            ),
            format!("subiteya accounts connect --account {}", first.id),
        );
    }
    let older = accounts.iter().filter(|account| vault.opens(account).is_ok() && vault.is_older(account)).count();
    if older > 0 {
        let text = format!("{older} accounts' tokens are under an older key; `subiteya keys rewrap` moves them");
        report.well(PART, text);
    }
}

fn ids(accounts: &[Account]) -> String {
    let named: Vec<&str> = accounts.iter().take(NAMED).map(|account| account.id.as_str()).collect();
    format!("{}{}", named.join(", "), if accounts.len() > NAMED { ", …" } else { "" })
}
