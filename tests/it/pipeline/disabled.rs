//! Without Redis.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::fleet::{Fleet, LOOSE};

#[tokio::test(flavor = "multi_thread")]
async fn uploads_wait_in_the_ledger_while_redis_is_disabled_and_go_on_when_it_is_enabled() {
    let mut fleet = Fleet::new(LOOSE).await;
    fleet.account("ada").await;
    fleet.set("ENABLE_REDIS", "false");
    fleet.start_again("serve");
    fleet.ready().await;
    let video = fleet.upload("ada", "patient").await;
    let seen = fleet.video(&video).await;
    assert_eq!((&seen["status"], &seen["waitingFor"]["code"]), (&"EDITING_QUEUED".into(), &"redis_disabled".into()));
    fleet.start_again("all");
    assert!(fleet.ended("all", Duration::from_secs(10)).await.success(), "{}", fleet.log("all"));
    assert!(fleet.lives("serve"), "{}", fleet.log("serve"));
    fleet.signal("serve", Signal::TERM);
    assert!(fleet.ended("serve", Duration::from_secs(5)).await.success(), "{}", fleet.log("serve"));
    fleet.set("ENABLE_REDIS", "true");
    fleet.start_all().await;
    fleet.posted(&video).await;
}
