//! The edit stage beside the bare FFmpeg command for the same result: from the lease to EDITED with the real `work edit`,
//! against the very arguments that it ran. Each round runs one after the other: bare, on a folder, on S3.

use reqwest::Client;
use serde_json::json;
use subiteya::event::Stage;
use subiteya::ledger::Ledger;

use crate::bare::{Bare, Took};
use crate::report::{Line, median};
use crate::support::fleet::{Fleet, until_long};
use crate::support::s3::S3Server;
use crate::support::usage::Processes;
use crate::{Extent, clips};

const TOML: &str = "[streams.\"video.uploaded\"]\nlimit = \"\"\nconcurrency = 1\n";

pub(crate) async fn run(extent: Extent) -> Vec<Line> {
    let mut lines = Vec::new();
    let s3 = S3Server::start().await;
    let local = Editor::start(&[]).await;
    let remote = Editor::start(&s3.variables()).await;
    // Size, seconds, pairs, and the ratio that is to be reached. The minute is smaller, so that it doesn't take ten.
    let clips: &[(&str, u32, usize, f64)] = if extent.full {
        &[("1080x1920", 10, extent.pairs, 1.05), ("720x1280", 60, extent.pairs.div_ceil(4), 1.03)]
    } else {
        &[("360x640", 2, 1, 1.05)]
    };
    for &(size, seconds, pairs, most) in clips {
        let folder = tempfile::tempdir().expect("a folder");
        let clip = std::fs::read(clips::noisy(folder.path(), size, seconds)).expect("a clip");
        let bare = local.bare(&clip).await;
        remote.edit(&clip).await;
        let (mut alone, mut here, mut there) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..pairs {
            alone.push(bare.run());
            here.push(local.edit(&clip).await);
            there.push(remote.edit(&clip).await);
        }
        for (store, ours) in [("local", here), ("S3", there)] {
            lines.push(line(&format!("edit of {seconds} s of {size}, {store}"), &alone, &ours, most));
        }
    }
    lines
}

fn line(what: &str, bare: &[Took], ours: &[Took], most: f64) -> Line {
    let of = |took: &[Took], which: fn(&Took) -> f64| median(&took.iter().map(which).collect::<Vec<_>>());
    let ratios: Vec<f64> = bare.iter().zip(ours).map(|(bare, ours)| ours.wall / bare.wall).collect();
    let told = |took: &[Took]| format!("{:.2} s, {:.2} CPU s", of(took, |took| took.wall), of(took, |took| took.cpu));
    Line {
        what: format!("{what}; median of {} pairs", ours.len()),
        anchor: format!("bare FFmpeg: {}", told(bare)),
        ours: told(ours),
        reach: format!("{:.3} (≤ {most})", median(&ratios)),
        holds: Some(median(&ratios) <= most),
    }
}

/// `serve` and `work edit` on a store.
struct Editor {
    fleet: Fleet,
    ledger: Ledger,
}

impl Editor {
    async fn start(services: &[(&str, String)]) -> Self {
        let mut fleet = Fleet::on(TOML, services, |_| {}).await;
        fleet.start("serve", &["serve"]);
        fleet.start("edit", &["work", "edit"]);
        fleet.ready().await;
        fleet.account("ann").await;
        let folder = tempfile::tempdir().expect("a folder");
        let image = std::fs::read(clips::watermark(folder.path())).expect("an image");
        let put =
            Client::builder().no_proxy().build().expect("a client").put(fleet.url("/api/accounts/ann/brand/watermark"));
        let put = put.bearer_auth(&fleet.key).header("content-type", "image/png").body(image);
        assert!(put.send().await.expect("an answer").status().is_success(), "the watermark is taken");
        let ledger = fleet.ledger().await;
        Self { fleet, ledger }
    }

    async fn upload(&self, clip: &[u8]) -> String {
        let watermark = json!({ "corner": "topRight", "width": 0.2, "opacity": 0.8 });
        let brand = json!({ "watermark": watermark, "captions": null, "effects": ["grade", "loudness"] }).to_string();
        let fields = [("brand", brand.as_str())];
        self.fleet.try_upload_bytes("ann", "a clip", &fields, clip.to_vec()).await.expect("accepted")
    }

    async fn edited(&self, id: &str) {
        until_long(&self.fleet, id, std::time::Duration::from_secs(600), |video| video["status"] == "EDITED").await;
    }

    /// The command of an edit of this clip, once it is over.
    async fn bare(&self, clip: &[u8]) -> Bare {
        for _ in 0..10 {
            let (bare, id) = tokio::join!(Bare::of_next_edit(&self.fleet), self.upload(clip));
            self.edited(&id).await;
            if let Some(bare) = bare {
                assert_eq!(std::fs::read(bare.source()).expect("the source"), clip, "the same source");
                return bare;
            }
        }
        panic!("no run of FFmpeg was seen");
    }

    async fn edit(&self, clip: &[u8]) -> Took {
        let pid = self.fleet.pid("edit");
        let before = Processes::now().cpu(pid);
        let id = self.upload(clip).await;
        self.edited(&id).await;
        let cpu = (Processes::now().cpu(pid) - before).total();
        let lines = self.ledger.history(id.parse().expect("an id")).await.expect("a history");
        // Both are the times of their transactions: the last commit, of a millisecond or two, is not in it.
        let at = |event: &str| {
            let line = lines.iter().find(|line| line.stage == Some(Stage::Edit) && line.event == event);
            line.unwrap_or_else(|| panic!("{event}: {lines:?}")).at
        };
        Took { wall: (at("edited") - at("started")) as f64 / 1000.0, cpu }
    }
}
