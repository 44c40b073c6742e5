//! `pending` and `claim`: what is being worked on, and taking it from an owner that died.

use serde_json::{Value, json};

use super::client::Api;
use super::plan::Act;
use super::print::{self, cell};
use super::redraw;
use crate::app::{Failure, Manner};
use crate::config::Written;
use crate::event::Stage;

const HEAD: &[&str] = &["VIDEO", "STAGE", "STATE", "IDLE", "TIMES", "CONSUMER"];

pub(super) async fn list(
    api: &Api,
    stream: Option<String>,
    min_idle: Option<Written>,
    watch: bool,
    manner: Manner,
) -> Result<(), Failure> {
    let min_idle = min_idle.map(|idle| idle.to_string());
    let all = [("stream", stream.as_deref()), ("minIdle", min_idle.as_deref())];
    // Who looks once wants to know what Redis has, which costs a command a stream; who watches would pay for it every two
    // seconds, so there the server decides: it asks only where commands are not metered.
    let asks = (!watch).then_some(("redis", "true"));
    let query: Vec<_> =
        all.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).chain(asks).collect();
    let ask = async || api.get(&["api", "monitor", "pending"], &query).await;
    redraw::shown(watch, manner, ask, |answer| {
        let entries = answer.get("pending").and_then(Value::as_array).into_iter().flatten();
        print::table(HEAD, entries.map(row))?;
        print::line(&source(answer))
    })
    .await
}

pub(super) async fn claim(
    api: &Api,
    stream: Option<String>,
    min_idle: Written,
    ids: Vec<String>,
    manner: Manner,
) -> Result<(), Failure> {
    let mut body = json!({ "minIdle": min_idle.to_string() });
    if let Some(stream) = stream {
        body["stream"] = stream.into();
    }
    if !ids.is_empty() {
        body["ids"] = ids.into();
    }
    let act = Act {
        path: &["api", "streams", "claim"],
        body,
        list: "claimed",
        verb: "claim",
        done: "claimed",
        head: HEAD,
        row,
        nothing: format!("nothing has been idle for {min_idle} or more"),
    };
    act.run(api, manner).await
}

/// Where it comes from, and what it cost.
fn source(answer: &Value) -> String {
    match answer.get("commands").and_then(Value::as_u64).unwrap_or(0) {
        0 => "from the ledger alone; no Redis command".to_owned(),
        1 => "from the ledger and Redis; 1 Redis command".to_owned(),
        commands => format!("from the ledger and Redis; {commands} Redis commands"),
    }
}

fn row(entry: &Value) -> Vec<String> {
    let idle = entry
        .get("idleMs")
        .and_then(Value::as_u64)
        .map_or(String::new(), |idle| Written(std::time::Duration::from_secs(idle / 1000)).to_string());
    let text = |name| cell(entry, name);
    // An entry that no task knows goes by its own id.
    let id = Some(text("videoId")).filter(|id| !id.is_empty()).unwrap_or_else(|| text("entry"));
    let state = if text("state") == "setAside" { "aside".to_owned() } else { text("state") };
    // The stage is shorter than its stream's name, which leaves room for the consumer's.
    let stage = Stage::STREAMED.into_iter().find(|stage| stage.stream() == Some(&text("stream")));
    vec![id, stage.map_or(String::new(), |stage| stage.to_string()), state, idle, text("deliveries"), text("consumer")]
}
