//! `replay`: ended work of a stream gets another turn.

use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::args::Replay;
use super::client::Api;
use super::plan::Act;
use super::print::{self, cell};
use crate::app::{Failure, Manner};
use crate::config::Written;

/// RFC 3339, or so long ago.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past(DateTime<Utc>);

impl FromStr for Past {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a time such as 2026-12-24T18:00:00Z, or how long ago, such as 2h".to_owned();
        if let Ok(ago) = text.parse::<Written>() {
            let ago = chrono::Duration::from_std(ago.0).map_err(|_| expected())?;
            return Utc::now().checked_sub_signed(ago).map(Self).ok_or_else(expected);
        }
        DateTime::parse_from_rfc3339(text).map(|time| Self(time.to_utc())).map_err(|_| expected())
    }
}

pub(super) async fn run(api: &Api, wanted: Replay, manner: Manner) -> Result<(), Failure> {
    let mut body = json!({ "stream": wanted.stream });
    for (name, time) in [("from", wanted.from), ("to", wanted.to)] {
        if let Some(Past(time)) = time {
            body[name] = time.to_rfc3339_opts(SecondsFormat::Millis, true).into();
        }
    }
    for (name, list) in [("status", wanted.status), ("ids", wanted.ids)] {
        if !list.is_empty() {
            body[name] = list.into();
        }
    }
    let act = Act {
        path: &["api", "streams", "replay"],
        body,
        list: "replayed",
        verb: "replay",
        done: "replayed",
        head: HEAD,
        row,
        nothing: "nothing that ended fits".to_owned(),
    };
    act.run(api, manner).await
}

pub(super) const HEAD: &[&str] = &["VIDEO", "STAGE", "WAS", "TITLE"];

pub(super) fn row(one: &Value) -> Vec<String> {
    let text = |name| cell(one, name);
    vec![text("videoId"), text("stage"), text("status"), print::shortened(&text("title"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_absolute_or_so_long_ago() {
        let ago = Utc::now() - "2h".parse::<Past>().expect("a time").0;
        assert!((7190..=7210).contains(&ago.num_seconds()));
        assert!("2026-12-24T18:00:00+01:00".parse::<Past>().is_ok());
        assert!(["yesterday", "", "2 h ago"].iter().all(|text| text.parse::<Past>().is_err()));
    }
}
