//! Work goes to whoever has a free slot, and nobody holds what they can't start.

use std::path::Path;

use super::load::{self, Verdict};
use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE, SOON};
use crate::support::standin::StandIn;

/// Edits that run, and entries that were read and not acknowledged.
async fn at_work(fleet: &Fleet) -> (usize, u64) {
    let running = fleet.ledger().await.running(subiteya::event::Stage::Edit, 100).await.expect("read").len();
    (running, fleet.redis.pending("video.uploaded", "edit").await)
}

/// Starts an editor of so many slots over a stand-in of its own.
fn editor(fleet: &mut Fleet, name: &str, slots: usize, standin: &StandIn, folder: &Path) {
    let file = folder.join(format!("{name}.toml"));
    let toml = LOOSE.replacen("limit = \"\"", &format!("limit = \"\"\nconcurrency = {slots}"), 1);
    std::fs::write(&file, toml).expect("written");
    fleet.set("SUBITEYA_STREAMS", &file.display().to_string());
    fleet.set("PATH", &standin.path());
    fleet.start_again(name);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_to_those_with_free_slots_and_nobody_holds_what_they_cannot_start() {
    let (slow, fast) = (StandIn::new(), StandIn::new());
    let folder = tempfile::tempdir().expect("a folder");
    let mut fleet = Fleet::new(LOOSE).await;
    fleet.set("PATH", &fast.path());
    let creators = load::creators(20);
    fleet.accounts(&creators).await;
    for name in ["serve", "publish"] {
        fleet.start_again(name);
    }
    fleet.ready().await;
    slow.hold();
    fast.hold();
    editor(&mut fleet, "edit", 1, &slow, folder.path());
    editor(&mut fleet, "edit2", 4, &fast, folder.path());
    let accepted = load::upload(&fleet, &creators, 0..7).await;
    eventually("each slot has one", SOON, || async { at_work(&fleet).await == (5, 5) }).await;
    // A third one comes: what nobody had a slot for was left on the stream for it.
    let third = StandIn::new();
    third.hold();
    editor(&mut fleet, "edit3", 4, &third, folder.path());
    let runs = || (slow.runs().len(), fast.runs().len(), third.runs().len());
    eventually("all run", SOON, || async { at_work(&fleet).await == (7, 7) && runs() == (1, 4, 2) }).await;
    // The slow one keeps its one, all others pass it.
    fast.release();
    third.release();
    let more = load::upload(&fleet, &creators, 7..17).await;
    eventually("all others are done", SOON, || async {
        at_work(&fleet).await == (1, 1) && third.runs().len() + fast.runs().len() == 32
    })
    .await;
    assert_eq!(slow.runs().len(), 1);
    slow.release();
    let all = accepted.into_iter().chain(more).collect();
    load::until_posted(&fleet, &all).await;
    assert_eq!(load::verdict(&fleet, &all).await, Verdict::default());
}
