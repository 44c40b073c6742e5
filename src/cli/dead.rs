//! `dead`: what failed for good, and what can be done about it.

use serde_json::{Value, json};

use super::args::{Dead, DeadOnes};
use super::client::Api;
use super::plan::Act;
use super::print::{self, cell};
use super::video::{local_time, timeline};
use super::{redraw, replay};
use crate::app::{Failure, Manner, Output};

pub(super) async fn run(api: &Api, command: Dead, manner: Manner) -> Result<(), Failure> {
    match command {
        Dead::List { stream, query, limit, cursor, watch } => {
            let limit = limit.map(|limit| limit.to_string());
            let all = [("stream", stream), ("q", query), ("limit", limit), ("cursor", cursor)];
            let query: Vec<_> =
                all.iter().filter_map(|(name, value)| value.as_deref().map(|value| (*name, value))).collect();
            redraw::shown(watch, manner, async || api.get(&["api", "dead"], &query).await, list).await
        }
        Dead::Show { id } => show(&api.get(&["api", "dead", &id], &[]).await?, manner),
        Dead::Retry(ones) => act(&ones, true).run(api, manner).await,
        Dead::Drop(ones) => act(&ones, false).run(api, manner).await,
    }
}

fn act(ones: &DeadOnes, retry: bool) -> Act<'static> {
    let mut body = if ones.all { json!({ "all": true }) } else { json!({ "ids": ones.ids }) };
    for (name, value) in [("stream", &ones.stream), ("q", &ones.query)] {
        if let Some(value) = value {
            body[name] = value.as_str().into();
        }
    }
    let nothing = "there is no such dead letter".to_owned();
    if retry {
        let path = &["api", "dead", "retry"];
        let (list, verb, done) = ("retried", "retry", "tried again:");
        return Act { path, body, list, verb, done, head: replay::HEAD, row: replay::row, nothing };
    }
    let row = |id: &Value| vec![id.as_str().unwrap_or_default().to_owned()];
    let (list, verb, done) = ("dropped", "drop", "dropped");
    Act { path: &["api", "dead", "drop"], body, list, verb, done, head: &["DEAD"], row, nothing }
}

fn list(answer: &Value) -> Result<(), Failure> {
    let list = |name| answer.get(name).and_then(Value::as_array).into_iter().flatten();
    let letters = list("dead").map(|one| vec![cell(one, "id"), cell(one, "stage"), why(one), title(one)]);
    // What could not be read has no title: what stood in it says more.
    let entries = list("entries").map(|one| vec![cell(one, "id"), "-".to_owned(), why(one), cell(one, "fields")]);
    print::table(&["DEAD", "STAGE", "WHY", "TITLE"], letters.chain(entries))?;
    let next = cell(answer, "next");
    if !next.is_empty() {
        eprintln!("there are more: --cursor {}", print::printable(&next));
    }
    Ok(())
}

fn why(one: &Value) -> String {
    let reason = &one["reason"];
    format!("{} ({})", cell(reason, "text"), cell(reason, "code"))
}

fn title(one: &Value) -> String {
    print::shortened(&cell(one, "title"))
}

fn show(answer: &Value, manner: Manner) -> Result<(), Failure> {
    if manner.output == Output::Json {
        return print::json(answer);
    }
    let dead = &answer["dead"];
    let retry = match &answer["refused"]["reason"] {
        Value::Null => "it can be tried again".to_owned(),
        reason => format!("refused: {}", cell(reason, "text")),
    };
    print::fields(vec![
        ("video", cell(dead, "id")),
        ("account", cell(dead, "accountId")),
        ("title", cell(dead, "title")),
        ("ended in", cell(dead, "stage")),
        ("why", why(dead)),
        ("attempts", cell(dead, "attempts")),
        ("workers that died over it", cell(dead, "takeovers")),
        ("ended", local_time(&cell(dead, "endedAt"))),
        ("retry", retry),
    ])?;
    timeline(answer)
}
