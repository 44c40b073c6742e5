//! `explain`: the one thing that a video waits for, and until when.

use serde_json::json;

use super::client::Api;
use super::print::{self, cell};
use super::video::{Video, local_time};
use crate::app::{Failure, Manner, Output};

pub(super) async fn run(api: &Api, id: &str, manner: Manner) -> Result<(), Failure> {
    let video = Video::of(&api.get(&["api", "videos", id], &[]).await?)?;
    if manner.output == Output::Json {
        let field = |name| video.0.get(name).cloned().unwrap_or_default();
        return print::json(&json!({ "id": video.id(), "status": video.status(), "waitingFor": field("waitingFor"),
            "estimatedPostAt": field("estimatedPostAt") }));
    }
    let sentence = video.sentence();
    let working = !video.has_ended() && video.waiting_for().is_none();
    let end = if working { format!(", at {} %, and waits for nothing", video.progress()) } else { String::new() };
    print::line(&format!("{} is {sentence}{end}", video.id()))?;
    if let Some(waiting) = video.0.get("waitingFor").filter(|waiting| waiting.is_object()) {
        print::line(&print::printable(&cell(waiting, "text")))?;
    }
    match local_time(&cell(&video.0, "estimatedPostAt")) {
        none if none.is_empty() => Ok(()),
        at => print::line(&format!("it is likely to be posted at {at}")),
    }
}
