//! `accounts add` and `accounts import`: accounts whose tokens come from elsewhere, put into the stores themselves.

use std::collections::HashMap;
use std::io::Read;

use serde::Deserialize;
use serde_json::json;

use super::stores::{unavailable, vault};
use super::{AccountAdd, Exit, Failure, Manner, Output, parts};
use crate::account::{self, AddError, NewTokens, Vault};
use crate::config::Config;
use crate::ledger::Ledger;

/// One account of an import.
#[derive(Deserialize)]
struct Line {
    id: String,
    #[serde(alias = "openId")]
    open_id: String,
    #[serde(alias = "displayName")]
    display_name: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(flatten)]
    tokens: NewTokens,
}

/// One JSON object on stdin: the tokens.
pub(super) async fn add(config: &Config, add: AccountAdd, manner: Manner) -> Result<(), Failure> {
    let text = stdin()?;
    let tokens: NewTokens = serde_json::from_str(&text)
        .map_err(|error| Failure::failed(format!("stdin: {}", unreadable(&error, TOKENS))))?;
    let ledger = opened(config, manner).await?;
    let vault = vault(config, &ledger).await?;
    let line = Line { id: add.id, open_id: add.open_id, display_name: add.display_name, user: add.user, tokens };
    let lines = vec![("stdin".to_owned(), line)];
    let wrong = put(&ledger, &vault, lines, !manner.dry_run, manner.output).await?;
    if wrong.is_empty() { Ok(()) } else { Err(Failure::failed(wrong.join("\n"))) }
}

/// JSON lines on stdin: all of them, or none and what is wrong with each.
pub(super) async fn import(config: &Config, manner: Manner) -> Result<(), Failure> {
    let text = stdin()?;
    let (mut lines, mut wrong, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
    for (at, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let place = format!("line {}", at + 1);
        match serde_json::from_str::<Line>(text) {
            Err(error) => wrong.push(format!("{place}: {}", unreadable(&error, ACCOUNT))),
            Ok(line) => match seen.insert(line.id.clone(), place.clone()) {
                Some(before) => wrong.push(format!("{place}: the id {:?} stands on {before} already", line.id)),
                None => lines.push((place, line)),
            },
        }
    }
    if lines.is_empty() && wrong.is_empty() {
        return Err(Failure::new(Exit::NothingMatched, "stdin holds no account"));
    }
    let ledger = opened(config, manner).await?;
    let vault = vault(config, &ledger).await?;
    // What can't be read keeps the others from being written, but not from being checked.
    let (number, write) = (lines.len(), wrong.is_empty() && !manner.dry_run);
    wrong.extend(put(&ledger, &vault, lines, write, manner.output).await?);
    if wrong.is_empty() {
        if !write {
            eprintln!("{number} accounts would be added");
        }
        return Ok(());
    }
    wrong.push("nothing was imported; correct these lines and import all of them again".to_owned());
    Err(Failure::failed(wrong.join("\n")))
}

/// A trial makes and migrates nothing.
async fn opened(config: &Config, manner: Manner) -> Result<Ledger, Failure> {
    if manner.dry_run { parts::ledger_as_it_is(config).await } else { parts::ledger(config).await }
}

const TOKENS: &str = "expected a JSON object with \"access_token\" and \"refresh_token\" (and optional \"expires_in\" and \
                      \"refresh_expires_in\" in seconds)";
const ACCOUNT: &str = "expected a JSON object with \"id\", \"open_id\", \"display_name\", \"access_token\" and \
                       \"refresh_token\" (and optional \"user\", \"expires_in\" and \"refresh_expires_in\" in seconds)";

fn stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::failed(format!("stdin: {error}")))?;
    Ok(text)
}

/// Says what is wrong without repeating what may be a token.
fn unreadable(error: &serde_json::Error, expected: &str) -> String {
    let what = match error.classify() {
        // A missing field is named; what is of the wrong type would be quoted.
        serde_json::error::Category::Data => match error.to_string().split(" at ").next() {
            Some(missing) if missing.starts_with("missing field") => return format!("{expected}; {missing}"),
            _ => "a field is of the wrong type",
        },
        serde_json::error::Category::Eof => "it ends early",
        serde_json::error::Category::Io | serde_json::error::Category::Syntax => "it is no JSON",
    };
    format!("{expected}; {what}, at column {}", error.column())
}

/// The only user there is.
async fn only_user(ledger: &Ledger) -> Result<String, Failure> {
    let mut users = ledger.users().await.map_err(unavailable)?;
    match (users.pop(), users.is_empty()) {
        (Some(user), true) => Ok(user),
        (Some(_), false) => {
            Err(Failure::new(Exit::Usage, "there are several users; say whose account it is, with --user or \"user\""))
        }
        (None, _) => {
            let text = "there is no user yet; say whose account it is, with --user or \"user\", or make a key first with \
                        `subiteya keys create`";
            Err(Failure::new(Exit::Usage, text))
        }
    }
}

/// Puts all of them into the ledger, or none; without `write` it is only tried. Gives what is wrong, each with its place.
async fn put(
    ledger: &Ledger,
    vault: &Vault,
    mut lines: Vec<(String, Line)>,
    write: bool,
    output: Output,
) -> Result<Vec<String>, Failure> {
    if lines.iter().any(|(_, line)| line.user.is_none()) {
        let only = only_user(ledger).await?;
        lines.iter_mut().for_each(|(_, line)| {
            line.user.get_or_insert_with(|| only.clone());
        });
    }
    let mut wrong = Vec::new();
    let tx = ledger.begin().await.map_err(unavailable)?;
    for (place, line) in &lines {
        let user = line.user.as_deref().unwrap_or_default();
        let about = (line.id.as_str(), user, line.open_id.as_str(), line.display_name.as_str());
        match account::add(&tx, vault, about, &line.tokens).await {
            Ok(()) => {}
            Err(AddError::Ledger(error)) => return Err(unavailable(error)),
            Err(other) => wrong.push(format!("{place}: {other}")),
        }
    }
    if !wrong.is_empty() || !write {
        return Ok(wrong);
    }
    tx.commit().await.map_err(unavailable)?;
    for (_, line) in &lines {
        match output {
            Output::Json => println!(
                "{}",
                json!({ "id": line.id, "user": line.user, "openId": line.open_id, "displayName": line.display_name })
            ),
            Output::Table => println!("{}  added", line.id),
        }
    }
    Ok(wrong)
}
