//! A video's history as spans: each wait, and each run of a stage. Pure.

use crate::event::{Stage, TaskId, TraceId, VideoId};
use crate::ledger::HistoryLine;

use super::{Kind, Span, SpanId};

/// A wait or a run that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    what: What,
    start: i64,
    end: i64,
    /// Whoever ended it tells of it. Otherwise the next one to tell does.
    told: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Wait { stage: Option<Stage>, code: Option<String> },
    Run { stage: Stage, attempt: i64, worker: String, outcome: String, code: Option<String>, text: Option<String> },
}

/// In the order in which they ended.
pub(super) fn pieces(lines: &[HistoryLine]) -> Vec<Piece> {
    let mut story = Story::default();
    for line in lines {
        story.read(line);
    }
    story.pieces
}

/// What there is to tell once this run has ended: it and, before it, what nobody was there to tell.
pub(super) fn until_run(pieces: &[Piece], stage: Stage, began: i64) -> &[Piece] {
    let ran = |piece: &Piece| matches!(&piece.what, What::Run { stage: one, .. } if *one == stage);
    match pieces.iter().rposition(|piece| ran(piece) && piece.start == began) {
        Some(last) => untold(&pieces[..=last]),
        None => &[],
    }
}

/// What there is to tell once a person has ended it.
pub(super) fn untold(pieces: &[Piece]) -> &[Piece] {
    let before = &pieces[..pieces.len().saturating_sub(1)];
    let first = before.iter().rposition(|piece| piece.told).map_or(0, |told| told + 1);
    &pieces[first..]
}

#[derive(Default)]
struct Story {
    pieces: Vec<Piece>,
    /// Since when it waits, and for what.
    waits: Option<(i64, Option<String>)>,
    /// What runs: stage, since when, attempt, worker.
    runs: Option<(Stage, i64, i64, String)>,
}

impl Story {
    fn read(&mut self, line: &HistoryLine) {
        let code = text(line, "code");
        match (line.event.as_str(), line.stage) {
            ("started" | "taken over", Some(stage)) => {
                self.run_ends(line, "worker died", false);
                self.wait_ends(line.at, Some(stage), false);
                let attempt = line.detail.get("attempt").and_then(serde_json::Value::as_i64).unwrap_or(1);
                self.runs = Some((stage, line.at, attempt, text(line, "worker").unwrap_or_default()));
            }
            ("done" | "handed back", _) => {
                self.run_ends(line, &line.event, true);
                self.waits = Some((line.at, None));
            }
            ("claimed", _) => {
                self.run_ends(line, &line.event, false);
                self.waits = Some((line.at, None));
            }
            ("retry" | "parked" | "scheduled", _) => {
                self.run_ends(line, &line.event, true);
                self.wait_ends(line.at, line.stage, false);
                self.waits = Some((line.at, code.or_else(|| Some(line.event.clone()))));
            }
            ("failed" | "needs review" | "canceled", _) => {
                self.run_ends(line, &line.event, true);
                self.wait_ends(line.at, line.stage, true);
            }
            ("edited" | "init" | "posted" | "webhook", _) => {}
            // Uploaded, or a person's wish: it waits for its turn, if it did not before.
            _ if self.runs.is_none() => self.waits = self.waits.take().or(Some((line.at, None))),
            _ => {}
        }
    }

    fn run_ends(&mut self, line: &HistoryLine, outcome: &str, told: bool) {
        let Some((stage, start, attempt, worker)) = self.runs.take_if(|run| line.stage.is_none_or(|one| one == run.0))
        else {
            return;
        };
        let (code, text) = (text(line, "code"), text(line, "text"));
        let what = What::Run { stage, attempt, worker, outcome: outcome.to_owned(), code, text };
        self.pieces.push(Piece { what, start, end: line.at, told });
    }

    fn wait_ends(&mut self, end: i64, stage: Option<Stage>, told: bool) {
        let Some((start, code)) = self.waits.take() else { return };
        if end > start {
            self.pieces.push(Piece { what: What::Wait { stage, code }, start, end, told });
        }
    }
}

fn text(line: &HistoryLine, name: &str) -> Option<String> {
    line.detail.get(name).and_then(serde_json::Value::as_str).map(str::to_owned)
}

impl Piece {
    pub(super) fn span(&self, video: VideoId, trace: TraceId, task: Option<(TaskId, Stage)>) -> Span {
        let mut attributes = vec![("video.id", video.to_string().into())];
        let stage = match &self.what {
            What::Wait { stage, .. } => *stage,
            What::Run { stage, .. } => Some(*stage),
        };
        if let Some(stage) = stage {
            attributes.push(("stage", stage.as_str().into()));
        }
        if let Some((id, _)) = task.filter(|(_, of)| Some(*of) == stage) {
            attributes.push(("task.id", id.to_string().into()));
        }
        let (id, name, kind, error) = match &self.what {
            What::Wait { stage, code } => {
                attributes.push(("wait.code", code.as_deref().unwrap_or("turn").into()));
                let name = stage.map_or("wait".to_owned(), |stage| format!("wait {stage}"));
                (SpanId::wait(video, self.start), name, Kind::Internal, None)
            }
            What::Run { stage, attempt, worker, outcome, code, text } => {
                attributes.push(("attempt", (*attempt).into()));
                attributes.push(("outcome", outcome.as_str().into()));
                attributes.push(("worker", worker.as_str().into()));
                if let Some(code) = code {
                    attributes.push(("reason.code", code.as_str().into()));
                }
                let failed =
                    matches!(outcome.as_str(), "retry" | "failed" | "needs review" | "worker died" | "claimed");
                let error = failed.then(|| text.clone().unwrap_or_else(|| outcome.clone()));
                let kind = if stage.stream().is_some() { Kind::Consumer } else { Kind::Internal };
                (SpanId::run(video, *stage, self.start), stage.to_string(), kind, error)
            }
        };
        let (start, end) = (self.start * 1000, self.end.max(self.start) * 1000);
        Span { trace, id, parent: Some(SpanId::upload(video)), name, kind, start, end, attributes, error }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(at: i64, stage: impl Into<Option<Stage>>, event: &str) -> HistoryLine {
        let detail = match event {
            "parked" => json!({ "code": "account_limit", "text": "wait" }),
            "started" | "taken over" => json!({ "worker": format!("w{at}"), "attempt": 1 }),
            _ => json!({}),
        };
        HistoryLine { at, stage: stage.into(), event: event.to_owned(), detail }
    }

    fn shown(pieces: &[Piece]) -> Vec<String> {
        let one = |piece: &Piece| {
            let what = match &piece.what {
                What::Wait { code, .. } => format!("wait for {}", code.as_deref().unwrap_or("turn")),
                What::Run { stage, outcome, .. } => format!("{stage} {outcome}"),
            };
            format!("{}-{} {what}", piece.start, piece.end)
        };
        pieces.iter().map(one).collect()
    }

    #[test]
    fn each_run_tells_of_itself_and_of_what_nobody_was_there_to_tell() {
        use Stage::{Confirm, Edit, Publish};
        let lines = [
            line(0, None, "uploaded"),
            line(5, Edit, "started"),
            line(9, Edit, "taken over"),
            line(20, Edit, "done"),
            line(20, Edit, "edited"),
            line(22, Publish, "parked"),
            line(70, Publish, "started"),
            line(71, Publish, "init"),
            line(80, Publish, "done"),
            line(82, Confirm, "started"),
            line(83, Confirm, "parked"),
            line(90, Confirm, "started"),
            line(91, Confirm, "posted"),
            line(91, Confirm, "done"),
        ];
        let pieces = pieces(&lines);
        let until = |stage, began| shown(until_run(&pieces, stage, began));
        assert_eq!(until(Edit, 9), ["0-5 wait for turn", "5-9 edit worker died", "9-20 edit done"]);
        assert_eq!(until(Publish, 70), ["20-22 wait for turn", "22-70 wait for account_limit", "70-80 publish done"]);
        assert_eq!(until(Confirm, 82), ["80-82 wait for turn", "82-83 confirm parked"]);
        assert_eq!(until(Confirm, 90), ["83-90 wait for account_limit", "90-91 confirm done"]);
        assert_eq!(until(Confirm, 4), [""; 0]);
    }

    #[test]
    fn what_a_person_ends_is_told_once_and_a_new_turn_begins_with_their_wish() {
        use Stage::Edit;
        let mut lines = vec![line(0, None, "uploaded"), line(5, Edit, "started"), line(9, None, "canceled")];
        assert_eq!(shown(untold(&pieces(&lines))), ["0-5 wait for turn", "5-9 edit canceled"]);
        lines.extend([line(50, Edit, "retried"), line(52, Edit, "started"), line(60, Edit, "failed")]);
        assert_eq!(shown(until_run(&pieces(&lines), Edit, 52)), ["50-52 wait for turn", "52-60 edit failed"]);
    }
}
