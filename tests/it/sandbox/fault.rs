use std::time::Duration;

use serde_json::{Value, json};
use subiteya::sandbox::{Fault, Filter, Kind};

use super::{CREATOR_INFO, Fixture, INIT, SECRET, STATUS, init_body, until, video};

#[test]
fn a_fault_s_text_is_read_and_written_the_same() {
    for text in [
        "init:error=500*2",
        "init:error=403/spam_risk",
        "chunk@2:cut-after",
        "token:hang",
        "status:delay=2000ms*all",
        "init:rate-limit",
        "chunk:fail=internal",
        "init:daily-cap=3*all",
        "status:stale",
        "creator_info:rate-limit=30000ms",
        "userinfo:revoke",
        "init:expire-token",
    ] {
        assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
    }
    for text in [
        "init",
        "init:",
        "put:hang",
        "init:hang*x",
        "init@0:hang",
        "status:endless",
        "init:stale",
        "init:delay=5",
        "init:error=9",
    ] {
        assert!(text.parse::<Fault>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn errors_are_answered_as_often_as_asked_for() {
    let fixture = Fixture::new().await;
    let ada = fixture.creator("ada").await;
    fixture.ask_for(&["init@2:error=500*2", "creator_info:error=200/spam_risk_too_many_posts", "status:error=502"]);
    let mut statuses = vec![];
    for _ in 0..4 {
        statuses.push(fixture.code(&ada, INIT, &init_body(50, 50)).await.0);
    }
    assert_eq!(statuses, [200, 500, 500, 200]);
    assert_eq!(fixture.code(&ada, CREATOR_INFO, &json!({})).await, (200, "spam_risk_too_many_posts".into()));
    let gateway = fixture.post(&ada, STATUS, &json!({"publish_id": "x"})).send().await.unwrap();
    assert_eq!(gateway.status(), 502);
    assert!(gateway.text().await.unwrap().starts_with("<html>"));
    let hit = fixture.calls(Filter { kind: Some(Kind::Init), ..Filter::default() }).await;
    assert_eq!(hit.iter().filter(|call| call.fault.as_deref() == Some("init@2:error=500*2")).count(), 2);
}

#[tokio::test]
async fn a_429_comes_with_or_without_retry_after() {
    let fixture = Fixture::new().await;
    let ada = fixture.creator("ada").await;
    fixture.ask_for(&["init:rate-limit", "init:rate-limit=30s"]);
    for wanted in [None, Some("30")] {
        let response = fixture.post(&ada, INIT, &init_body(50, 50)).send().await.unwrap();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers().get("retry-after").map(|after| after.to_str().unwrap()), wanted);
    }
}

#[tokio::test]
async fn a_call_that_hangs_is_never_answered_and_does_nothing() {
    let fixture = Fixture::new().await;
    let ada = fixture.creator("ada").await;
    fixture.ask_for(&["token:hang", "init:hang"]);
    let fields = [
        ("client_key", "key"),
        ("client_secret", SECRET),
        ("grant_type", "refresh_token"),
        ("refresh_token", &ada.refresh_token),
    ];
    let request = fixture.http.post(fixture.url("/v2/oauth/token/")).form(&fields);
    assert!(request.timeout(Duration::from_millis(200)).send().await.unwrap_err().is_timeout());
    let again = fixture.http.post(fixture.url("/v2/oauth/token/")).form(&fields).send().await.unwrap();
    assert_eq!(again.status(), 200, "the token was not used");
    let hanging = tokio::spawn(fixture.post(&ada, INIT, &init_body(50, 50)).send());
    let filter = || Filter { kind: Some(Kind::Init), ..Filter::default() };
    until("the init hangs", || async { !fixture.calls(filter()).await.is_empty() }).await;
    fixture.sandbox.shutdown().await;
    assert!(hanging.await.unwrap().is_err(), "a shutdown ends what hangs");
}

#[tokio::test]
async fn a_delayed_call_is_done_although_its_client_went_away() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(50));
    let begun = fixture.init(&ada, 50, 50).await;
    fixture.ask_for(&["chunk:delay=300ms"]);
    let request = fixture.put(&begun, &video, 0, 50).timeout(Duration::from_millis(100));
    assert!(request.send().await.unwrap_err().is_timeout());
    until("the late PUT lands", || async { fixture.sandbox.posts().len() == 1 }).await;
}

#[tokio::test]
async fn a_cut_before_does_nothing_and_a_cut_after_does_everything_but_answer() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(90));
    fixture.ask_for(&["init:cut-before", "init:cut-after", "chunk:cut-before", "chunk:cut-after"]);
    assert!(fixture.post(&ada, INIT, &init_body(90, 30)).send().await.is_err());
    assert!(fixture.post(&ada, INIT, &init_body(90, 30)).send().await.is_err());
    let inits = fixture.calls(Filter { kind: Some(Kind::Init), ..Filter::default() }).await;
    assert_eq!((inits[0].publish_id.is_some(), inits[0].status, inits[0].answered), (false, None, false));
    assert_eq!((inits[1].publish_id.is_some(), inits[1].status, inits[1].answered), (true, Some(200), false));

    let begun = fixture.init(&ada, 90, 30).await;
    assert!(fixture.put(&begun, &video, 0, 30).send().await.is_err());
    assert_eq!(fixture.status(&ada, &begun).await["uploaded_bytes"], 0);
    assert!(fixture.put(&begun, &video, 0, 30).send().await.is_err());
    assert_eq!(fixture.status(&ada, &begun).await["uploaded_bytes"], 30);
}

#[tokio::test]
async fn a_cut_in_the_middle_stores_no_chunk_and_sends_half_an_answer() {
    let fixture = Fixture::with(|options| options.limits.chunk_max = 10_000_000).await;
    let (ada, video) = (fixture.creator("ada").await, video(4_000_000));
    let begun = fixture.init(&ada, video.len(), video.len()).await;
    fixture.ask_for(&["chunk:cut-mid", "status:cut-mid"]);
    assert!(fixture.put(&begun, &video, 0, video.len()).send().await.is_err());
    let filter = Filter { kind: Some(Kind::Chunk), ..Filter::default() };
    let call = fixture.calls(filter).await.remove(0);
    assert!((2_000_000..4_000_000).contains(&call.bytes), "{}", call.bytes);
    let half = fixture.post(&ada, STATUS, &json!({"publish_id": begun.publish_id})).send().await.unwrap();
    assert_eq!(half.status(), 200);
    assert!(half.bytes().await.is_err());
    assert_eq!(fixture.status(&ada, &begun).await["uploaded_bytes"], 0);
    fixture.put_ok(&begun, &video, 0, video.len()).await;
}

#[tokio::test]
async fn urls_expire_and_tokens_are_revoked_on_request() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(90));
    fixture.ask_for(&["init:expire", "chunk@3:expire", "status@2:revoke"]);
    let dead = fixture.init(&ada, 90, 30).await;
    assert_eq!(fixture.put(&dead, &video, 0, 30).send().await.unwrap().status(), 403);
    let begun = fixture.init(&ada, 90, 30).await;
    fixture.put_ok(&begun, &video, 0, 30).await;
    assert_eq!(fixture.put(&begun, &video, 30, 60).send().await.unwrap().status(), 403);
    assert_eq!(fixture.put(&begun, &video, 30, 60).send().await.unwrap().status(), 403, "it stays dead");
    assert_eq!(fixture.status(&ada, &begun).await["uploaded_bytes"], 30);
    let body = json!({"publish_id": begun.publish_id});
    assert_eq!(fixture.code(&ada, STATUS, &body).await, (401, "access_token_invalid".into()));
}

#[tokio::test]
async fn an_access_token_can_be_expired_alone() {
    let fixture = Fixture::new().await;
    let ada = fixture.creator("ada").await;
    fixture.ask_for(&["init:expire-token"]);
    assert_eq!(fixture.code(&ada, INIT, &init_body(50, 50)).await, (401, "access_token_invalid".into()));
    let refresh = [
        ("client_key", "key"),
        ("client_secret", SECRET),
        ("grant_type", "refresh_token"),
        ("refresh_token", &ada.refresh_token),
    ];
    let refreshed = fixture.http.post(fixture.url("/v2/oauth/token/")).form(&refresh).send().await.unwrap();
    assert_eq!(refreshed.status(), 200);
}

#[test]
fn a_file_of_faults_has_one_a_line_and_comments() {
    let faults = Fault::read_all("# at first\ninit:hang\n\n  chunk:cut-mid*2\n").unwrap();
    assert_eq!(faults.iter().map(Fault::to_string).collect::<Vec<_>>(), ["init:hang", "chunk:cut-mid*2"]);
    assert!(Fault::read_all("init:hang\nnonsense").is_err());
}

#[tokio::test]
async fn posts_fail_or_process_for_ever_on_request() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(50));
    fixture.ask_for(&["init:fail=internal", "init:endless", "chunk@3:fail=spam_risk_text"]);
    let mut statuses = vec![];
    for _ in 0..3 {
        let begun = fixture.posted(&ada, &video).await;
        let status = fixture.status(&ada, &begun).await;
        statuses.push((status["status"].clone(), status["fail_reason"].clone(), status["uploaded_bytes"].clone()));
    }
    let wanted = [
        (json!("FAILED"), json!("internal"), json!(50)),
        (json!("PROCESSING_UPLOAD"), Value::Null, json!(50)),
        (json!("FAILED"), json!("spam_risk_text"), json!(50)),
    ];
    assert_eq!(statuses, wanted);
    assert!(fixture.sandbox.posts().is_empty());
}

#[tokio::test]
async fn a_hidden_daily_cap_shows_at_init_only() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(50));
    fixture.ask_for(&["init:daily-cap=1"]);
    fixture.posted(&ada, &video).await;
    assert_eq!(fixture.code(&ada, CREATOR_INFO, &json!({})).await, (200, "ok".into()));
    assert_eq!(fixture.code(&ada, INIT, &init_body(50, 50)).await, (403, "spam_risk_too_many_posts".into()));
}

#[tokio::test]
async fn a_stale_status_is_the_one_of_before_the_last_chunk() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(60));
    let begun = fixture.init(&ada, 60, 30).await;
    fixture.put_ok(&begun, &video, 0, 30).await;
    fixture.put_ok(&begun, &video, 30, 60).await;
    fixture.ask_for(&["status:stale"]);
    let stale = fixture.status(&ada, &begun).await;
    assert_eq!((&stale["status"], &stale["uploaded_bytes"]), (&json!("PROCESSING_UPLOAD"), &json!(30)));
    assert_eq!(fixture.status(&ada, &begun).await["status"], "PUBLISH_COMPLETE");
}

#[tokio::test]
async fn faults_are_asked_for_and_cleared_over_http() {
    let fixture = Fixture::new().await;
    let ada = fixture.creator("ada").await;
    let url = fixture.url("/sandbox/faults");
    let asked = fixture.http.post(&url).json(&json!({"faults": ["creator_info:error=503*all"]})).send().await.unwrap();
    assert_eq!(asked.status(), 201);
    assert_eq!(fixture.post(&ada, CREATOR_INFO, &json!({})).send().await.unwrap().status(), 503);
    let shown: Value = fixture.http.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown, json!({"faults": [{"fault": "creator_info:error=503*all", "seen": 1}]}));
    assert_eq!(fixture.http.delete(&url).send().await.unwrap().status(), 204);
    assert_eq!(fixture.post(&ada, CREATOR_INFO, &json!({})).send().await.unwrap().status(), 200);
    let wrong = fixture.http.post(&url).json(&json!({"faults": ["init:nonsense"]})).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    let plain = fixture.http.post(&url).body(r#"{"faults": ["init:hang"]}"#).send().await.unwrap();
    assert_eq!(plain.status(), 415, "what a foreign page could send");
}
