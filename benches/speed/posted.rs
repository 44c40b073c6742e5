//! What a video costs beside the work of FFmpeg, ffprobe and TikTok: one at a time through an idle system, from the first
//! byte of its upload to POSTED in the ledger.
//!
//! FFmpeg and ffprobe are stood in for by scripts that note when they begin and end; what they take together, each moment
//! once, is not ours. Nor is what the sandbox takes from a request's arrival to its answer, by its own record, in whole
//! milliseconds. All else is: the shells and the processes around FFmpeg, HTTP, hashing, every commit with its fsync.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use subiteya::event::Stage;
use subiteya::ledger::Status;
use subiteya::sandbox::Filter;

use crate::Extent;
use crate::report::{Line, at, median};
use crate::support::fleet::Fleet;
use crate::support::standin::StandIn;

const TOML: &str =
    "[streams.\"video.uploaded\"]\nlimit = \"\"\n[streams.\"video.edited\"]\nlimit = \"\"\nlimit_per_account = \"\"\n";

/// Parts of the way, each up to this line of the video's history; the first from the client's side.
const PHASES: [(&str, &str, &str); 6] = [
    ("uploaded", "-", "uploaded"),
    ("edit begun", "edit", "started"),
    ("edited", "edit", "edited"),
    ("publish begun", "publish", "started"),
    ("init", "publish", "init"),
    ("posted", "publish", "posted"),
];

/// Runs what stands behind it and notes when, in microseconds.
const NOTING: &str =
    "#!/bin/bash\nbegan=$EPOCHREALTIME\nBEHIND \"$@\"\nended=$?\necho \"$began $EPOCHREALTIME\" >> LOG\nexit $ended\n";

pub(crate) async fn run(extent: Extent) -> Vec<Line> {
    let noted = Noted::new();
    let mut fleet = Fleet::with(TOML, |options| {
        options.processing = Duration::ZERO;
        options.fsync = true;
    })
    .await;
    fleet.set("PATH", &noted.path());
    fleet.start_all().await;
    let names: Vec<String> = (0..extent.of(40, 2)).map(|number| format!("creator{number}")).collect();
    fleet.accounts(&names).await;
    let ledger = fleet.ledger().await;
    let (mut all, mut ours, mut phases) = (Vec::new(), Vec::new(), vec![Vec::new(); PHASES.len()]);
    for name in &names {
        // Readers are back in their blocking reads, and this falls anywhere into their seconds.
        tokio::time::sleep(Duration::from_millis(400 + rand::random::<u64>() % 1000)).await;
        let (ffmpeg, tiktok) = (noted.spent(), taken(&fleet).await);
        let began = Instant::now();
        let clip = StandIn::clip(name);
        let id = fleet.try_upload_bytes(name, name, &[], clip).await.expect("accepted");
        let id = id.parse().expect("an id");
        loop {
            let video = ledger.video(id).await.expect("read").expect("a row");
            if video.status == Status::Posted {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{name} is {:?}\n{}", video.status, fleet.logs());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let wall = began.elapsed().as_secs_f64() * 1000.0;
        all.push(wall);
        let lines = ledger.history(id).await.expect("a history");
        let times = PHASES.map(|(_, stage, event)| {
            let line = lines.iter().find(|line| line.event == event && line.stage.map_or("-", Stage::as_str) == stage);
            line.unwrap_or_else(|| panic!("{event}: {lines:?}")).at as f64
        });
        phases[0].push(wall - (times[PHASES.len() - 1] - times[0]));
        times.windows(2).zip(&mut phases[1..]).for_each(|(pair, phase)| phase.push(pair[1] - pair[0]));
        ours.push(wall - (noted.spent() - ffmpeg) - (taken(&fleet).await - tiktok));
    }
    let shares = PHASES.iter().zip(&phases).map(|((name, ..), phase)| format!("{name} {:.0}", median(phase)));
    println!("speed: posted: all milliseconds by phase: {}", shares.collect::<Vec<_>>().join(", "));
    vec![Line {
        what: "upload → `POSTED` without FFmpeg's, ffprobe's and TikTok's own time, idle system".to_owned(),
        anchor: "–".to_owned(),
        ours: format!(
            "{:.0} ms, p95 {:.0} ms; with stand-ins and sandbox {:.0} ms; of {} videos",
            median(&ours),
            at(&ours, 0.95),
            median(&all),
            ours.len()
        ),
        reach: "≤ 100 ms".to_owned(),
        holds: Some(median(&ours) <= 100.0),
    }]
}

/// Milliseconds that the sandbox has taken so far.
async fn taken(fleet: &Fleet) -> f64 {
    let calls = fleet.sandbox.record(Filter::default()).await.expect("the record");
    calls.iter().map(|call| call.took_ms as f64).sum()
}

struct Noted {
    folder: tempfile::TempDir,
    _behind: StandIn,
}

impl Noted {
    fn new() -> Self {
        let (behind, folder) = (StandIn::new(), tempfile::tempdir().expect("a folder"));
        std::fs::create_dir(folder.path().join("log")).expect("a folder");
        let path = behind.path();
        let behind_path = path.split(':').next().expect("a folder").to_owned();
        for name in ["ffmpeg", "ffprobe"] {
            let script = NOTING
                .replace("BEHIND", &format!("{behind_path}/{name}"))
                .replace("LOG", &folder.path().join("log").display().to_string());
            let file = folder.path().join(name);
            std::fs::write(&file, script).expect("written");
            std::fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("executable");
        }
        Self { folder, _behind: behind }
    }

    fn path(&self) -> String {
        format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap_or_default())
    }

    /// Milliseconds in which at least one of them ran.
    fn spent(&self) -> f64 {
        let notes = std::fs::read_dir(self.folder.path().join("log")).expect("a folder").flatten();
        let log: String = notes.map(|note| std::fs::read_to_string(note.path()).expect("a note")).collect();
        let time = |text: &str| text.replace(',', ".").parse::<f64>().expect("a time");
        let mut runs: Vec<(f64, f64)> = log
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(began, ended)| (time(began), time(ended)))
            .collect();
        runs.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (mut spent, mut until) = (0.0, 0.0_f64);
        for (began, ended) in runs {
            spent += (ended - began.max(until)).max(0.0);
            until = until.max(ended);
        }
        spent * 1000.0
    }
}
