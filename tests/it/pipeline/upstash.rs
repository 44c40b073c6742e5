//! The pipeline on a metered plan: real processes, and Upstash's manners between them and Redis.

use std::time::Duration;

use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE, SOON, clip};
use crate::support::upstash::{Plan, Upstash};

async fn fleet_on(plan: Plan) -> (Fleet, Upstash) {
    let mut fleet = Fleet::new(LOOSE).await;
    let upstash = plan.before(&fleet.redis.socket()).await;
    fleet.set("REDIS_URL", &upstash.url());
    (fleet, upstash)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_posted_through_idle_closes_and_the_log_stays_quiet() {
    let (mut fleet, upstash) = fleet_on(Plan::free().closes_idle(Duration::from_secs(1))).await;
    let report = fleet.run(&["doctor"], "");
    assert!(
        report.lines().any(|line| line.starts_with("ok") && line.contains("redis") && line.contains("version")),
        "{report}"
    );
    fleet.start_all().await;
    for title in ["first", "second"] {
        fleet.account(title).await;
        let video = fleet.upload(title, title).await;
        fleet.posted(&video).await;
        // Some rest by now, and are closed no more.
        eventually("idle connections are closed", SOON, || async { upstash.idle_closes() >= 3 }).await;
    }
    let refused = upstash.refused();
    assert!(refused.is_empty(), "nothing is asked of Upstash that it does not have: {refused:?}");
    let logs = fleet.logs();
    assert!(!logs.contains("WARN") && !logs.contains("ERROR"), "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_used_up_delays_videos_and_fails_none() {
    let (mut fleet, upstash) = fleet_on(Plan::free()).await;
    fleet.start_all().await;
    for account in ["ada", "bob"] {
        fleet.account(account).await;
    }
    let half = fleet.upload_slow("ada", "was being edited").await;
    fleet.until(&half, "EDITING").await;
    upstash.cap(Some(0));
    fleet.until(&half, "EDITED").await;
    let late = fleet.upload("bob", "came too late").await;
    let ready = fleet.get("/readyz").await;
    assert_eq!((&ready["status"], &ready["redis"]), (&"ok".into(), &"over quota".into()), "{ready}");
    let health = fleet.get("/api/monitor/queue-health").await;
    assert_eq!((&health["usage"]["status"], &health["queuesActive"]), (&"OVER".into(), &false.into()), "{health}");
    let usage = fleet.get("/api/monitor/redis-usage").await;
    assert_eq!(usage["status"], "OVER");
    let provider = upstash.usage();
    assert_eq!(usage["provider"], serde_json::json!({ "limit": 0, "usage": provider }), "{usage}");
    assert!(usage["total"].as_u64() >= Some(provider), "{usage}");

    // One that starts now must not wait for the next month to take uploads.
    fleet.kill("serve");
    fleet.start_again("serve");
    fleet.ready().await;
    let later = fleet.upload("bob", "came even later").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let video = fleet.video(&late).await;
    assert_eq!((&video["status"], &video["waitingFor"]["code"]), (&"EDITING_QUEUED".into(), &"redis_quota".into()));
    let turned_away = upstash.turned_away();
    assert!(turned_away.values().sum::<u64>() <= 8, "{turned_away:?}\n{}", fleet.logs());

    upstash.cap(None);
    for video in [&half, &late, &later] {
        fleet.posted(video).await;
        for row in fleet.tasks(video).await {
            assert_eq!((row.task.attempts, row.task.takeovers), (0, 0), "{row:?}");
        }
    }
    let edit = fleet.log("edit");
    for line in ["quota is used up", "Redis takes commands again"] {
        assert_eq!(edit.matches(line).count(), 1, "{line}: {edit}");
    }
    assert!(!edit.contains("can't be read") && !edit.contains("could not"), "{edit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn near_the_plans_end_editing_waits_and_publishing_goes_on() {
    let fleet = Fleet::started(&format!("[redis]\nmonthly_commands = 100000\n{LOOSE}")).await;
    fleet.account("ada").await;
    let at = (chrono::Utc::now() + chrono::Duration::seconds(15)).to_rfc3339();
    let early = fleet.try_upload("ada", "is edited by then", &[("publishAt", &at)], clip()).await.expect("accepted");
    fleet.until(&early, "EDITED").await;
    let ledger = fleet.ledger().await;
    let count = |commands: i64| {
        let ledger = ledger.clone();
        async move {
            let month = subiteya::budget::month(chrono::Utc::now());
            let tx = ledger.begin().await.expect("begin");
            tx.add_usage(&month, "read", "a test", commands).await.expect("counted");
            tx.commit().await.expect("committed");
        }
    };
    count(100_000).await;
    eventually("all have seen it", SOON, || async {
        ["serve", "edit", "publish"].iter().all(|name| fleet.log(name).contains("nearly used up"))
    })
    .await;
    let late = fleet.upload("ada", "came too late").await;
    fleet.posted(&early).await;
    let video = fleet.video(&late).await;
    assert_eq!((&video["status"], &video["waitingFor"]["code"]), (&"EDITING_QUEUED".into(), &"redis_budget".into()));
    count(-100_000).await;
    fleet.posted(&late).await;
}
