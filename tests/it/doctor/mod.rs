//! `doctor`: every kind of damage is found, by its part and with the way to mend it, and nothing else is.

mod damage;
mod leaves_no_trace;
mod services;
mod streams;

use std::process::Output;

use serde_json::Value;

use crate::support::fleet::Fleet;

/// A sound set-up of real services on which damage is planted.
pub(super) struct Rig {
    pub(super) fleet: Fleet,
}

/// What a run of `doctor` said.
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) report: Value,
    errors: String,
}

impl Rig {
    pub(super) async fn new() -> Self {
        Self::on(&[]).await
    }

    pub(super) async fn on(services: &[(&str, String)]) -> Self {
        let fleet = Fleet::on("", services, |_| {}).await;
        fleet.redis.command(&["CONFIG", "SET", "appendonly", "yes"]).await;
        fleet.account("ada").await;
        Self { fleet }
    }

    pub(super) fn doctor(&self, env: &[(&str, &str)]) -> Said {
        said(&self.fleet.command(&["doctor", "--output", "json"]).envs(env.iter().copied()).output().expect("it runs"))
    }

    /// Nothing but good things.
    pub(super) fn is_sound(&self, when: &str) {
        let said = self.doctor(&[]);
        assert_eq!((said.code, said.troubles()), (Some(0), vec![]), "{when}: {:#} {}", said.report, said.errors);
    }

    /// Something is wrong with these parts and no others, in these words.
    pub(super) fn finds(&self, kind: &str, env: &[(&str, &str)], parts: &[&str], words: &[&str]) {
        self.doctor(env).names(kind, "fail", parts, words);
    }

    /// The same for what is no reason to end with 1.
    pub(super) fn doubts(&self, kind: &str, env: &[(&str, &str)], part: &str, words: &[&str]) {
        self.doctor(env).names(kind, "warn", &[part], words);
    }
}

pub(super) fn said(output: &Output) -> Said {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    Said { code: output.status.code(), report, errors }
}

impl Said {
    /// Level and part of every finding that isn't a good thing.
    pub(super) fn troubles(&self) -> Vec<(&str, &str)> {
        let findings = self.report["findings"].as_array().expect("findings").iter();
        let all = findings.map(|one| (one["level"].as_str().expect("a level"), one["part"].as_str().expect("a part")));
        all.filter(|(level, _)| *level != "ok").collect()
    }

    pub(super) fn names(&self, kind: &str, level: &str, parts: &[&str], words: &[&str]) {
        let mut found = self.troubles();
        found.dedup();
        let expected: Vec<(&str, &str)> = parts.iter().map(|part| (level, *part)).collect();
        assert_eq!(found, expected, "{kind}: {:#} {}", self.report, self.errors);
        assert_eq!(self.code, Some(i32::from(level == "fail")), "{kind}: {}", self.errors);
        let findings = self.report["findings"].as_array().expect("findings").iter();
        let texts: String = findings
            .filter(|one| one["level"] == level)
            .map(|one| {
                format!("{} {}\n", one["text"].as_str().expect("text"), one["mend"].as_str().unwrap_or_default())
            })
            .collect();
        for word in words {
            assert!(texts.contains(word), "{kind}: {word:?} is not in {texts}");
        }
    }
}
