//! Acts on many things at once: the plan is shown, then somebody agrees, then exactly that is done.

use serde_json::{Value, json};

use super::client::Api;
use super::confirm::confirm;
use super::print::{self, cell};
use super::video::local_time;
use crate::app::{Exit, Failure, Manner, Output};
use crate::config::Written;

/// Lines of a plan that are shown; the JSON has them all.
const SHOWN: usize = 20;

pub(super) struct Act<'a> {
    pub(super) path: &'a [&'a str],
    /// What is asked for, without the plan.
    pub(super) body: Value,
    /// The answer's list of what is done.
    pub(super) list: &'static str,
    /// To type, and to say: `claim`, `claimed`.
    pub(super) verb: &'static str,
    pub(super) done: &'static str,
    pub(super) head: &'static [&'static str],
    pub(super) row: fn(&Value) -> Vec<String>,
    /// Where nothing matches.
    pub(super) nothing: String,
}

impl Act<'_> {
    pub(super) async fn run(&self, api: &Api, manner: Manner) -> Result<(), Failure> {
        let plan = self.ask(api, json!({ "dryRun": true })).await?;
        let number = items(&plan, self.list).len();
        if manner.output == Output::Table {
            self.show(&plan)?;
        } else if manner.dry_run || number == 0 {
            print::json(&plan)?;
        }
        if number == 0 {
            return Err(self.nothing(&plan));
        }
        let summary = summary(&plan, number, self.verb);
        if manner.dry_run {
            return if manner.output == Output::Table { print::line(&summary) } else { Ok(()) };
        }
        eprintln!("{summary}");
        confirm("Exactly this is done.", self.verb, manner)?;
        let answer = self.ask(api, json!({ "plan": plan["plan"] })).await?;
        match manner.output {
            Output::Json => print::json(&answer),
            Output::Table => print::line(&format!("{} {}", self.done, items(&answer, self.list).len())),
        }
    }

    async fn ask(&self, api: &Api, how: Value) -> Result<Value, Failure> {
        let mut body = self.body.clone();
        if let (Some(body), Value::Object(how)) = (body.as_object_mut(), how) {
            body.extend(how);
        }
        api.post(self.path, &body).await
    }

    fn show(&self, plan: &Value) -> Result<(), Failure> {
        let accepted = items(plan, self.list);
        if !accepted.is_empty() {
            print::table(self.head, accepted.iter().take(SHOWN).map(self.row))?;
            and_more(accepted.len())?;
        }
        let refused = items(plan, "refused");
        if !refused.is_empty() {
            let row = |one: &Value| vec![cell(one, "id"), cell(&one["reason"], "text")];
            print::table(&["REFUSED", "WHY"], refused.iter().take(SHOWN).map(row))?;
            and_more(refused.len())?;
        }
        Ok(())
    }

    /// Nothing was found, or all of it was refused.
    fn nothing(&self, plan: &Value) -> Failure {
        let refused = items(plan, "refused");
        if refused.iter().all(|one| cell(&one["reason"], "code") == "not_found") {
            let text = refused.first().map(|one| format!("{}: {}", cell(one, "id"), cell(&one["reason"], "text")));
            return Failure::new(Exit::NothingMatched, text.unwrap_or_else(|| self.nothing.clone()));
        }
        Failure::failed(format!("nothing to {}: {} refused", self.verb, refused.len()))
    }
}

fn items<'v>(plan: &'v Value, list: &str) -> &'v [Value] {
    plan.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn and_more(number: usize) -> Result<(), Failure> {
    match number.checked_sub(SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => print::line(&format!("… and {more} more")),
    }
}

/// How many, which are refused, how many commands, how long.
fn summary(plan: &Value, number: usize, verb: &str) -> String {
    let mut text = format!("{number} to {verb}, {} refused", items(plan, "refused").len());
    if plan.get("more") == Some(&Value::Bool(true)) {
        text.push_str("; there are more than one go takes, do it again for the rest");
    }
    let commands = &plan["commands"];
    let now = commands["now"].as_object().into_iter().flatten();
    let mut parts: Vec<String> = now.map(|(name, number)| format!("{number} {name}")).collect();
    let later = commands["later"].as_u64().unwrap_or(0);
    if later > 0 {
        parts.push(format!("{later} XADD later"));
    }
    text.push_str(&match parts.is_empty() {
        true => "; no Redis command".to_owned(),
        false => format!("; {} Redis commands ({})", cell(commands, "total"), parts.join(", ")),
    });
    if let Some(seconds) = plan["takesSeconds"].as_u64() {
        let takes = Written(std::time::Duration::from_secs(seconds));
        text.push_str(&match seconds {
            0 => "; the limits hold none of them up".to_owned(),
            _ => {
                format!("; under the limits the last begins in {takes}, at {}", local_time(&cell(plan, "lastStartAt")))
            }
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_summed_up_in_one_line() {
        let plan = json!({
            "refused": [{ "id": "v" }],
            "commands": { "total": 7, "now": { "XADD": 3, "XCLAIM": 1 }, "later": 3 },
            "takesSeconds": 61, "lastStartAt": "2026-12-24T18:00:00Z", "more": false
        });
        let text = summary(&plan, 6, "replay");
        let begin = "6 to replay, 1 refused; 7 Redis commands (3 XADD, 1 XCLAIM, 3 XADD later); under the limits the last \
                     begins in 1m1s, at 2026-12-2";
        assert!(text.starts_with(begin), "{text}");
        let plan = json!({ "refused": [], "commands": { "total": 0, "now": {}, "later": 0 }, "more": true });
        let text = summary(&plan, 1000, "drop");
        assert!(text.contains("do it again for the rest; no Redis command"), "{text}");
    }
}
