//! `accounts`, as far as the API does it: list, open, remove. `add` and `import` work on the stores.

use serde_json::{Value, json};

use super::client::Api;
use super::confirm::confirm;
use super::pause;
use super::print::{self, cell};
use crate::app::{Failure, Manner, Output};

pub(super) async fn list(api: &Api, manner: Manner) -> Result<(), Failure> {
    let answer = api.get(&["api", "accounts"], &[]).await?;
    if manner.output == Output::Json {
        return print::json(&answer);
    }
    let accounts = answer.get("accounts").and_then(Value::as_array).into_iter().flatten();
    let rows = accounts.map(|account| {
        let state = state(account);
        let (next, posts) = (cell(account, "nextPostAt"), cell(account, "postsLastDay"));
        vec![cell(account, "id"), cell(account, "displayName"), state, next, posts]
    });
    print::table(&["ACCOUNT", "NAME", "STATE", "NEXT POST", "POSTS IN 24 H"], rows)
}

fn state(account: &Value) -> String {
    let [state, until, why] = ["state", "closedUntil", "stateReason"].map(|name| cell(account, name));
    let paused = pause::sentence(account.get("paused")).unwrap_or_default();
    [state, until, why, paused].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

pub(super) async fn open(api: &Api, ids: &[String], app: bool, manner: Manner) -> Result<(), Failure> {
    if manner.dry_run {
        let app = app.then(|| "the app".to_owned());
        return print::line(&format!("would open {}", app.iter().chain(ids).cloned().collect::<Vec<_>>().join(", ")));
    }
    if app {
        let answer = api.post(&["api", "accounts", "open"], &json!({})).await?;
        let opened: Vec<&Value> = answer.get("opened").and_then(Value::as_array).into_iter().flatten().collect();
        match manner.output {
            Output::Json => print::json(&answer)?,
            Output::Table if opened.is_empty() => print::line("the app was open")?,
            Output::Table => {
                for why in opened {
                    print::line(&format!("opened the app, which was closed: {}", cell(why, "text")))?;
                }
            }
        }
    }
    for id in ids {
        let answer = api.post(&["api", "accounts", id, "open"], &json!({})).await?;
        match (manner.output, answer.get("account")) {
            (Output::Table, Some(account)) => print::line(&format!("opened {id}: {}", state(account)))?,
            _ => print::json(&answer)?,
        }
    }
    Ok(())
}

pub(super) async fn remove(api: &Api, ids: &[String], manner: Manner) -> Result<(), Failure> {
    if manner.dry_run {
        return print::line(&format!("would remove {}", ids.join(", ")));
    }
    let question = format!("This removes {} with their tokens.", ids.join(", "));
    confirm(&question, "remove", manner)?;
    for id in ids {
        let answer = api.delete(&["api", "accounts", id]).await?;
        let reason = print::printable(&cell(&answer, "reason"));
        match manner.output {
            Output::Json => print::json(&answer)?,
            Output::Table if reason.is_empty() => print::line(&format!("removed {id}; TikTok has revoked its access"))?,
            Output::Table => print::line(&format!("removed {id}; its access is not revoked at TikTok: {reason}"))?,
        }
    }
    Ok(())
}
