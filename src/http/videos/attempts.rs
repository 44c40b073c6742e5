//! The attempts at a video, made out of its history: who ran which stage, for how long, and how that ended.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::view::{WhyView, time};
use crate::event::Stage;
use crate::ledger::HistoryLine;

/// One run of one stage.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct AttemptView {
    #[schema(value_type = String)]
    stage: Stage,
    /// Which try of this stage it was; one that was parked or handed back is the same try again.
    attempt: u64,
    worker: String,
    started_at: String,
    /// Null: it runs.
    ended_at: Option<String>,
    duration_ms: Option<i64>,
    /// done, retry, parked, failed, needs review, handed back, worker died, claimed or canceled; null: it runs.
    outcome: Option<String>,
    reason: Option<WhyView>,
}

/// In the order in which they began.
pub(super) fn attempts(lines: &[HistoryLine]) -> Vec<AttemptView> {
    let mut attempts: Vec<AttemptView> = Vec::new();
    let mut open: HashMap<Stage, (usize, i64)> = HashMap::new();
    for line in lines {
        let ended: Vec<Stage> = match line.stage {
            Some(stage) => vec![stage],
            None => Stage::ALL.to_vec(),
        };
        if let Some(outcome) = outcome(&line.event) {
            for stage in ended {
                let Some((place, began)) = open.remove(&stage) else { continue };
                attempts[place].ended_at = Some(time(line.at));
                attempts[place].duration_ms = Some((line.at - began).max(0));
                attempts[place].outcome = Some(outcome.to_owned());
                attempts[place].reason = reason(&line.detail);
            }
        }
        if let ("started" | "taken over", Some(stage)) = (line.event.as_str(), line.stage) {
            open.insert(stage, (attempts.len(), line.at));
            attempts.push(AttemptView {
                stage,
                attempt: line.detail.get("attempt").and_then(Value::as_u64).unwrap_or(1),
                worker: line.detail.get("worker").and_then(Value::as_str).unwrap_or_default().to_owned(),
                started_at: time(line.at),
                ended_at: None,
                duration_ms: None,
                outcome: None,
                reason: None,
            });
        }
    }
    attempts
}

/// What a line says of the attempt before it.
fn outcome(event: &str) -> Option<&str> {
    match event {
        "taken over" => Some("worker died"),
        "done" | "retry" | "parked" | "failed" | "needs review" | "handed back" | "claimed" | "canceled" => Some(event),
        _ => None,
    }
}

fn reason(detail: &Value) -> Option<WhyView> {
    let text = |name| detail.get(name).and_then(Value::as_str);
    Some(WhyView::new(text("code")?, text("text").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_run_has_its_length_and_its_end() {
        let line = |at, stage, event: &str, detail| HistoryLine { at, stage, event: event.to_owned(), detail };
        let edit = Some(Stage::Edit);
        let lines = [
            line(0, None, "uploaded", json!({})),
            line(1_000, edit, "parked", json!({ "code": "stage_limit", "text": "used up" })),
            line(2_000, edit, "started", json!({ "worker": "a", "attempt": 1 })),
            line(9_000, edit, "taken over", json!({ "worker": "b", "attempt": 1, "takeovers": 1 })),
            line(12_000, edit, "retry", json!({ "code": "ffmpeg", "text": "it crashed", "attempt": 1 })),
            line(13_000, edit, "started", json!({ "worker": "b", "attempt": 2 })),
            line(14_000, edit, "done", json!({})),
            line(15_000, Some(Stage::Publish), "started", json!({ "worker": "c", "attempt": 1 })),
        ];
        let seen: Vec<_> = attempts(&lines)
            .into_iter()
            .map(|one| {
                (one.worker, one.attempt, one.duration_ms, one.outcome.unwrap_or_default(), one.reason.is_some())
            })
            .collect();
        let row = |worker: &str, attempt, took, outcome: &str, why| {
            (worker.to_owned(), attempt, took, outcome.to_owned(), why)
        };
        assert_eq!(
            seen,
            [
                row("a", 1, Some(7_000), "worker died", false),
                row("b", 1, Some(3_000), "retry", true),
                row("b", 2, Some(1_000), "done", false),
                row("c", 1, None, "", false),
            ]
        );
        let canceled = [lines[2].clone(), line(4_000, None, "canceled", json!({}))];
        assert_eq!(attempts(&canceled)[0].outcome.as_deref(), Some("canceled"));
    }
}
