//! The ways that a video may go: an automaton that reads its timeline, line by line.

use serde_json::Value;

/// Where a video stands. A stage is `edit`, `publish` or `confirm`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Nowhere,
    Waiting(String),
    Running(String),
    /// The stage's outcome stands; what it means for the video comes in the same transaction.
    Done(String),
    Posted,
    Failed,
    Canceled,
    Review,
}

impl At {
    fn after(&self, stage: &str, event: &str) -> Option<Self> {
        let here = |at: &str| at == stage;
        let waiting = |stage: &str| Some(Self::Waiting(stage.to_owned()));
        match (self, event) {
            (Self::Nowhere, "uploaded") => waiting("edit"),
            (Self::Waiting(at), "started") if here(at) => Some(Self::Running(stage.to_owned())),
            (Self::Running(at), "taken over") if here(at) => Some(self.clone()),
            (Self::Running(at), "handed back" | "retry") if here(at) => waiting(stage),
            (Self::Running(at) | Self::Waiting(at), "parked") if here(at) => waiting(stage),
            (Self::Running(at), "done") if here(at) => Some(Self::Done(stage.to_owned())),
            (Self::Running(at), "failed") if here(at) => Some(Self::Failed),
            (Self::Running(at), "needs review") if here(at) => Some(Self::Review),
            (Self::Done(at), "edited") if at == "edit" => waiting("publish"),
            (Self::Waiting(at), "scheduled") if at == "publish" => Some(self.clone()),
            (Self::Running(at), "init") if at == "publish" => Some(self.clone()),
            (Self::Done(at), "started") if at != "edit" && stage == "confirm" => Some(Self::Running(stage.to_owned())),
            (Self::Done(at), "again") if at != "edit" => waiting("publish"),
            (Self::Done(at), "posted") if at != "edit" => Some(Self::Posted),
            // What TikTok calls the post may come later, so it is asked again.
            (Self::Posted, _) if stage == "confirm" || event == "posted" => Some(Self::Posted),
            (Self::Waiting(_) | Self::Running(_), "canceled") => Some(Self::Canceled),
            (Self::Failed | Self::Canceled, "tried again") => waiting(stage),
            (Self::Review, "resolved: post again") => waiting("publish"),
            (Self::Review, "resolved as posted") => Some(Self::Posted),
            (Self::Review, "given up") => Some(Self::Failed),
            _ => None,
        }
    }

    fn is(&self, status: &str) -> bool {
        match self {
            Self::Posted => status == "POSTED",
            Self::Failed => status == "FAILED",
            Self::Canceled => status == "CANCELED",
            Self::Review => status == "NEEDS_REVIEW",
            Self::Nowhere | Self::Waiting(_) | Self::Running(_) | Self::Done(_) => false,
        }
    }
}

/// What a timeline holds that no rule allows, and an end that isn't the one it tells of.
pub(crate) fn wrong(video: &Value) -> Option<String> {
    let mut at = At::Nowhere;
    for line in video["timeline"].as_array().into_iter().flatten() {
        let (stage, event) = (line["stage"].as_str().unwrap_or_default(), line["event"].as_str().unwrap_or_default());
        let Some(next) = at.after(stage, event) else {
            return Some(format!("no way leads from {at:?} by {stage}/{event}: {video:#}"));
        };
        at = next;
    }
    let status = video["status"].as_str().unwrap_or_default();
    (!at.is(status)).then(|| format!("the timeline ends at {at:?}, and the video is {status}: {video:#}"))
}

/// `stage/event` with blanks between them.
fn told(lines: &str, status: &str) -> Option<String> {
    let lines: Vec<Value> = lines
        .split_whitespace()
        .map(|line| {
            let (stage, event) = line.split_once('/').expect("two words");
            serde_json::json!({ "stage": stage, "event": event.replace('_', " ") })
        })
        .collect();
    wrong(&serde_json::json!({ "status": status, "timeline": lines }))
}

const EDITED: &str = "/uploaded edit/started edit/done edit/edited publish/started publish/init";

#[test]
fn what_rules_allow_is_not_wrong() {
    let posted = format!("{EDITED} publish/taken_over publish/done confirm/started confirm/done publish/posted");
    assert_eq!(told(&posted, "POSTED"), None);
    assert_eq!(told("/uploaded edit/started edit/parked /canceled edit/tried_again /canceled", "CANCELED"), None);
}

#[test]
fn what_no_rule_allows_is_noticed() {
    let posted = format!("{EDITED} publish/done publish/posted");
    for after in ["publish/init", "publish/started", "edit/started", "/canceled"] {
        assert!(told(&format!("{posted} {after}"), "POSTED").is_some(), "{after}");
    }
    assert!(told("/uploaded edit/started edit/started", "EDITING").is_some(), "two runs at once");
    assert!(told("/uploaded edit/started edit/done edit/edited edit/done", "EDITED").is_some(), "settled twice");
    assert!(told(&posted, "FAILED").is_some(), "another end than the timeline's");
    assert!(told(EDITED, "POSTED").is_some(), "no end");
}
