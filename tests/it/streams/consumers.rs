//! Consumers that are left behind are taken away.

use std::sync::Arc;
use std::time::Duration;

use subiteya::event::Stage;

use crate::support::eventually;
use crate::support::stage::{Pipeline, Script};

#[tokio::test(flavor = "multi_thread")]
async fn pitfalls_19_and_20_fifty_starts_and_stops_leave_no_more_consumers_than_live_workers() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    for round in 0..50 {
        let process = pipeline.process(&script).await;
        let video = pipeline.upload().await;
        pipeline.all_end(&[video], Duration::from_secs(10)).await;
        // Every second one is killed, as a host that fails would.
        if round % 2 == 0 {
            process.stop().await;
        } else {
            process.kill();
        }
    }
    let left = pipeline.streams.consumers(Stage::Edit).await.unwrap().len();
    assert!(left <= 26, "those that were stopped are gone: {left}");
    let process = pipeline.process(&script).await;
    eventually("one consumer is left", Duration::from_secs(20), || async {
        let video = pipeline.upload().await;
        pipeline.all_end(&[video], Duration::from_secs(10)).await;
        pipeline.streams.consumers(Stage::Edit).await.unwrap().len() == 1
    })
    .await;
    pipeline.nothing_pending().await;
    // Nothing is there to remove any more, and nothing is removed.
    pipeline.redis.reset_calls().await;
    let video = pipeline.upload().await;
    pipeline.all_end(&[video], Duration::from_secs(10)).await;
    process.stop().await;
    assert_eq!(pipeline.redis.calls().await.get("xgroup|delconsumer").copied(), Some(1), "its own, when it left");
}
