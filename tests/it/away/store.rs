//! The local folder of objects: removed, read-only, full.

use std::path::Path;

use subiteya::sandbox::Kind;

use super::{MOVES, all_posted, get, objects, upload};
use crate::support::disk::Disk;
use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_objects_that_is_gone_refuses_uploads_and_is_used_again_when_it_is_back() {
    let fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    let first = fleet.upload("ada", "before").await;
    fleet.posted(&first).await;
    let (here, away) = (fleet.data().join("objects"), fleet.data().join("elsewhere"));
    std::fs::rename(&here, &away).expect("moved");
    // A file in its place, so that nobody makes the folder anew.
    std::fs::write(&here, "").expect("written");
    upload(&fleet, "ada", "refused").await.is_unavailable("store_unavailable");
    eventually("it is not ready", MOVES, || async { get(&fleet, "/readyz").await.status == 503 }).await;
    assert_eq!(get(&fleet, "/readyz").await.json()["store"], false);
    assert_eq!(get(&fleet, &format!("/api/videos/{first}")).await.status, 200);
    std::fs::remove_file(&here).expect("removed");
    std::fs::rename(&away, &here).expect("moved");
    let second = fleet.upload("ada", "after").await;
    all_posted(&fleet, &[first, second]).await;
    assert_eq!(get(&fleet, "/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_and_a_read_only_one_leave_nothing_half_done() {
    let Some(disk) = Disk::of("8m") else { return };
    let mut fleet = Fleet::new(LOOSE).await;
    std::fs::create_dir_all(fleet.data()).expect("a folder");
    link(&disk.folder(), &fleet.data().join("objects"));
    fleet.start_all().await;
    fleet.account("ada").await;
    let first = fleet.upload("ada", "before").await;
    fleet.posted(&first).await;
    disk.fill();
    let answer = upload(&fleet, "ada", "refused").await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (507, Some("store_full")), "{answer:?}");
    eventually("nothing is left of it", MOVES, || async { objects(&fleet) == 1 }).await;
    disk.empty();
    disk.remount("ro");
    upload(&fleet, "ada", "refused too").await.is_unavailable("store_unavailable");
    disk.remount("rw");
    let second = fleet.upload("ada", "after").await;
    all_posted(&fleet, &[first, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_before_the_last_chunk_leaves_no_doubt_about_the_post() {
    let fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    fleet.faults(&["init:delay=3s"]);
    let video = fleet.upload("ada", "in one piece").await;
    fleet.faults_taken().await;
    let (here, away) = (fleet.data().join("objects"), fleet.data().join("elsewhere"));
    std::fs::rename(&here, &away).expect("moved");
    std::fs::write(&here, "").expect("written");
    fleet.until_video(&video, "waiting for the store", |video| video["waitingFor"]["code"] == "store_away").await;
    let row = fleet.ledger().await.publication(video.parse().expect("an id")).await.expect("read").expect("a row");
    assert!(row.publish_id.is_some() && !row.final_started, "{row:?}");
    std::fs::remove_file(&here).expect("removed");
    std::fs::rename(&away, &here).expect("moved");
    all_posted(&fleet, &[video]).await;
    assert_eq!(fleet.calls(Kind::Init).await.len(), 1, "the upload that was begun went on");
}

fn link(to: &Path, at: &Path) {
    std::fs::remove_dir_all(at).ok();
    std::os::unix::fs::symlink(to, at).expect("linked");
}
