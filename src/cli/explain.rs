//! `explain`: the one thing that a video waits for, and until when.

use serde_json::json;

use super::client::Api;
use super::print;
use super::video::Video;
use crate::app::{Failure, Manner, Output};

pub(super) async fn run(api: &Api, id: &str, manner: Manner) -> Result<(), Failure> {
    let video = Video::of(&api.get(&["api", "videos", id], &[]).await?)?;
    if manner.output == Output::Json {
        let waiting_for = video.0.get("waitingFor");
        return print::json(&json!({ "id": video.id(), "status": video.status(), "waitingFor": waiting_for }));
    }
    let sentence = video.sentence();
    let working = !video.has_ended() && video.waiting_for().is_none();
    let end = if working { format!(", at {} %, and waits for nothing", video.progress()) } else { String::new() };
    print::line(&format!("{} is {sentence}{end}", video.id()))
}
