//! What was found, and how it is shown.

use serde_json::{Value, json};

use super::super::{Failure, Judged, printable};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Well,
    /// It works, but not as well as it could, or it is not as it was meant.
    Doubt,
    Ill,
}

struct Finding {
    part: &'static str,
    level: Level,
    text: String,
    /// What to do about it.
    mend: Option<String>,
}

pub(super) struct Report {
    judged: Judged,
    guessed: bool,
    findings: Vec<Finding>,
}

/// Columns of a line, and those that the level and the part take.
const COLUMNS: usize = 80;
const INDENT: usize = 16;

impl Report {
    pub(super) fn new(judged: Judged, guessed: bool) -> Self {
        Self { judged, guessed, findings: Vec::new() }
    }

    pub(super) fn judged(&self) -> Judged {
        self.judged
    }

    pub(super) fn well(&mut self, part: &'static str, text: impl Into<String>) {
        self.findings.push(Finding { part, level: Level::Well, text: text.into(), mend: None });
    }

    pub(super) fn doubt(&mut self, part: &'static str, text: impl Into<String>, mend: impl Into<String>) {
        self.findings.push(Finding { part, level: Level::Doubt, text: text.into(), mend: Some(mend.into()) });
    }

    pub(super) fn ill(&mut self, part: &'static str, text: impl Into<String>, mend: impl Into<String>) {
        self.findings.push(Finding { part, level: Level::Ill, text: text.into(), mend: Some(mend.into()) });
    }

    /// A part that could not be looked at; the failure says what to do.
    pub(super) fn failed(&mut self, part: &'static str, failure: Failure) {
        self.findings.push(Finding { part, level: Level::Ill, text: failure.message, mend: None });
    }

    /// Whether nothing was found out about a part but good things.
    pub(super) fn is_well(&self, part: &str) -> bool {
        self.findings.iter().all(|finding| finding.part != part || finding.level == Level::Well)
    }

    pub(super) fn ills(&self) -> usize {
        self.findings.iter().filter(|finding| finding.level == Level::Ill).count()
    }

    pub(super) fn json(&self) -> Value {
        let findings = self.findings.iter().map(|finding| {
            json!({
                "part": finding.part,
                "level": match finding.level {
                    Level::Well => "ok",
                    Level::Doubt => "warn",
                    Level::Ill => "fail",
                },
                "ok": finding.level != Level::Ill,
                "text": finding.text,
                "mend": finding.mend,
            })
        });
        json!({ "ok": self.ills() == 0, "for": self.name(), "findings": findings.collect::<Vec<_>>() })
    }

    pub(super) fn text(&self) -> String {
        let judged = match (self.judged, self.guessed) {
            (Judged::Up, true) => {
                "`subiteya up`, since REDIS_URL and ENCRYPTION_KEY are not both set; --for fleet judges for serve and work"
            }
            (Judged::Up, false) => "`subiteya up`",
            (Judged::Fleet, true) => {
                "serve and work, since REDIS_URL and ENCRYPTION_KEY are set; --for up judges for `subiteya up`"
            }
            (Judged::Fleet, false) => "serve and work",
        };
        let mut text = entry("for", "", judged);
        for finding in &self.findings {
            let level = match finding.level {
                Level::Well => "ok",
                Level::Doubt => "WARN",
                Level::Ill => "FAIL",
            };
            text.push_str(&entry(level, finding.part, &finding.text));
            if let Some(mend) = &finding.mend {
                text.push_str(&entry("", "", &format!("-> {mend}")));
            }
        }
        text
    }

    fn name(&self) -> &'static str {
        match self.judged {
            Judged::Up => "up",
            Judged::Fleet => "fleet",
        }
    }
}

/// `FAIL  database  what is wrong with it`, over as many lines as it takes.
fn entry(level: &str, part: &str, text: &str) -> String {
    let mut shown = String::new();
    for (nth, line) in wrapped(&printable(text), COLUMNS - INDENT).iter().enumerate() {
        let head = if nth == 0 { format!("{level:<6}{part:<10}") } else { " ".repeat(INDENT) };
        shown.push_str(&format!("{head}{line}\n"));
    }
    shown
}

/// Broken at blanks; a word that is longer than a line is broken wherever the line ends.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(String::new());
            used = 0;
        }
        if used > 0 {
            lines.last_mut().into_iter().for_each(|line| line.push(' '));
            used += 1;
        }
        for letter in word.chars() {
            if used == width {
                lines.push(String::new());
                used = 0;
            }
            lines.last_mut().into_iter().for_each(|line| line.push(letter));
            used += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_fits_80_columns_whatever_is_in_it() {
        let mut report = Report::new(Judged::Up, true);
        report.well("database", "short");
        report.ill("objects", format!("{} and \x1b[2J more words than go on one line", "x".repeat(200)), "mend it");
        let text = report.text();
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(text.contains("FAIL  objects   xxx") && text.contains("\n                -> mend it\n"), "{text}");
        assert!(text.starts_with("for ") && !text.contains('\x1b'), "{text}");
        assert_eq!(report.ills(), 1);
    }
}
