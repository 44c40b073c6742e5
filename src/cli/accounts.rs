//! `accounts`, as far as the API does it: list, connect, remove. `add` and `import` work on the stores.

use reqwest::Method;
use reqwest::header::LOCATION;
use serde_json::Value;

use super::client::Api;
use super::confirm::confirm;
use super::print::{self, cell};
use crate::app::{Failure, Manner, Output};

pub(super) async fn list(api: &Api, manner: Manner) -> Result<(), Failure> {
    let answer = api.get(&["api", "accounts"], &[]).await?;
    if manner.output == Output::Json {
        return print::json(&answer);
    }
    let accounts = answer.get("accounts").and_then(Value::as_array).into_iter().flatten();
    let rows = accounts.map(|account| {
        ["id", "displayName", "state", "openId"].iter().map(|name| cell(account, name)).collect::<Vec<_>>()
    });
    print::table(&["ACCOUNT", "NAME", "STATE", "OPEN ID"], rows)
}

/// The address is TikTok's, so a browser has to go there.
pub(super) async fn connect(api: &Api) -> Result<(), Failure> {
    let response = api.send(api.request(Method::GET, &["api", "accounts", "connect"])).await?;
    let address = response.headers().get(LOCATION).and_then(|address| address.to_str().ok());
    let Some(address) = address else {
        return Err(Failure::failed("the server gave no address to go to"));
    };
    eprintln!("open this address in a browser that is signed in to SubiteYa:");
    print::line(address)
}

pub(super) async fn remove(api: &Api, ids: &[String], manner: Manner) -> Result<(), Failure> {
    if manner.dry_run {
        return print::line(&format!("would remove {}", ids.join(", ")));
    }
    let question = format!("This removes {} with their tokens.", ids.join(", "));
    confirm(&question, "remove", manner)?;
    for id in ids {
        api.delete(&["api", "accounts", id]).await?;
        print::line(&format!("removed {id}"))?;
    }
    Ok(())
}
