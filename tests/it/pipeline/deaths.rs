//! SIGKILL of each process and of Redis, at moments that a fault of the sandbox holds open.

use std::time::Duration;

use rustix::process::Signal;
use subiteya::sandbox::Kind;

use crate::support::fleet::{Fleet, LOOSE, large_clip};

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_that_is_killed_leaves_no_ffmpeg_and_its_video_is_posted_once() {
    let mut fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    let video = fleet.upload_slow("ada", "edited twice").await;
    fleet.until_ffmpeg_runs(&video).await;
    fleet.kill("edit");
    fleet.until_no_ffmpeg().await;
    // The one who took it in may die as well.
    fleet.kill("serve");
    fleet.start_again("edit");
    fleet.start_again("serve");
    fleet.ready().await;
    let video = fleet.posted(&video).await;
    assert!(Fleet::events(&video).contains(&"edit/taken over".to_owned()), "{video:#}");
    fleet.until_no_ffmpeg().await;
    let own = |name: &str| {
        let folders = std::fs::read_dir(fleet.data().join("spool")).expect("a folder").flatten();
        folders.filter(|folder| folder.file_name().to_string_lossy().starts_with(name)).count()
    };
    assert_eq!(own("run-"), 2, "of serve and edit; what the dead ones left was removed");
}

/// Kills the publisher while the call that the fault hits is under way, and starts another one.
async fn publisher_killed_in(faults: &[&[&str]]) {
    let mut fleet = Fleet::started(LOOSE).await;
    for (number, fault) in faults.iter().enumerate() {
        let account = format!("creator{number}");
        fleet.account(&account).await;
        fleet.faults(fault);
        let video = fleet.upload(&account, &format!("killed in {}", fault.join(", "))).await;
        fleet.faults_taken().await;
        fleet.kill("publish");
        fleet.start_again("publish");
        fleet.posted(&video).await;
        for task in fleet.tasks(&video).await {
            assert_eq!(task.task.attempts, 0, "a death is no fault of the video: {task:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_is_killed_before_or_in_init_posts_once() {
    // The delayed init is handled after its sender's death: an id that nobody ever hears of.
    publisher_killed_in(&[&["creator_info:delay=1s"], &["init:delay=1s"]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_is_killed_in_a_chunk_posts_once() {
    // The bytes are with TikTok already, or never come.
    publisher_killed_in(&[&["chunk:delay=1s"], &["chunk:hang"]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_is_killed_after_the_last_byte_posts_once() {
    publisher_killed_in(&[&["chunk:cut-after", "status:delay=1s"], &["status:delay=1s"]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_redis_and_a_killed_one_cost_time_and_no_video() {
    let mut fleet = Fleet::started(LOOSE).await;
    for name in ["ada", "bob"] {
        fleet.account(name).await;
    }
    let mut videos = vec![fleet.upload_slow("ada", "wiped").await];
    fleet.until(&videos[0], "EDITING").await;
    fleet.redis.command(&["FLUSHALL"]).await;
    videos.push(fleet.upload("bob", "after the wipe").await);
    fleet.faults(&["chunk:delay=2s"]);
    fleet.faults_taken().await;
    fleet.redis.kill().await;
    // Taken in while Redis is away, which is no reason to refuse.
    videos.push(fleet.upload("bob", "without redis").await);
    fleet.redis.restart().await;
    for video in &videos {
        fleet.posted(video).await;
        for task in fleet.tasks(video).await {
            assert_eq!((task.task.attempts, task.task.takeovers), (0, 0), "nobody died: {task:?}");
        }
    }
    for (stream, group) in [("video.uploaded", "edit"), ("video.edited", "publish")] {
        let within = Duration::from_secs(10);
        crate::support::eventually("nothing is pending", within, || async {
            fleet.redis.pending(stream, group).await == 0
        })
        .await;
    }
    assert_eq!(fleet.calls(Kind::Init).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_many_chunks_goes_on_where_it_was_after_a_death_and_a_stop() {
    let mut fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    fleet.faults(&["chunk@3:delay=1s", "chunk@6:hang"]);
    let video = fleet.try_upload("ada", "in chunks", &[], large_clip()).await.expect("accepted");
    crate::support::eventually("the third chunk is under way", Duration::from_secs(30), || async {
        fleet.faults_left().await == 1
    })
    .await;
    fleet.kill("publish");
    fleet.start_again("publish");
    fleet.faults_taken().await;
    fleet.signal("publish", Signal::TERM);
    assert!(fleet.ended("publish", Duration::from_secs(8)).await.success(), "{}", fleet.log("publish"));
    fleet.start_again("publish");
    fleet.posted(&video).await;
    let plan = fleet.calls(Kind::Init).await;
    let chunks = fleet.calls(Kind::Chunk).await;
    let count = usize::try_from(plan[0].total_chunk_count.expect("a count")).expect("a number");
    assert!(plan.len() == 1 && count > 5, "{plan:?}");
    assert!(chunks.len() <= count + 2, "two chunks at most were sent again: {chunks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_was_frozen_while_another_took_over_adds_no_second_post() {
    let mut fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    fleet.account("bob").await;
    for (title, fault) in [("frozen in init", "init:delay=1s"), ("frozen in a chunk", "chunk:delay=1s")] {
        fleet.faults(&[fault]);
        let video = fleet.upload("ada", title).await;
        fleet.faults_taken().await;
        fleet.signal("publish", Signal::STOP);
        fleet.start_again("publish2");
        fleet.posted(&video).await;
        fleet.signal("publish", Signal::CONT);
        fleet.kill("publish2");
        // Awake again it writes nothing of the old one, and is as good as any for the next.
        let next = fleet.upload("bob", &format!("after {title}")).await;
        fleet.posted(&next).await;
        fleet.posted(&video).await;
    }
}
