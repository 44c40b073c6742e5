//! Many workers on one SQLite file.

use crate::support::fleet::{Fleet, LOOSE};

async fn crowd(workers: &[&str], videos: usize) {
    let mut fleet = Fleet::new(LOOSE).await;
    let names: Vec<String> = (0..videos / 2).map(|number| format!("creator{number}")).collect();
    fleet.accounts(&names).await;
    fleet.start_again("serve");
    for worker in workers {
        fleet.start_again(worker);
    }
    fleet.ready().await;
    let uploads = (0..videos).map(|number| {
        let fleet = &fleet;
        async move { fleet.upload(&format!("creator{}", number / 2), &format!("video {number}")).await }
    });
    let ids = futures::future::join_all(uploads).await;
    for id in &ids {
        fleet.posted(id).await;
        for row in fleet.tasks(id).await {
            assert_eq!((row.task.attempts, row.task.takeovers), (0, 0), "{row:?}\n{}", fleet.logs());
        }
    }
    assert_eq!(fleet.sandbox.posts().len(), videos);
    let logs = fleet.logs();
    for wrong in ["is locked", "SQLITE_BUSY", "panicked", "the lease is gone"] {
        assert!(!logs.contains(wrong), "{wrong}:\n{logs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_on_one_sqlite_file_post_each_video_once() {
    crowd(&["all", "all2"], 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_workers_on_one_sqlite_file_post_each_video_once() {
    crowd(&["edit", "edit2", "publish", "publish2"], 20).await;
}
