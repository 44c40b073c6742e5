//! The checker is seen to bite: with one guard switched off, it finds what that guard prevents.

use std::time::Duration;

use rustix::process::Signal;
use subiteya::torture::Point;

use crate::checker::{self, Late, Scope};
use crate::history::REACHED;
use crate::pipeline::{Database, LOOSE, Pipeline, Process};
use crate::zombies::frozen_at;

/// A worker freezes at a point, another finishes the video, the first wakes. What the checker says then.
async fn after_a_zombie(pipeline: &mut Pipeline, point: Point) -> Vec<String> {
    let id = frozen_at(pipeline, point).await.expect("frozen");
    pipeline.start(Process::Second, "");
    pipeline.ended(&id).await.expect("an end");
    pipeline.signal(Process::Work, Signal::CONT);
    pipeline.kill(Process::Second);
    let title = pipeline.title();
    let next = pipeline.upload("ada", &title).await.expect("accepted");
    pipeline.ended(&next).await.ok();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let video = pipeline.fleet.video(&id).await;
    checker::video(&pipeline.fleet, &video, Late::Zombies(1)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_compare_and_set_a_zombie_posts_twice() {
    // Its lease is not asked for either, since a worker that is told of its loss in time does no harm.
    let mut pipeline = Pipeline::with(Database::Sqlite, LOOSE, "without=cas,without=lease").await;
    let wrong = after_a_zombie(&mut pipeline, Point::PublishInitAnswered).await;
    assert!(wrong.iter().any(|line| line.contains("with 2 posts")), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_lease_a_zombie_settles_what_another_has_settled() {
    let mut pipeline = Pipeline::with(Database::Sqlite, LOOSE, "without=lease").await;
    let wrong = after_a_zombie(&mut pipeline, Point::EditStored).await;
    assert!(!wrong.is_empty(), "nothing was noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_outbox_a_video_is_lost() {
    let mut pipeline = Pipeline::with(Database::Sqlite, LOOSE, "without=outbox").await;
    let title = pipeline.title();
    pipeline.restart(Process::Serve, "kill@release.committed").await;
    pipeline.upload("ada", &title).await;
    pipeline.until("serve dies", REACHED, |all| !all.lives(Process::Serve)).await.expect("dead");
    pipeline.restart(Process::Serve, "").await;
    let video = pipeline.find(&title).await.expect("it was committed");
    let id = video["id"].as_str().expect("an id");
    let ended = tokio::time::timeout(Duration::from_secs(8), pipeline.ended(id)).await;
    assert!(ended.is_err(), "nothing was noticed: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_ledgers_limiter_a_window_overflows() {
    let toml = LOOSE.replace("limit_per_account = \"\"", "limit_per_account = \"1/30s\"");
    let mut pipeline = Pipeline::with(Database::Sqlite, &toml, "without=limits").await;
    for _ in 0..3 {
        let title = pipeline.title();
        let id = pipeline.upload("ada", &title).await.expect("accepted");
        pipeline.ended(&id).await.expect("an end");
    }
    let wrong = checker::whole(&pipeline.fleet, &[(Scope::InitsOfCreator, 1, 30.0)]).await;
    assert!(!wrong.is_empty(), "nothing was noticed");
}
