//! A thousand uploads of 1 MiB at once, with the real ffprobe at the door.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::multipart::{Form, Part};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::memory::memory;
use crate::report::{Line, at, median};
use crate::support::fleet::Fleet;
use crate::support::standin::StandIn;
use crate::{Extent, clips};

const SIZE: usize = 1 << 20;

pub(crate) async fn run(extent: Extent) -> Vec<Line> {
    open_enough();
    let number = extent.of(1000, 20);
    let mut fleet = Fleet::new("").await;
    fleet.start("serve", &["serve"]);
    fleet.ready().await;
    fleet.account("ann").await;
    let before = memory(fleet.pid("serve"), "VmRSS:");
    let client = Client::builder().no_proxy().build().expect("a client");
    let (url, key) = (fleet.url("/api/videos"), fleet.key.clone());
    let began = Instant::now();
    let uploads = (0..number).map(|nth| {
        let request = client.post(&url).bearer_auth(&key).multipart(form(nth));
        tokio::spawn(async move {
            let (status, body) = match request.send().await {
                Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
                Err(error) => (0, format!("{error:?}")),
            };
            (status, body, began.elapsed().as_secs_f64())
        })
    });
    let uploads: Vec<_> = uploads.collect();
    let (over, probes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let watch = async {
        while !over.load(Ordering::Relaxed) {
            probes.fetch_max(fleet.ffmpegs().len(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let all = async {
        let all = futures::future::join_all(uploads).await;
        over.store(true, Ordering::Relaxed);
        all
    };
    let (answers, ()) = tokio::join!(all, watch);
    let answers: Vec<(u16, String, f64)> = answers.into_iter().map(|answer| answer.expect("no panic")).collect();
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    answers.iter().for_each(|(status, ..)| *statuses.entry(*status).or_default() += 1);
    if let Some((status, body, took)) = answers.iter().find(|(status, ..)| *status != 201) {
        println!("speed: crowd: the first that was refused, after {took:.1} s: {status} {body}");
    }
    let took: Vec<f64> = answers.iter().map(|(.., took)| *took).collect();
    let peak = memory(fleet.pid("serve"), "VmHWM:");
    let accepted = statuses.get(&201).copied().unwrap_or(0);
    vec![Line {
        what: format!("{number} uploads at once, 1 MiB each, real ffprobe"),
        anchor: "–".to_owned(),
        ours: format!(
            "{accepted} accepted, answers {statuses:?}; p50 {:.1} s, p99 {:.1} s; serve {:.0} MiB before, {:.0} MiB at its peak, at most {} ffprobes at once",
            median(&took),
            at(&took, 0.99),
            before / SIZE as f64,
            peak / SIZE as f64,
            probes.load(Ordering::Relaxed)
        ),
        reach: "all accepted, no 5xx".to_owned(),
        holds: Some(accepted == number),
    }]
}

fn form(nth: usize) -> Form {
    let title = format!("number {nth}");
    let mut bytes = StandIn::clip(&title);
    let filler = clips::filler(bytes.len(), SIZE as u64);
    bytes.extend(filler);
    bytes.resize(SIZE, 0);
    Form::new().text("accountId", "ann").text("title", title).part("video", Part::bytes(bytes).file_name("clip.mp4"))
}

/// This end of the connections is files, too.
fn open_enough() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("raised");
}
