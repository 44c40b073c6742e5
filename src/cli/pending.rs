//! `pending` and `claim`: what is being worked on, and taking it from an owner that died.

use serde_json::{Value, json};

use super::client::Api;
use super::print::{self, cell};
use crate::app::{Exit, Failure, Manner, Output};
use crate::config::Written;

pub(super) async fn list(
    api: &Api,
    stream: Option<String>,
    min_idle: Option<Written>,
    manner: Manner,
) -> Result<(), Failure> {
    let min_idle = min_idle.map(|idle| idle.to_string());
    let all = [("stream", stream.as_deref()), ("minIdle", min_idle.as_deref())];
    let query: Vec<_> = all.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect();
    let answer = api.get(&["api", "monitor", "pending"], &query).await?;
    if manner.output == Output::Json { print::json(&answer) } else { table(&answer, "pending") }
}

pub(super) async fn claim(
    api: &Api,
    stream: Option<String>,
    min_idle: Written,
    ids: Vec<String>,
    manner: Manner,
) -> Result<(), Failure> {
    let mut body = json!({ "minIdle": min_idle.to_string(), "dryRun": manner.dry_run });
    if let Some(stream) = stream {
        body["stream"] = stream.into();
    }
    if !ids.is_empty() {
        body["ids"] = ids.into();
    }
    let answer = api.post(&["api", "streams", "claim"], &body).await?;
    let claimed = answer.get("claimed").and_then(Value::as_array).map_or(0, Vec::len);
    if manner.output == Output::Json {
        print::json(&answer)?;
    } else if claimed > 0 {
        table(&answer, "claimed")?;
    }
    if claimed == 0 {
        return Err(Failure::new(Exit::NothingMatched, format!("nothing has been idle for {min_idle} or more")));
    }
    eprintln!("{} {claimed}", if manner.dry_run { "would claim" } else { "claimed" });
    Ok(())
}

fn table(answer: &Value, list: &str) -> Result<(), Failure> {
    let entries = answer.get(list).and_then(Value::as_array).into_iter().flatten();
    let rows = entries.map(|entry| {
        let idle = entry
            .get("idleMs")
            .and_then(Value::as_u64)
            .map_or(String::new(), |idle| Written(std::time::Duration::from_secs(idle / 1000)).to_string());
        let text = |name| cell(entry, name);
        vec![text("videoId"), text("stream"), idle, text("deliveries"), text("consumer")]
    });
    print::table(&["VIDEO", "STREAM", "IDLE", "TIMES", "CONSUMER"], rows)
}
