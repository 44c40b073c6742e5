//! SIGTERM: running work has its deadline, the rest is handed back; a second one ends it at once.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use subiteya::event::Stage;
use subiteya::task::State;

use crate::support::fleet::{Fleet, LOOSE};

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_that_is_stopped_hands_back_uncounted_and_another_one_starts_at_once() {
    // A lease that would hold it up, were it waited for.
    let mut fleet = Fleet::started(&LOOSE.replace("lease = \"3s\"", "lease = \"10m\"")).await;
    fleet.account("ada").await;
    let video = fleet.upload_slow("ada", "handed back").await;
    fleet.until_ffmpeg_runs(&video).await;
    let asked = Instant::now();
    fleet.signal("edit", Signal::TERM);
    let status = fleet.ended("edit", Duration::from_secs(8)).await;
    assert!(status.success(), "{status}: {}", fleet.log("edit"));
    // It may have been done within the deadline of a second; what was not is handed back right after it.
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    fleet.until_no_ffmpeg().await;
    for row in fleet.tasks(&video).await {
        let task = &row.task;
        assert!(task.state != State::Running && task.takeovers == 0 && task.attempts == 0, "{row:?}");
    }
    fleet.start_again("edit");
    let video = fleet.posted(&video).await;
    assert!(Fleet::events(&video).contains(&"edit/handed back".to_owned()), "{video:#}");
    // All end cleanly while nothing is to be done.
    for name in ["edit", "publish", "serve"] {
        fleet.signal(name, Signal::TERM);
        let status = fleet.ended(name, Duration::from_secs(8)).await;
        assert!(status.success(), "{name}: {status}: {}", fleet.log(name));
    }
    for (stream, group) in [("video.uploaded", "edit"), ("video.edited", "publish")] {
        assert_eq!(fleet.redis.pending(stream, group).await, 0);
        let consumers = fleet.redis.command(&["XINFO", "CONSUMERS", stream, group]).await;
        assert!(consumers.starts_with("*0"), "no consumer is left behind: {consumers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_and_leaves_no_ffmpeg() {
    let mut fleet = Fleet::started(&LOOSE.replace("deadline = \"1s\"", "deadline = \"1h\"")).await;
    fleet.account("ada").await;
    let video = fleet.upload_slow("ada", "ended").await;
    fleet.until_ffmpeg_runs(&video).await;
    fleet.signal("edit", Signal::TERM);
    crate::support::eventually("the first was heard", Duration::from_secs(5), || async {
        fleet.log("edit").contains("a second signal ends it")
    })
    .await;
    assert!(fleet.lives("edit"), "it has an hour: {}", fleet.log("edit"));
    let asked = Instant::now();
    fleet.signal("edit", Signal::INT);
    let status = fleet.ended("edit", Duration::from_secs(3)).await;
    assert_eq!(status.code(), Some(1), "{:?}: {}", asked.elapsed(), fleet.log("edit"));
    fleet.until_no_ffmpeg().await;
    fleet.start_again("edit");
    fleet.posted(&video).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_is_stopped_in_a_chunk_hands_it_back_and_the_next_one_goes_on() {
    let mut fleet = Fleet::started(&LOOSE.replace("lease = \"3s\"", "lease = \"10m\"")).await;
    fleet.account("ada").await;
    fleet.faults(&["chunk:hang"]);
    let video = fleet.upload("ada", "half sent").await;
    fleet.faults_taken().await;
    fleet.signal("publish", Signal::TERM);
    assert!(fleet.ended("publish", Duration::from_secs(8)).await.success(), "{}", fleet.log("publish"));
    let rows = fleet.tasks(&video).await;
    let task = &rows.iter().find(|row| row.task.stage == Stage::Publish).expect("a task").task;
    assert!(matches!(task.state, State::Waiting | State::Queued) && task.takeovers == 0, "{task:?}");
    fleet.start_again("publish");
    fleet.posted(&video).await;
}
