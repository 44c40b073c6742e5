//! A video as the API tells it, and how it is shown.

use chrono::{DateTime, Local};
use serde_json::Value;

use super::print::{self, cell};
use crate::app::{Failure, Output};
use crate::config::Written;

/// What a video can end as.
const ENDS: [&str; 4] = ["POSTED", "FAILED", "CANCELED", "NEEDS_REVIEW"];

/// The fields, of which events tell those that changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Video(pub(super) Value);

impl Video {
    /// Out of `{ "video": … }`.
    pub(super) fn of(answer: &Value) -> Result<Self, Failure> {
        match answer.get("video") {
            Some(video @ Value::Object(_)) => Ok(Self(video.clone())),
            _ => Err(Failure::failed("the server's answer holds no video; is it SubiteYa?")),
        }
    }

    pub(super) fn id(&self) -> String {
        cell(&self.0, "id")
    }

    pub(super) fn status(&self) -> String {
        cell(&self.0, "status")
    }

    pub(super) fn progress(&self) -> u64 {
        self.0.get("progress").and_then(Value::as_f64).map_or(0, |progress| progress.clamp(0.0, 100.0) as u64)
    }

    pub(super) fn has_ended(&self) -> bool {
        ENDS.contains(&self.status().as_str())
    }

    /// Lays the fields that changed over those that are known.
    pub(super) fn change(&mut self, changed: &Value) {
        let changed = changed.get("video").unwrap_or(changed);
        if let (Some(known), Some(changed)) = (self.0.as_object_mut(), changed.as_object()) {
            known.extend(changed.clone());
        }
    }

    /// Why it ended, where it has a reason.
    pub(super) fn reason(&self) -> Option<String> {
        match self.0.get("reason")? {
            Value::String(text) => Some(print::printable(text)),
            reason @ Value::Object(_) => {
                let (code, text) = (cell(reason, "code"), cell(reason, "text"));
                Some(print::printable(&if text.is_empty() { code } else { format!("{text} ({code})") }))
            }
            _ => None,
        }
    }

    /// What there is to see of it, where that is not plain from its address.
    pub(super) fn post(&self) -> String {
        let url = cell(&self.0, "postUrl");
        let state = self.0.get("postState").map(|state| cell(state, "text")).unwrap_or_default();
        if url.is_empty() { state } else { url }
    }

    /// What it waits for, and until when.
    pub(super) fn waiting_for(&self) -> Option<String> {
        let waiting = self.0.get("waitingFor").filter(|waiting| waiting.is_object())?;
        let code = print::printable(&cell(waiting, "code")).replace('_', " ");
        let until = cell(waiting, "until");
        Some(if until.is_empty() { code } else { format!("{code} until {}", local_time(&until)) })
    }

    /// What a list says beside the status: what it waits for, or why it ended.
    pub(super) fn why(&self) -> Option<String> {
        if self.has_ended() { self.reason() } else { self.waiting_for() }
    }

    /// Why it waits for its creator's choice: what it takes is in the words, not in the code.
    fn held(&self) -> Option<String> {
        let waiting = self.0.get("waitingFor").filter(|waiting| waiting.get("allowed").is_some())?;
        Some(print::printable(&cell(waiting, "text")))
    }

    /// Status, and what it waits for or why it ended.
    pub(super) fn sentence(&self) -> String {
        let status = print::printable(&self.status());
        if let Some(why) = self.held() {
            return format!("{status}, held: {why} (videos options)");
        }
        match (self.has_ended(), self.waiting_for(), self.reason()) {
            (true, _, Some(reason)) => format!("{status}: {reason}"),
            (false, Some(waiting), _) if waiting == "queued" => format!("{status}, waits for its turn"),
            (false, Some(waiting), _) => format!("{status}, waits: {waiting}"),
            _ => status,
        }
    }

    pub(super) fn show(&self, answer: &Value, output: Output) -> Result<(), Failure> {
        if output == Output::Json {
            return print::json(answer);
        }
        let text = |name| cell(&self.0, name);
        print::fields(vec![
            ("video", self.id()),
            ("account", text("accountId")),
            ("title", text("title")),
            ("status", self.sentence()),
            ("progress", format!("{} %", self.progress())),
            ("post", self.post()),
            ("source", text("srcUrl")),
            ("result", text("editedUrl")),
            ("publish at", local_time(&text("publishAt"))),
            ("likely posted", local_time(&text("estimatedPostAt"))),
            ("created", local_time(&text("createdAt"))),
        ])
    }
}

/// Each run of each stage, with its length and its end.
pub(super) fn attempts(video: &Value) -> Result<(), Failure> {
    let list = video.get("attempts").and_then(Value::as_array).filter(|list| !list.is_empty());
    let Some(list) = list else { return Ok(()) };
    print::line("")?;
    let rows = list.iter().map(|one| {
        let took = one.get("durationMs").and_then(Value::as_u64).map_or("runs".to_owned(), took);
        let end = match &one["reason"] {
            Value::Null => cell(one, "outcome"),
            reason => format!("{}: {}", cell(one, "outcome"), cell(reason, "text")),
        };
        vec![local_time(&cell(one, "startedAt")), cell(one, "stage"), cell(one, "attempt"), took, end]
    });
    print::table(&["STARTED", "STAGE", "TRY", "TOOK", "ENDED AS"], rows)
}

/// What happened, line by line.
pub(super) fn timeline(of: &Value) -> Result<(), Failure> {
    let lines = of.get("timeline").and_then(Value::as_array).filter(|lines| !lines.is_empty());
    let Some(lines) = lines else { return Ok(()) };
    print::line("")?;
    let rows = lines.iter().map(|line| {
        let stage = cell(line, "stage");
        let what = if stage.is_empty() { cell(line, "event") } else { format!("{stage}: {}", cell(line, "event")) };
        let detail = &line["detail"];
        let why = ["text", "worker", "by"].iter().map(|name| cell(detail, name)).find(|text| !text.is_empty());
        vec![local_time(&cell(line, "at")), what, why.unwrap_or_default()]
    });
    print::table(&["WHEN", "WHAT", ""], rows)
}

/// With a tenth of a second, where that is much of it.
fn took(ms: u64) -> String {
    let tenths = if ms < 60_000 { ms / 100 * 100 } else { ms / 1000 * 1000 };
    Written(std::time::Duration::from_millis(tenths)).to_string()
}

/// In the zone of whoever reads it; what is no time stays as it is.
pub(super) fn local_time(text: &str) -> String {
    DateTime::parse_from_rfc3339(text)
        .map_or_else(|_| text.to_owned(), |time| time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S %:z").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changed_fields_lie_over_known_ones() {
        let mut video = Video(json!({ "id": "1", "status": "EDITING", "progress": 10, "title": "t" }));
        video.change(&json!({ "status": "EDITED", "progress": 100, "waitingFor": { "code": "account_limit" } }));
        assert_eq!((video.status().as_str(), video.progress(), video.id().as_str()), ("EDITED", 100, "1"));
        assert_eq!(video.sentence(), "EDITED, waits: account limit");
        video.change(&json!({ "status": "FAILED", "reason": { "code": "no_video", "text": "there is no picture" } }));
        assert_eq!(video.sentence(), "FAILED: there is no picture (no_video)");
        assert!(video.has_ended());
    }
}
