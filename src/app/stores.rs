//! The commands that work on the stores and need no running server: `migrate`, `keys`. See `accounts` for the others.

use secrecy::ExposeSecret;
use serde_json::json;

use super::embedded::existing_encryption_keys;
use super::{Exit, Failure, Keys, Manner, Migrate, Output, RoleName, drawn, parts};
use crate::access;
use crate::account::{self, Vault};
use crate::config::Config;
use crate::ledger::{ConnectError, Ledger, LedgerError, Role, migrate_down, migration_status};
use crate::migrations;

pub(super) fn unavailable(error: LedgerError) -> Failure {
    Failure::unavailable(error.to_string())
}

pub(super) async fn migrate(config: &Config, step: Migrate, manner: Manner) -> Result<(), Failure> {
    let url = parts::database_url(config);
    let failed = |error: ConnectError| match error {
        ConnectError::Newer(_) => Failure::new(Exit::Configuration, error.to_string()),
        other => Failure::failed(other.to_string()),
    };
    match step {
        Migrate::Up if manner.dry_run => {}
        Migrate::Up => drop(parts::ledger(config).await?),
        Migrate::Down if manner.dry_run => {
            let applied = migration_status(url.expose_secret()).await.map_err(failed)?;
            match applied.iter().rev().find(|(_, applied)| *applied) {
                Some((name, _)) => println!("{name} would be taken back; with it goes {}", migrations::lost_with(name)),
                None => println!("no migration is applied, so none would be taken back"),
            }
        }
        Migrate::Down => {
            if !manner.yes {
                let text =
                    "taking a migration back deletes what it had added (--dry-run says what); say --yes to do it";
                return Err(Failure::new(Exit::Usage, text));
            }
            migrate_down(url.expose_secret(), Some(1)).await.map_err(failed)?;
        }
        Migrate::Status => {}
    }
    let migrations = migration_status(url.expose_secret()).await.map_err(failed)?;
    if manner.output == Output::Json {
        let list: Vec<_> =
            migrations.iter().map(|(name, applied)| json!({ "name": name, "applied": applied })).collect();
        println!("{}", json!({ "migrations": list }));
        return Ok(());
    }
    for (name, applied) in migrations {
        println!("{name}  {}", if applied { "applied" } else { "missing" });
    }
    Ok(())
}

pub(super) async fn keys(config: &Config, command: Keys, manner: Manner) -> Result<(), Failure> {
    let only_looks = manner.dry_run || command == Keys::List;
    let ledger = if only_looks { parts::ledger_as_it_is(config).await? } else { parts::ledger(config).await? };
    match command {
        Keys::Create { user, role } => create_key(&ledger, &user, role, manner).await,
        Keys::List => list_keys(&ledger, manner).await,
        Keys::Revoke { ids } => revoke_keys(&ledger, &ids, manner).await,
        Keys::Rewrap => {
            let vault = vault(config, &ledger).await?;
            rewrap(&ledger, &vault, manner).await
        }
    }
}

async fn rewrap(ledger: &Ledger, vault: &Vault, manner: Manner) -> Result<(), Failure> {
    let done = account::rewrap(ledger, vault, !manner.dry_run).await;
    let done = done.map_err(|error| Failure::failed(error.to_string()))?;
    let verb = if manner.dry_run { "would be moved to" } else { "were moved to" };
    println!("{} accounts' tokens {verb} the newest key", done.moved);
    if done.moved_under_way > 0 {
        println!("{} uploads and logins that are under way {verb} it, too", done.moved_under_way);
    }
    if done.needs.is_empty() || manner.dry_run {
        return Ok(());
    }
    let mut lines: Vec<String> =
        done.needs.iter().map(|(what, key)| format!("{what} still needs the key {key}")).collect();
    lines.push(
        "keep these keys in ENCRYPTION_KEY, start every process with the newest key first, and run this again; uploads and \
         logins that are under way end by themselves within two hours"
            .to_owned(),
    );
    Err(Failure::failed(lines.join("\n")))
}

async fn create_key(ledger: &Ledger, user: &str, role: RoleName, manner: Manner) -> Result<(), Failure> {
    let role = match role {
        RoleName::Creator => Role::Creator,
        RoleName::Operator => Role::Operator,
        RoleName::Viewer => Role::Viewer,
    };
    if user.is_empty() || user.len() > 200 {
        return Err(Failure::new(Exit::Usage, "--user: expected 1 to 200 characters"));
    }
    if manner.dry_run {
        println!("a key for {user} as {role} would be made");
        return Ok(());
    }
    let tx = ledger.begin().await.map_err(unavailable)?;
    let new = access::create_key(&tx, user, role).await.map_err(unavailable)?;
    tx.commit().await.map_err(unavailable)?;
    match manner.output {
        Output::Json => println!(
            "{}",
            json!({ "id": new.id, "user": new.user, "role": new.role.as_str(), "key": new.key.expose_secret() })
        ),
        Output::Table => {
            println!("{}", new.key.expose_secret());
            eprintln!("the key {} of {} ({}); it is shown only now", new.id, new.user, new.role);
        }
    }
    Ok(())
}

async fn list_keys(ledger: &Ledger, manner: Manner) -> Result<(), Failure> {
    let keys = ledger.keys().await.map_err(unavailable)?;
    let time = |at: i64| chrono::DateTime::from_timestamp_millis(at).unwrap_or_default().to_rfc3339();
    match manner.output {
        Output::Json => {
            let list: Vec<_> = keys
                .iter()
                .map(|key| {
                    json!({ "id": key.id, "user": key.user, "role": key.role.as_str(),
                        "createdAt": time(key.created_at), "revokedAt": key.revoked_at.map(time) })
                })
                .collect();
            println!("{}", json!({ "keys": list }));
        }
        Output::Table => {
            let rows = keys.iter().map(|key| {
                let state = if key.revoked_at.is_some() { "revoked" } else { "active" };
                vec![key.id.clone(), key.user.clone(), key.role.as_str().to_owned(), state.to_owned()]
            });
            println!("{}", drawn(&["ID", "USER", "ROLE", "STATE"], rows));
        }
    }
    Ok(())
}

async fn revoke_keys(ledger: &Ledger, ids: &[String], manner: Manner) -> Result<(), Failure> {
    let tx = ledger.begin().await.map_err(unavailable)?;
    let mut revoked = 0;
    for id in ids {
        if tx.revoke_key(id).await.map_err(unavailable)? {
            revoked += 1;
            println!("{id}  {}", if manner.dry_run { "would be revoked" } else { "revoked" });
        } else {
            eprintln!("subiteya: there is no active key {id}");
        }
    }
    if !manner.dry_run {
        tx.commit().await.map_err(unavailable)?;
    }
    if revoked == 0 { Err(Failure::new(Exit::NothingMatched, "no key was revoked")) } else { Ok(()) }
}

/// The keys from ENCRYPTION_KEY, or those that an `up` keeps in the data folder.
pub(super) async fn vault(config: &Config, ledger: &Ledger) -> Result<std::sync::Arc<Vault>, Failure> {
    let kept;
    let keys = match &config.keys {
        Some(keys) => keys,
        None => {
            kept = existing_encryption_keys(&config.data)?.ok_or_else(|| {
                let text = "ENCRYPTION_KEY is not set, and no `subiteya up` has made one in the data folder; set it like \
                            ENCRYPTION_KEY=$(openssl rand -base64 32)";
                Failure::new(Exit::Configuration, text)
            })?;
            &kept
        }
    };
    parts::vault(config, ledger, keys).await
}
