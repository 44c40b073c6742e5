//! The commands that work on the stores and need no running server: `migrate`, `keys`, `accounts add|import`.

use std::io::{BufRead, Read};

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::embedded::existing_encryption_keys;
use super::{AccountAdd, Exit, Failure, Keys, Manner, Migrate, Output, RoleName, parts};
use crate::access;
use crate::account::{self, AddError, NewTokens, Vault};
use crate::config::Config;
use crate::ledger::{ConnectError, Ledger, LedgerError, Role, migrate_down, migration_status};

fn unavailable(error: LedgerError) -> Failure {
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
        Migrate::Down if manner.dry_run => {}
        Migrate::Down => {
            if !manner.yes {
                let text = "taking a migration back deletes what it had added; say --yes to do it";
                return Err(Failure::new(Exit::Usage, text));
            }
            migrate_down(url.expose_secret(), Some(1)).await.map_err(failed)?;
        }
        Migrate::Status => {}
    }
    for (name, applied) in migration_status(url.expose_secret()).await.map_err(failed)? {
        println!("{name}  {}", if applied { "applied" } else { "missing" });
    }
    Ok(())
}

pub(super) async fn keys(config: &Config, command: Keys, manner: Manner) -> Result<(), Failure> {
    let ledger = parts::ledger(config).await?;
    match command {
        Keys::Create { user, role } => create_key(&ledger, &user, role, manner).await,
        Keys::List => list_keys(&ledger, manner).await,
        Keys::Revoke { ids } => revoke_keys(&ledger, &ids, manner).await,
        Keys::Rewrap => {
            let vault = vault(config, &ledger).await?;
            let moved = account::rewrap(&ledger, &vault).await.map_err(|error| Failure::failed(error.to_string()))?;
            println!("{moved} accounts' tokens are under the newest key now");
            Ok(())
        }
    }
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
            let mut table = comfy_table::Table::new();
            table.load_style(comfy_table::presets::NOTHING).set_header(["ID", "USER", "ROLE", "STATE"]);
            for key in keys {
                let state = if key.revoked_at.is_some() { "revoked" } else { "active" };
                table.add_row([key.id.as_str(), &key.user, key.role.as_str(), state]);
            }
            println!("{table}");
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
async fn vault(config: &Config, ledger: &Ledger) -> Result<std::sync::Arc<Vault>, Failure> {
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
    parts::vault(ledger, keys).await
}

/// One JSON object on stdin: the tokens.
pub(super) async fn add_account(config: &Config, add: AccountAdd, manner: Manner) -> Result<(), Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::failed(format!("stdin: {error}")))?;
    let tokens: NewTokens = serde_json::from_str(&text).map_err(|error| unreadable(&error, "stdin"))?;
    let ledger = parts::ledger(config).await?;
    let vault = vault(config, &ledger).await?;
    let user = user(&ledger, add.user).await?;
    let line = Line { id: add.id, open_id: add.open_id, display_name: add.display_name, user: Some(user), tokens };
    put(&ledger, &vault, &[line], manner).await
}

#[derive(Deserialize)]
struct Line {
    id: String,
    open_id: String,
    display_name: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(flatten)]
    tokens: NewTokens,
}

/// JSON lines on stdin, all or none.
pub(super) async fn import_accounts(config: &Config, manner: Manner) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for (at, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.map_err(|error| Failure::failed(format!("stdin: {error}")))?;
        if !line.trim().is_empty() {
            lines.push(
                serde_json::from_str::<Line>(&line).map_err(|error| unreadable(&error, &format!("line {}", at + 1)))?,
            );
        }
    }
    if lines.is_empty() {
        return Err(Failure::new(Exit::NothingMatched, "stdin holds no account"));
    }
    let ledger = parts::ledger(config).await?;
    let vault = vault(config, &ledger).await?;
    for line in &mut lines {
        line.user = Some(user(&ledger, line.user.take()).await?);
    }
    put(&ledger, &vault, &lines, manner).await
}

/// Says what is wrong without repeating what may be a token.
fn unreadable(error: &serde_json::Error, place: &str) -> Failure {
    let text = format!(
        "{place}: expected a JSON object with \"access_token\" and \"refresh_token\" (and optional \"expires_in\" and \
         \"refresh_expires_in\" in seconds); {} at column {}",
        match error.classify() {
            serde_json::error::Category::Data => "a field is missing or of the wrong type",
            serde_json::error::Category::Eof => "it ends early",
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => "it is no JSON",
        },
        error.column()
    );
    Failure::failed(text)
}

async fn user(ledger: &Ledger, named: Option<String>) -> Result<String, Failure> {
    if let Some(user) = named {
        return Ok(user);
    }
    let mut users = ledger.users().await.map_err(unavailable)?;
    match (users.pop(), users.is_empty()) {
        (Some(user), true) => Ok(user),
        (Some(_), false) => {
            Err(Failure::new(Exit::Usage, "there are several users; say whose account it is with --user"))
        }
        (None, _) => {
            let text = "there is no user yet; say whose account it is with --user, or make a key first with `subiteya keys create`";
            Err(Failure::new(Exit::Usage, text))
        }
    }
}

async fn put(ledger: &Ledger, vault: &Vault, lines: &[Line], manner: Manner) -> Result<(), Failure> {
    let tx = ledger.begin().await.map_err(unavailable)?;
    for line in lines {
        let user = line.user.as_deref().unwrap_or_default();
        let about = (line.id.as_str(), user, line.open_id.as_str(), line.display_name.as_str());
        account::add(&tx, vault, about, &line.tokens).await.map_err(|error| match error {
            AddError::Ledger(error) => unavailable(error),
            other => Failure::failed(other.to_string()),
        })?;
    }
    if manner.dry_run {
        eprintln!("{} accounts would be added", lines.len());
        return Ok(());
    }
    tx.commit().await.map_err(unavailable)?;
    for line in lines {
        match manner.output {
            Output::Json => println!(
                "{}",
                json!({ "id": line.id, "user": line.user, "openId": line.open_id, "displayName": line.display_name })
            ),
            Output::Table => println!("{}  added", line.id),
        }
    }
    Ok(())
}
