//! `pending` and `claim`: what is being worked on, and taking it from an owner that died.

use serde_json::{Value, json};

use super::client::Api;
use super::plan::Act;
use super::print::{self, cell};
use super::redraw;
use crate::app::{Failure, Manner};
use crate::config::Written;

const HEAD: &[&str] = &["VIDEO", "STREAM", "IDLE", "TIMES", "CONSUMER"];

pub(super) async fn list(
    api: &Api,
    stream: Option<String>,
    min_idle: Option<Written>,
    watch: bool,
    manner: Manner,
) -> Result<(), Failure> {
    let min_idle = min_idle.map(|idle| idle.to_string());
    let all = [("stream", stream.as_deref()), ("minIdle", min_idle.as_deref())];
    let query: Vec<_> = all.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect();
    let ask = async || api.get(&["api", "monitor", "pending"], &query).await;
    redraw::shown(watch, manner, ask, |answer| {
        let entries = answer.get("pending").and_then(Value::as_array).into_iter().flatten();
        print::table(HEAD, entries.map(row))
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

fn row(entry: &Value) -> Vec<String> {
    let idle = entry
        .get("idleMs")
        .and_then(Value::as_u64)
        .map_or(String::new(), |idle| Written(std::time::Duration::from_secs(idle / 1000)).to_string());
    let text = |name| cell(entry, name);
    vec![text("videoId"), text("stream"), idle, text("deliveries"), text("consumer")]
}
