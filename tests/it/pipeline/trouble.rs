//! TikTok's troubles: lost answers, refusals, tokens that die, posts that fail or never end.

use subiteya::sandbox::{CreatorSpec, Kind, Tokens};

use crate::support::fleet::{Fleet, LOOSE};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_answer_is_lost_or_refused_each_video_is_posted_once() {
    let fleet = Fleet::started(LOOSE).await;
    let troubles: [&[&str]; 8] = [
        &["creator_info:cut-after"],
        &["init:cut-after"],
        &["init:error=500"],
        &["chunk:cut-before"],
        &["chunk:cut-mid"],
        &["chunk:cut-after", "status:cut-after"],
        &["chunk:error=503", "status:error=502"],
        &["creator_info:rate-limit=2s", "init:rate-limit=1s"],
    ];
    let mut videos = Vec::new();
    for (number, faults) in troubles.iter().enumerate() {
        let account = format!("creator{number}");
        fleet.account(&account).await;
        fleet.faults(faults);
        videos.push(fleet.upload(&account, &format!("in spite of {}", faults.join(", "))).await);
        fleet.faults_taken().await;
    }
    for video in &videos {
        fleet.posted(video).await;
        for row in fleet.tasks(video).await {
            assert_eq!((row.task.attempts, row.task.takeovers), (0, 0), "an outage is no attempt: {row:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_dies_midway_is_refreshed_once_and_each_init_has_its_own_permit() {
    let fleet = Fleet::started(LOOSE).await;
    for (number, fault) in ["creator_info:expire-token", "init:expire-token", "status:expire-token"].iter().enumerate()
    {
        let account = format!("creator{number}");
        fleet.account(&account).await;
        fleet.faults(&[fault]);
        let title = format!("in spite of {fault}");
        let video = fleet.upload(&account, &title).await;
        let video = fleet.posted(&video).await;
        let permits = Fleet::events(&video).iter().filter(|event| *event == "publish/init").count();
        let open_id = &fleet.posts(&title)[0].open_id;
        let inits = fleet.calls(Kind::Init).await.iter().filter(|call| call.open_id.as_ref() == Some(open_id)).count();
        assert_eq!(permits, inits, "every init counts, repeats too: {video:#}");
        let refreshes =
            fleet.calls(Kind::Token).await.iter().filter(|call| call.open_id.as_ref() == Some(open_id)).count();
        assert_eq!(refreshes, 1, "{:?}", fleet.calls(Kind::Token).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_account_waits_for_its_person_and_goes_on_when_it_is_connected_again() {
    let fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    fleet.faults(&["creator_info:revoke"]);
    let video = fleet.upload("ada", "waits").await;
    let waits = |video: &serde_json::Value| video["waitingFor"]["code"] == "account_reconnect";
    fleet.until_video(&video, "waiting for the account", waits).await;
    let accounts = fleet.get("/api/accounts").await;
    assert_eq!(accounts["accounts"][0]["state"], "RECONNECT", "{accounts:#}");
    fleet.account("ada").await;
    fleet.posted(&video).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_fails_for_an_outage_or_loses_its_question_is_tried_again() {
    let fleet = Fleet::started(LOOSE).await;
    for (number, fault) in ["token:cut-before", "token:error=503*2"].iter().enumerate() {
        let name = format!("creator{number}");
        let tokens = fleet.sandbox.grant(&CreatorSpec::named(&name)).await.expect("a creator");
        fleet.connect(&name, &Tokens { expires_in: 0, ..tokens });
        fleet.faults(&[fault]);
        let video = fleet.upload(&name, &format!("in spite of {fault}")).await;
        fleet.faults_taken().await;
        fleet.posted(&video).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_answer_is_lost_may_need_the_person_and_loses_no_video() {
    let fleet = Fleet::started(LOOSE).await;
    let tokens = fleet.sandbox.grant(&CreatorSpec::named("ada")).await.expect("a creator");
    fleet.connect("ada", &Tokens { expires_in: 0, ..tokens });
    // TikTok has used the refresh token up, and nobody knows the next one.
    fleet.faults(&["token:cut-after"]);
    let video = fleet.upload("ada", "waits").await;
    let waits = |video: &serde_json::Value| video["waitingFor"]["code"] == "account_reconnect";
    fleet.until_video(&video, "waiting for the account", waits).await;
    fleet.account("ada").await;
    fleet.posted(&video).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tiktok_fails_is_failed_with_its_reason_and_what_it_never_ends_holds_no_slot() {
    let fleet = Fleet::started(&LOOSE.replace("concurrency = 2", "concurrency = 1")).await;
    for (number, (fault, code)) in [
        ("init:error=400/invalid_file_upload", "invalid_file_upload"),
        ("chunk:fail=file_format_check_failed", "file_format_check_failed"),
        ("chunk:fail=spam_risk_text", "spam_risk_text"),
        ("chunk:fail=something_new", "something_new"),
        ("chunk:fail=auth_removed", "auth_removed"),
    ]
    .iter()
    .enumerate()
    {
        let account = format!("creator{number}");
        fleet.account(&account).await;
        fleet.faults(&[fault]);
        let title = format!("fails with {code}");
        let video = fleet.upload(&account, &title).await;
        let video = fleet.until(&video, "FAILED").await;
        assert_eq!(video["reason"]["code"], *code, "{video:#}");
        assert!(video["waitingFor"].is_null() && fleet.posts(&title).is_empty(), "{video:#}");
    }
    fleet.account("endless").await;
    fleet.faults(&["chunk:endless"]);
    let endless = fleet.upload("endless", "endless").await;
    fleet.until(&endless, "PROCESSING").await;
    fleet.account("passes").await;
    let other = fleet.upload("passes", "passes").await;
    fleet.posted(&other).await;
    let video = fleet.video(&endless).await;
    assert!(video["status"] == "PROCESSING" && !video["waitingFor"]["until"].is_null(), "{video:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_process_died_holds_up_no_other_account() {
    let mut fleet = Fleet::started(&LOOSE.replace("concurrency = 2", "concurrency = 1")).await;
    let tokens = fleet.sandbox.grant(&CreatorSpec::named("ada")).await.expect("a creator");
    fleet.connect("ada", &Tokens { expires_in: 0, ..tokens });
    fleet.account("bob").await;
    fleet.faults(&["token:hang"]);
    let waits = fleet.upload("ada", "waits for the refresh's lease").await;
    fleet.faults_taken().await;
    fleet.kill("publish");
    fleet.start_again("publish");
    fleet
        .until_video(&waits, "taken over", |video| Fleet::events(video).contains(&"publish/taken over".to_owned()))
        .await;
    let other = fleet.upload("bob", "passes").await;
    fleet.posted(&other).await;
    assert!(fleet.posts("waits for the refresh's lease").is_empty());
}
