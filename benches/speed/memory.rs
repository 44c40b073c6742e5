//! 2 GiB through the API and both workers: how much larger each gets on its way. FFmpeg is stood in for by a copy, so that
//! the rendition has the upload's size.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client};
use serde_json::Value;

use crate::report::Line;
use crate::support::fleet::{Fleet, LOOSE, until_long};
use crate::support::standin::StandIn;
use crate::{Extent, clips};

const MIB: f64 = (1 << 20) as f64;
/// In pieces such as a network gives.
const PIECE: usize = 64 << 10;

pub(crate) async fn run(extent: Extent) -> Vec<Line> {
    let size: u64 = extent.of(2 << 30, 96 << 20);
    let standin = StandIn::new();
    let mut fleet = Fleet::with(LOOSE, |options| {
        options.processing = Duration::ZERO;
        options.keep_videos = false;
    })
    .await;
    fleet.set("PATH", &standin.path());
    fleet.start_all().await;
    fleet.account("ann").await;
    // What a process allocates once is no growth.
    let first = upload(&fleet, "the first", 80 << 20).await;
    posted(&fleet, &first).await;
    let processes = ["serve", "edit", "publish"];
    let before: Vec<f64> = processes.iter().map(|name| fresh_peak(fleet.pid(name))).collect();
    let id = upload(&fleet, "a large one", size).await;
    posted(&fleet, &id).await;
    let grown =
        processes.iter().zip(before).map(|(name, before)| (*name, (memory(fleet.pid(name), "VmHWM:") - before) / MIB));
    let grown: Vec<(&str, f64)> = grown.collect();
    let told: Vec<String> = grown.iter().map(|(name, grown)| format!("{name} {grown:.1} MiB")).collect();
    let sent: u64 = fleet.sandbox.posts().iter().map(|post| post.size).max().unwrap_or(0);
    assert_eq!(sent, size, "all of it was posted");
    vec![Line {
        what: format!("{} MiB upload, from the API to `POSTED`: resident growth at the peak", size >> 20),
        anchor: "the old system holds it all".to_owned(),
        ours: told.join(", "),
        reach: "≤ 32 MiB each".to_owned(),
        holds: Some(grown.iter().all(|(_, grown)| *grown <= 32.0)),
    }]
}

async fn posted(fleet: &Fleet, id: &str) {
    until_long(fleet, id, Duration::from_secs(600), |video| video["status"] == "POSTED").await;
}

async fn upload(fleet: &Fleet, title: &str, size: u64) -> String {
    let clip = StandIn::clip(title);
    let head = [clip.clone(), clips::filler(clip.len(), size)].concat();
    let rest = size - head.len() as u64;
    let zeros = Bytes::from(vec![0; PIECE]);
    let pieces = std::iter::once(Bytes::from(head)).chain((0..rest.div_ceil(PIECE as u64)).map(move |nth| {
        let left = rest - nth * PIECE as u64;
        zeros.slice(..PIECE.min(usize::try_from(left).unwrap_or(PIECE)))
    }));
    let body = Body::wrap_stream(stream::iter(pieces.map(Ok::<_, io::Error>)));
    let form = Form::new().text("accountId", "ann").text("title", title.to_owned());
    let form = form.part("video", Part::stream_with_length(body, size).file_name("clip.mp4"));
    let client = Client::builder().no_proxy().build().expect("a client");
    let request = client.post(fleet.url("/api/videos")).bearer_auth(&fleet.key).multipart(form);
    let answer = request.send().await.expect("an answer");
    let (status, body): (_, Value) = (answer.status(), answer.json().await.expect("json"));
    assert_eq!(status, 201, "{body}");
    body["video"]["id"].as_str().expect("an id").to_owned()
}

/// Sets the kernel's peak back to what is resident now, and gives it.
fn fresh_peak(pid: u32) -> f64 {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the peak is set back");
    memory(pid, "VmHWM:")
}

/// Bytes.
pub(crate) fn memory(pid: u32, what: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0
}
