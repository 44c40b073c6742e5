//! `streams`: the dashboard's table.

use std::io::IsTerminal;
use std::time::Duration;

use serde_json::Value;

use super::client::Api;
use super::print::{self, cell};
use crate::app::{Failure, Manner, Output};

const AGAIN: Duration = Duration::from_secs(2);
const CLEAR: &str = "\x1b[2J\x1b[H";

pub(super) async fn run(api: &Api, watch: bool, manner: Manner) -> Result<(), Failure> {
    loop {
        let answer = api.get(&["api", "monitor", "streams"], &[]).await?;
        if watch && manner.output == Output::Table && std::io::stdout().is_terminal() {
            print::bytes(CLEAR.as_bytes(), &mut std::io::stdout())?;
        }
        show(&answer, manner)?;
        if !watch {
            return Ok(());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn show(answer: &Value, manner: Manner) -> Result<(), Failure> {
    if manner.output == Output::Json {
        return print::json(answer);
    }
    let streams = answer.get("streams").and_then(Value::as_array).into_iter().flatten();
    let rows = streams.map(|stream| {
        // A lag that nobody knows is not 0.
        let lag = match cell(stream, "lag") {
            lag if lag.is_empty() => "?".to_owned(),
            lag => lag,
        };
        let names = ["stream", "group", "length", "pending", "consumers", "waiting", "parked", "dead"];
        let mut row: Vec<String> = names.iter().map(|name| cell(stream, name)).collect();
        row.insert(3, lag);
        row
    });
    let head = ["STREAM", "GROUP", "LENGTH", "LAG", "PENDING", "CONSUMERS", "WAITING", "PARKED", "DEAD"];
    print::table(&head, rows)?;
    let streams = answer.get("streams").and_then(Value::as_array).into_iter().flatten();
    for closed in streams.filter_map(|stream| stream.get("closed")?.as_array()).flatten() {
        let whom =
            if cell(closed, "what") == "newAccounts" { "accounts that have not posted today" } else { "all accounts" };
        print::line(&format!("TikTok has closed {whom} until {}: {}", cell(closed, "until"), cell(closed, "text")))?;
    }
    Ok(())
}
