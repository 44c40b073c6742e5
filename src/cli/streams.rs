//! `streams`: the dashboard's table.

use serde_json::Value;

use super::client::Api;
use super::pause;
use super::print::{self, cell};
use super::redraw;
use crate::app::{Failure, Manner};

pub(super) async fn run(api: &Api, watch: bool, manner: Manner) -> Result<(), Failure> {
    redraw::shown(watch, manner, async || api.get(&["api", "monitor", "streams"], &[]).await, show).await
}

fn show(answer: &Value) -> Result<(), Failure> {
    let streams = answer.get("streams").and_then(Value::as_array).into_iter().flatten();
    let rows = streams.clone().map(|stream| {
        // What nobody knows is not 0.
        let known = |name: &&str| match cell(stream, name) {
            text if text.is_empty() => "?".to_owned(),
            text => text,
        };
        let names =
            ["stream", "group", "length", "lag", "queued", "pending", "waiting", "parked", "dead", "needsReview"];
        let mut row: Vec<String> = names.iter().map(known).collect();
        // What could not be read is dead, too.
        let number = |name| stream.get(name).and_then(Value::as_i64).unwrap_or(0);
        row[8] = (number("dead") + number("deadEntries")).to_string();
        row
    });
    let head = ["STREAM", "GROUP", "LENGTH", "LAG", "QUEUED", "PENDING", "WAITING", "PARKED", "DEAD", "REVIEW"];
    print::table(&head, rows)?;
    for stream in streams.clone() {
        if let Some(paused) = pause::sentence(stream.get("paused")) {
            print::line(&print::printable(&format!("{} is {paused}", cell(stream, "group"))))?;
        }
    }
    for closed in streams.filter_map(|stream| stream.get("closed")?.as_array()).flatten() {
        let whom =
            if cell(closed, "what") == "newAccounts" { "accounts that have not posted today" } else { "all accounts" };
        print::line(&format!("TikTok has closed {whom} until {}: {}", cell(closed, "until"), cell(closed, "text")))?;
    }
    Ok(())
}
