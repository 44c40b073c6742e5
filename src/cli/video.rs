//! A video as the API tells it, and how it is shown.

use chrono::{DateTime, Local};
use serde_json::Value;

use super::print::{self, cell};
use crate::app::{Failure, Output};

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

    /// What it waits for, and until when.
    pub(super) fn waiting_for(&self) -> Option<String> {
        let waiting = self.0.get("waitingFor").filter(|waiting| waiting.is_object())?;
        let code = print::printable(&cell(waiting, "code")).replace('_', " ");
        let until = cell(waiting, "until");
        Some(if until.is_empty() { code } else { format!("{code} until {}", local_time(&until)) })
    }

    /// Status, and what it waits for or why it ended.
    pub(super) fn sentence(&self) -> String {
        let status = print::printable(&self.status());
        match (self.has_ended(), self.waiting_for(), self.reason()) {
            (true, _, Some(reason)) => format!("{status}: {reason}"),
            (false, Some(waiting), _) => format!("{status}, waits for {waiting}"),
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
            ("post", text("postUrl")),
            ("source", text("srcUrl")),
            ("result", text("editedUrl")),
            ("publish at", local_time(&text("publishAt"))),
            ("likely posted", local_time(&text("estimatedPostAt"))),
            ("created", local_time(&text("createdAt"))),
        ])
    }
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
        assert_eq!(video.sentence(), "EDITED, waits for account limit");
        video.change(&json!({ "status": "FAILED", "reason": { "code": "no_video", "text": "there is no picture" } }));
        assert_eq!(video.sentence(), "FAILED: there is no picture (no_video)");
        assert!(video.has_ended());
    }
}
