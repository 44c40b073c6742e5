//! What TikTok refuses for a while: the right key closes, no video fails, and an operator opens it early.

use std::time::Duration;

use serde_json::Value;
use subiteya::sandbox::Kind;

use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE, SOON};

fn waits_for(video: &Value, code: &str) -> bool {
    video["waitingFor"]["code"] == code && video["waitingFor"]["until"].is_string()
}

async fn account(fleet: &Fleet, id: &str) -> Value {
    fleet.get(&format!("/api/accounts/{id}")).await["account"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_apps_user_cap_those_who_posted_today_go_on_and_the_others_wait() {
    let mut fleet = Fleet::with(LOOSE, |options| options.limits.posting_users = Some(1)).await;
    fleet.start_all().await;
    for name in ["ada", "bob", "eve"] {
        fleet.account(name).await;
    }
    let first = fleet.upload("ada", "the first of the day").await;
    fleet.posted(&first).await;
    let held = fleet.upload("bob", "one account too many").await;
    let cap = "reached_active_user_cap";
    fleet.until_video(&held, cap, |video| waits_for(video, cap)).await;
    let second = fleet.upload("ada", "the second of the day").await;
    fleet.posted(&second).await;
    let asked = fleet.calls(Kind::CreatorInfo).await.len();
    let late = fleet.upload("eve", "another account too many").await;
    fleet.until_video(&late, cap, |video| waits_for(video, cap)).await;
    assert_eq!(fleet.calls(Kind::CreatorInfo).await.len(), asked, "nobody asks in vain: {}", fleet.logs());

    assert_eq!(account(&fleet, "ada").await["state"], "ACTIVE");
    for name in ["bob", "eve"] {
        let shown = account(&fleet, name).await;
        assert!(shown["state"] == "CLOSED_UNTIL" && shown["closedUntil"].is_string(), "{shown}");
    }
    let streams = fleet.get("/api/monitor/streams").await;
    let closed = &streams["streams"][1]["closed"][0];
    assert!(closed["what"] == "newAccounts" && closed["code"] == cap, "{streams:#}");
    assert!(fleet.log("publish").contains("WARN"), "{}", fleet.log("publish"));

    let (status, opened) = fleet.post("/api/accounts/open").await;
    assert!(status == 200 && opened["opened"][0]["code"] == cap, "{opened}");
    let again = || async { fleet.calls(Kind::CreatorInfo).await.len() > asked };
    eventually("it is tried again", SOON, again).await;
    for task in fleet.tasks(&held).await {
        assert_eq!(task.task.attempts, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_posts_are_learnt_cost_no_attempt_and_an_operator_opens_early() {
    let mut fleet = Fleet::with(LOOSE, |options| options.limits.posts_per_day = 1).await;
    fleet.start_all().await;
    for name in ["ada", "bob"] {
        fleet.account(name).await;
    }
    let first = fleet.upload("ada", "the day's only one").await;
    fleet.posted(&first).await;
    let held = fleet.upload("ada", "one too many").await;
    fleet.until_video(&held, "held up", |video| waits_for(video, "spam_risk_too_many_posts")).await;
    let other = fleet.upload("bob", "of another account").await;
    fleet.posted(&other).await;
    let shown = account(&fleet, "ada").await;
    let until: chrono::DateTime<chrono::Utc> = shown["closedUntil"].as_str().expect("a time").parse().expect("a time");
    let day = until - chrono::Utc::now();
    assert!(shown["state"] == "CLOSED_UNTIL" && (23..=24).contains(&day.num_hours()), "{shown}");
    let asked = fleet.calls(Kind::CreatorInfo).await.len();
    let (status, answer) = fleet.post("/api/accounts/ada/open").await;
    assert!(status == 200 && answer["account"]["state"] == "ACTIVE", "{answer}");
    let again = || async { fleet.calls(Kind::CreatorInfo).await.len() > asked };
    eventually("it is tried again", SOON, again).await;
    fleet.until_video(&held, "held up again", |video| waits_for(video, "spam_risk_too_many_posts")).await;
    let tasks = fleet.tasks(&held).await;
    assert!(tasks.iter().all(|row| row.task.attempts == 0), "{tasks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_is_new_to_us_ends_with_a_person_and_is_shown_whole() {
    let fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    fleet.faults(&["init:error=403/brand_new_word*3"]);
    let video = fleet.upload("ada", "refused in new words").await;
    let known = |video: &Value| video["status"] == "NEEDS_REVIEW";
    let video = crate::support::fleet::until_long(&fleet, &video, Duration::from_secs(90), known).await;
    assert!(video["reason"]["text"].as_str().is_some_and(|text| text.contains("brand_new_word")), "{video:#}");
    assert!(fleet.posts("refused in new words").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_that_refuses_the_fresh_token_too_asks_for_a_new_login_and_not_again_and_again() {
    let fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    fleet.faults(&["init:error=401/access_token_invalid*2"]);
    let video = fleet.upload("ada", "refused twice").await;
    let known = |video: &Value| video["waitingFor"]["code"] == "account_reconnect";
    let video = crate::support::fleet::until_long(&fleet, &video, Duration::from_secs(90), known).await;
    let shown = account(&fleet, "ada").await;
    let why = shown["stateReason"].as_str().unwrap_or_default();
    assert!(shown["state"] == "RECONNECT" && why.contains("connect the account again"), "{shown}");
    assert_eq!(fleet.calls(Kind::Init).await.len(), 2, "nobody asks in vain");
    assert!(fleet.tasks(video["id"].as_str().expect("an id")).await.iter().all(|row| row.task.attempts == 0));
}
