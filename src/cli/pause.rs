//! `pause` and `resume`, of a stage or an account.

use serde_json::{Value, json};

use super::args::Pause;
use super::client::Api;
use super::print::{self, cell};
use super::video::local_time;
use crate::app::{Exit, Failure, Manner, Output};
use crate::event::Stage;

/// `edit`, a stream's name or `stage/edit` is a stage; anything else, or `account/…`, an account.
fn target(name: &str) -> (&'static str, &str) {
    if let Some(id) = name.strip_prefix("account/") {
        return ("accounts", id);
    }
    let bare = name.strip_prefix("stage/").unwrap_or(name);
    match Stage::STREAMED.into_iter().find(|stage| stage.as_str() == bare || stage.stream() == Some(bare)) {
        Some(stage) => ("stages", stage.as_str()),
        None if bare == name => ("accounts", name),
        None => ("stages", bare),
    }
}

pub(super) async fn pause(api: &Api, pause: Pause, manner: Manner) -> Result<(), Failure> {
    let (kind, name) = target(&pause.what);
    let until = pause.until.map(|until| until.to_text());
    let when =
        until.as_deref().map_or_else(|| "until it is resumed".to_owned(), |at| format!("until {}", local_time(at)));
    if manner.dry_run {
        return print::line(&format!("would pause {name} {when}"));
    }
    let body = json!({ "until": until, "reason": pause.reason.unwrap_or_default() });
    let answer = api.post(&["api", kind, name, "pause"], &body).await?;
    match manner.output {
        Output::Json => print::json(&answer),
        Output::Table => print::line(&format!("{name} is paused {when}; what is under way finishes")),
    }
}

pub(super) async fn resume(api: &Api, what: &str, manner: Manner) -> Result<(), Failure> {
    let (kind, name) = target(what);
    if manner.dry_run {
        return print::line(&format!("would resume {name}"));
    }
    let answer = api.post(&["api", kind, name, "resume"], &json!({})).await?;
    if answer.get("resumed") == Some(&Value::Bool(false)) {
        return Err(Failure::new(Exit::NothingMatched, format!("{name} is not paused")));
    }
    match manner.output {
        Output::Json => print::json(&answer),
        Output::Table => print::line(&format!("{name} goes on")),
    }
}

/// `paused until …: why`, where something is.
pub(super) fn sentence(paused: Option<&Value>) -> Option<String> {
    let paused = paused.filter(|paused| paused.is_object())?;
    let (until, reason) = (cell(paused, "until"), cell(paused, "reason"));
    let until = if until.is_empty() { String::new() } else { format!(" until {}", local_time(&until)) };
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    Some(format!("paused{until}{reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_go_by_their_names_and_everything_else_is_an_account() {
        assert_eq!(target("edit"), ("stages", "edit"));
        assert_eq!(target("video.edited"), ("stages", "publish"));
        assert_eq!(target("stage/publish"), ("stages", "publish"));
        assert_eq!(target("stage/cook"), ("stages", "cook"));
        assert_eq!(target("conn_1"), ("accounts", "conn_1"));
        assert_eq!(target("account/edit"), ("accounts", "edit"));
    }

    #[test]
    fn a_pause_is_told_with_its_end_and_its_reason() {
        assert_eq!(sentence(None), None);
        assert_eq!(sentence(Some(&Value::Null)), None);
        assert_eq!(sentence(Some(&json!({ "until": null, "reason": "" }))).as_deref(), Some("paused"));
        let told =
            sentence(Some(&json!({ "until": "2026-12-24T18:00:00Z", "reason": "holidays" }))).unwrap_or_default();
        assert!(told.starts_with("paused until 2026-12-2") && told.ends_with(": holidays"), "{told}");
    }
}
