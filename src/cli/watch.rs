//! Following one video until it ends: by the server's events, and by asking again where they break off.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use futures::StreamExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::client::Api;
use super::video::Video;
use crate::app::{Exit, Failure};

/// After so long without an event the video is asked for.
const QUIET: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(1);
/// A server that restarts is back within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the API's last answer when the video has ended.
pub(super) async fn follow(api: &Api, id: &str) -> Result<Value, Failure> {
    let mut shown = Shown::new();
    let mut answered = Instant::now();
    loop {
        match ask(api, id, &mut shown).await {
            Ok((answer, video)) if video.has_ended() => {
                shown.finish();
                return Ok(answer);
            }
            Ok(_) => {
                answered = Instant::now();
                if listen(api, id, &mut shown).await {
                    continue;
                }
            }
            Err(failure) if failure.exit == Exit::Unavailable && answered.elapsed() < PATIENCE => {}
            Err(failure) => {
                shown.finish();
                return Err(failure);
            }
        }
        sleep(PAUSE).await;
    }
}

async fn ask(api: &Api, id: &str, shown: &mut Shown) -> Result<(Value, Video), Failure> {
    let answer = api.get(&["api", "videos", id], &[]).await?;
    let video = Video::of(&answer)?;
    shown.update(&video);
    Ok((answer, video))
}

/// Follows the events until the end, until they break off, or until they have been quiet for a while; says whether the
/// video has ended. Whoever calls asks again, so that nothing is missed between an answer and the first event, or by a server without events.
async fn listen(api: &Api, id: &str, shown: &mut Shown) -> bool {
    let request = api.request(Method::GET, &["api", "videos", id, "events"]).header(ACCEPT, "text/event-stream");
    let Ok(Ok(response)) = timeout(QUIET, api.send(request)).await else { return false };
    let is_events = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/event-stream"));
    if !is_events {
        return false;
    }
    // What changed before the events began.
    let mut video = match ask(api, id, shown).await {
        Ok((_, video)) if video.has_ended() => return true,
        Ok((_, video)) => video,
        Err(_) => return false,
    };
    let mut body = response.bytes_stream();
    let mut lines = Lines::default();
    while let Ok(Some(Ok(bytes))) = timeout(QUIET, body.next()).await {
        for changed in lines.take(&bytes) {
            video.change(&changed);
            shown.update(&video);
        }
        if video.has_ended() {
            return true;
        }
    }
    false
}

/// Cuts a stream of server-sent events into the JSON of their `data`. Their names need not be told apart: each holds
/// fields of the video.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    data: String,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> Vec<Value> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(data) = line.strip_prefix("data:") {
                self.data.push_str(data);
            } else if line.is_empty() {
                events.extend(serde_json::from_str(&std::mem::take(&mut self.data)).ok());
            }
        }
        events
    }
}

/// Bars on a terminal, else a line for each change of status.
enum Shown {
    Bars { edit: ProgressBar, publish: ProgressBar },
    Lines { last: String },
}

impl Shown {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { last: String::new() };
        }
        let bars = MultiProgress::new();
        let bar = |name: &'static str| {
            let bar = bars.add(ProgressBar::new(100));
            let style = ProgressStyle::with_template("{prefix:>8} [{bar:30}] {pos:>3} % {wide_msg}");
            if let Ok(style) = style {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(name);
            bar
        };
        Self::Bars { edit: bar("edit"), publish: bar("publish") }
    }

    fn update(&mut self, video: &Video) {
        match self {
            Self::Bars { edit, publish } => {
                if let Some((edited, published)) = stages(&video.status(), video.progress()) {
                    edit.set_position(edited);
                    publish.set_position(published);
                }
                let (now, other) = if edit.position() < 100 { (edit, publish) } else { (publish, edit) };
                now.set_message(video.sentence());
                other.set_message("");
            }
            Self::Lines { last } => {
                let sentence = video.sentence();
                if *last != sentence {
                    eprintln!("{sentence}");
                    *last = sentence;
                }
            }
        }
    }

    fn finish(&self) {
        if let Self::Bars { edit, publish } = self {
            edit.abandon();
            publish.abandon();
        }
    }
}

/// How far the two stages are, from 0 to 100 each. A video that ended badly says nothing of that, and its bars stay.
fn stages(status: &str, progress: u64) -> Option<(u64, u64)> {
    match status {
        "EDITING_QUEUED" | "EDITING" => Some((progress.min(99), 0)),
        "EDITED" => Some((100, 0)),
        "PUBLISHING" | "PROCESSING" => Some((100, progress)),
        "POSTED" => Some((100, 100)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_found_however_their_bytes_are_cut() {
        let stream = b": hello\n\nevent: status\r\ndata: {\"status\":\"EDITING\"}\r\n\r\nevent: progress\ndata: {\"progress\":\ndata: 30}\n\n";
        for size in 1..stream.len() {
            let mut lines = Lines::default();
            let events: Vec<Value> = stream.chunks(size).flat_map(|bytes| lines.take(bytes)).collect();
            assert_eq!(events, [json!({ "status": "EDITING" }), json!({ "progress": 30 })], "cut at {size}");
        }
    }
}
