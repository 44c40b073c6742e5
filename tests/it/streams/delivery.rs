//! The loop of both stages, on whichever kind of Redis it is given.

use std::sync::Arc;
use std::time::Duration;

use subiteya::event::VideoId;

use crate::support::eventually;
use crate::support::kinds::Service;
use crate::support::stage::{Pipeline, Script};

const SOON: Duration = Duration::from_secs(20);

/// A handful of videos with readers blocked, a wipe, a worker that dies; then exactly what a video costs.
pub(super) async fn through_both_streams(service: Service) {
    service.everywhere(&["FLUSHALL"]).await;
    let pipeline = Pipeline::on(service).await;
    pipeline.connect_account().await;
    let edit = Arc::new(Script { publish_next: true, ..Script::default() });
    let publish = Arc::new(Script::default());
    let process = pipeline.process_of_both(&edit, &publish).await;
    both_blocked(&pipeline).await;
    posted(&pipeline, 3).await;

    pipeline.redis.everywhere(&["FLUSHALL"]).await;
    posted(&pipeline, 3).await;
    assert_eq!((edit.runs(), publish.runs()), (6, 6));
    process.stop().await;

    let stuck = Arc::new(Script { publish_next: true, ..Script::closed() });
    let dying = pipeline.process_of_both(&stuck, &publish).await;
    let video = pipeline.upload().await;
    eventually("it runs", SOON, || async { stuck.runs() == 1 }).await;
    dying.kill();
    let process = pipeline.process_of_both(&edit, &publish).await;
    pipeline.all_end(&[video], SOON).await;
    pipeline.nothing_pending().await;
    assert_eq!((edit.runs(), publish.runs()), (7, 7));

    both_blocked(&pipeline).await;
    // The sweep that follows the last entry has been made when nothing is out any more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    pipeline.redis.reset_calls().await;
    process.streams.meter().take();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let calls = pipeline.redis.calls().await;
    assert!(calls.is_empty(), "while idle: {calls:?}");
    assert!(process.streams.meter().take().is_empty());
    for _ in 0..3 {
        posted(&pipeline, 1).await;
    }
    let calls = pipeline.redis.calls().await;
    let of = |name: &str| calls.get(name).copied().unwrap_or(0);
    assert_eq!((of("xadd"), of("xack")), (6, 6), "{calls:?}");
    // A blocked read is counted when it blocks and when it is served, by some versions.
    assert!((6..=14).contains(&of("xreadgroup")), "{calls:?}");

    let asked = tokio::time::Instant::now();
    process.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "blocked readers held up the stop: {:?}", asked.elapsed());
}

async fn both_blocked(pipeline: &Pipeline<Service>) {
    eventually("both readers wait", SOON, || async { pipeline.redis.blocked().await == 2 }).await;
}

async fn posted(pipeline: &Pipeline<Service>, number: usize) {
    let mut videos: Vec<VideoId> = Vec::new();
    for _ in 0..number {
        videos.push(pipeline.upload().await);
    }
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
}
