//! The limits as they are by default, over processes and restarts.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use subiteya::sandbox::Kind;

use crate::support::fleet::{Fleet, LOOSE};

/// Short leases, and publishing's limits as they are by default.
fn default_limits() -> String {
    LOOSE
        .replace("limit_per_account = \"\"\n", "")
        .replace("[streams.\"video.edited\"]\nlimit = \"\"\n", "[streams.\"video.edited\"]\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_30_three_inits_a_minute_hold_over_two_publishers_and_a_restart() {
    let mut fleet = Fleet::new(&default_limits()).await;
    fleet.start_all().await;
    fleet.start_again("publish2");
    let mut videos = Vec::new();
    for number in 0..5 {
        let account = format!("creator{number}");
        fleet.account(&account).await;
        videos.push(fleet.upload(&account, &format!("video {number}")).await);
    }
    let three = || async { fleet.calls(Kind::Init).await.len() >= 3 };
    crate::support::eventually("three inits", Duration::from_secs(30), three).await;
    let first = fleet.calls(Kind::Init).await[0].wall_time;
    for name in ["publish", "publish2"] {
        fleet.kill(name);
        fleet.start_again(name);
    }
    fleet.redis.command(&["FLUSHALL"]).await;
    // A while in which a forgotten limit would have let another one through.
    let watched = Instant::now();
    while watched.elapsed() < Duration::from_secs(8) {
        assert_eq!(fleet.calls(Kind::Init).await.len(), 3, "{}", fleet.logs());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    // A publisher that was killed before its init was answered leaves a video that waits for its own account.
    let waiting = || async {
        let mut until = Vec::new();
        for video in &videos {
            let waits = fleet.video(video).await["waitingFor"].clone();
            if waits["code"] == "stage_limit" {
                until.push(waits["until"].as_str().expect("a time").parse::<DateTime<Utc>>().expect("a time"));
            }
        }
        until
    };
    crate::support::eventually("two waiting", Duration::from_secs(30), || async { waiting().await.len() == 2 }).await;
    for until in waiting().await {
        assert!(until > first + chrono::Duration::seconds(60), "{until}, first {first}");
    }
    assert_eq!(fleet.calls(Kind::Init).await.len(), 3, "{}", fleet.logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_over_its_limit_parks_its_next_video_at_no_cost_and_lets_another_pass() {
    let fleet = Fleet::started(&default_limits()).await;
    for name in ["ada", "bob"] {
        fleet.account(name).await;
    }
    let first = fleet.upload("ada", "first").await;
    let init = fleet.posted(&first).await;
    let second = fleet.upload("ada", "second").await;
    let parked = |video: &serde_json::Value| video["waitingFor"]["code"] == "account_limit";
    let video = fleet.until_video(&second, "parked", parked).await;
    let until: DateTime<Utc> = video["waitingFor"]["until"].as_str().expect("a time").parse().expect("a time");
    let begun = fleet.calls(Kind::Init).await[0].wall_time;
    let after = (until - begun).num_seconds();
    assert!((300..=307).contains(&after), "{after} s after {init:#}");
    let other = fleet.upload("bob", "passes").await;
    fleet.posted(&other).await;

    fleet.redis.reset_calls().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let calls = fleet.redis.calls().await;
    assert!(calls.is_empty(), "a parked video costs no command: {calls:?}");
    assert_eq!(fleet.video(&second).await["status"], "EDITED");
    assert_eq!(fleet.calls(Kind::Init).await.len(), 2);
}
