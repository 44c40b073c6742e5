//! Many workers on one SQLite file.

use subiteya::sandbox::CreatorSpec;

use crate::support::fleet::{Fleet, LOOSE};

async fn crowd(workers: &[&str], videos: usize) {
    let mut fleet = Fleet::new(LOOSE).await;
    let mut lines = String::new();
    for number in 0..videos / 2 {
        let name = format!("creator{number}");
        let tokens = fleet.sandbox.grant(&CreatorSpec::named(&name)).await.expect("a creator");
        let line = serde_json::json!({
            "id": name, "open_id": tokens.open_id, "display_name": name, "user": "me",
            "access_token": tokens.access_token, "refresh_token": tokens.refresh_token,
            "expires_in": tokens.expires_in, "refresh_expires_in": tokens.refresh_expires_in,
        });
        lines.push_str(&format!("{line}\n"));
    }
    fleet.run(&["accounts", "import"], &lines);
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
    crowd(&["all", "all2"], 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_workers_on_one_sqlite_file_post_each_video_once() {
    crowd(&["edit", "edit2", "publish", "publish2"], 20).await;
}
