use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subiteya::sandbox::{Abandoned, CreatorSpec, Filter, Kind};

use super::{CREATOR_INFO, Fixture, INIT, STATUS, init_body, video};

#[tokio::test]
async fn a_video_goes_in_chunks_from_init_to_one_post_with_its_hash() {
    let fixture = Fixture::new().await;
    let (creator, video) = (fixture.creator("ada").await, video(95));
    let begun = fixture.init(&creator, 95, 30).await;
    assert!(begun.publish_id.starts_with("v_pub_file~v2-1.") && begun.publish_id.len() <= 64);
    assert!(begun.upload_url.len() <= 256);
    fixture.put_ok(&begun, &video, 0, 30).await;
    fixture.put_ok(&begun, &video, 30, 60).await;
    let status = fixture.status(&creator, &begun).await;
    assert_eq!((&status["status"], &status["uploaded_bytes"]), (&json!("PROCESSING_UPLOAD"), &json!(60)));
    assert!(fixture.sandbox.posts().is_empty());
    fixture.put_ok(&begun, &video, 60, 95).await;
    let status = fixture.status(&creator, &begun).await;
    assert_eq!((&status["status"], &status["uploaded_bytes"]), (&json!("PUBLISH_COMPLETE"), &json!(95)));
    assert_eq!(status["publicaly_available_post_id"], json!([]), "SELF_ONLY has no public id");

    let [post] = &fixture.sandbox.posts()[..] else { panic!("one post") };
    let hash: String = Sha256::digest(&video).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&post.publish_id, &post.open_id), (&begun.publish_id, &creator.open_id));
    assert_eq!((&post.sha256, post.size, post.content_type.as_str()), (&hash, 95, "video/mp4"));
    let calls = fixture.calls(Filter { kind: Some(Kind::Chunk), ..Filter::default() }).await;
    assert_eq!(calls.iter().map(|call| call.status).collect::<Vec<_>>(), [Some(206), Some(206), Some(201)]);
    assert!(calls.iter().all(|call| call.open_id.as_ref() == Some(&creator.open_id) && call.rule.is_none()));
}

#[tokio::test]
async fn a_public_post_gets_its_id_only_after_moderation() {
    let fixture = Fixture::with(|options| {
        options.audited = true;
        options.processing = Duration::from_secs(60);
        options.moderation = Duration::from_secs(600);
    })
    .await;
    let (creator, video) = (fixture.creator("ada").await, video(50));
    let mut body = init_body(50, 50);
    body["post_info"]["privacy_level"] = "PUBLIC_TO_EVERYONE".into();
    let (_, answer) = fixture.call(&creator, INIT, &body).await;
    let text = |name: &str| answer["data"][name].as_str().unwrap().to_owned();
    let begun = super::Begun { publish_id: text("publish_id"), upload_url: text("upload_url") };
    fixture.put_ok(&begun, &video, 0, 50).await;
    assert_eq!(fixture.status(&creator, &begun).await["status"], "PROCESSING_UPLOAD");
    fixture.sandbox.advance(Duration::from_secs(61)).unwrap();
    let status = fixture.status(&creator, &begun).await;
    assert_eq!((&status["status"], &status["publicaly_available_post_id"]), (&json!("PUBLISH_COMPLETE"), &json!([])));
    fixture.sandbox.advance(Duration::from_secs(600)).unwrap();
    let status = fixture.status(&creator, &begun).await;
    assert!(status["publicaly_available_post_id"][0].as_u64().unwrap() > 1 << 53, "no float can hold it: {status}");
}

#[tokio::test]
async fn a_path_without_its_slash_or_with_another_method_is_refused_and_named() {
    let fixture = Fixture::new().await;
    let creator = fixture.creator("ada").await;
    let response = fixture.post(&creator, INIT.trim_end_matches('/'), &init_body(50, 50)).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-sandbox-rule"]),
        (404, &"trailing_slash".parse().unwrap())
    );
    let response = fixture.http.get(fixture.url(STATUS)).send().await.unwrap();
    assert_eq!(response.status(), 404);
    let rules = fixture.calls(Filter { violations: true, ..Filter::default() }).await;
    assert_eq!(rules.iter().map(|call| call.rule.as_deref().unwrap()).collect::<Vec<_>>(), ["trailing_slash", "path"]);
}

#[tokio::test]
async fn a_token_must_be_there_and_alive_and_have_the_scope() {
    let fixture = Fixture::new().await;
    let creator = fixture.creator("ada").await;
    let response = fixture.http.post(fixture.url(INIT)).json(&init_body(50, 50)).send().await.unwrap();
    assert_eq!(response.status(), 401);
    let mut unknown = creator.clone();
    unknown.access_token = "act.other".into();
    assert_eq!(fixture.code(&unknown, INIT, &json!({})).await, (401, "access_token_invalid".into()));
    let narrow = CreatorSpec { scopes: Some(vec!["user.info.basic".into()]), ..CreatorSpec::named("ada") };
    let narrow = fixture.sandbox.grant(&narrow).await.unwrap();
    assert_eq!(fixture.code(&narrow, INIT, &json!({})).await, (401, "scope_not_authorized".into()));
    fixture.sandbox.advance(Duration::from_secs(2 * 3600 - 60)).unwrap();
    assert_eq!(fixture.code(&creator, CREATOR_INFO, &json!({})).await, (200, "ok".into()));
    fixture.sandbox.advance(Duration::from_secs(60)).unwrap();
    assert_eq!(fixture.code(&creator, CREATOR_INFO, &json!({})).await, (401, "access_token_invalid".into()));
}

#[tokio::test]
async fn an_init_that_breaks_a_rule_is_refused_with_the_rule_s_name() {
    let fixture = Fixture::with(|options| options.limits.init_per_minute = 1000).await;
    let creator = fixture.creator("ada").await;
    let post = |name: &str, value: Value| (format!("/post_info/{name}"), value);
    let source = |name: &str, value: Value| (format!("/source_info/{name}"), value);
    let cases = [
        (post("title", "😀".repeat(1101).into()), 400, "invalid_params", "title_length"),
        (post("title", 5.into()), 400, "invalid_params", "json_type"),
        (
            post("privacy_level", "PUBLIC_TO_EVERYONE".into()),
            403,
            "unaudited_client_can_only_post_to_private_accounts",
            "unaudited_client",
        ),
        (post("brand_content_toggle", true.into()), 400, "invalid_params", "branded_self_only"),
        (post("brand_content_toggle", "false".into()), 400, "invalid_params", "json_type"),
        (source("source", "FILE".into()), 400, "invalid_params", "source"),
        (source("video_size", "90".into()), 400, "invalid_params", "json_type"),
        (source("video_size", Value::Null), 400, "invalid_params", "json_type"),
        (source("video_size", 0.into()), 400, "invalid_params", "video_size"),
        (source("video_size", 4_000_000_001_i64.into()), 400, "invalid_params", "video_size"),
        (source("total_chunk_count", 4.into()), 400, "invalid_params", "chunk_count"),
        (source("total_chunk_count", 1.into()), 400, "invalid_params", "chunk_size"),
        (source("chunk_size", 19.into()), 400, "invalid_params", "chunk_size"),
    ];
    for ((pointer, value), status, code, rule) in cases {
        let mut body = init_body(90, 30);
        body["post_info"]["title"] = "".into();
        *body.pointer_mut(&pointer).unwrap() = value.clone();
        let response = fixture.post(&creator, INIT, &body).send().await.unwrap();
        assert_eq!(
            response.headers().get("x-sandbox-rule").map(|rule| rule.to_str().unwrap()),
            Some(rule),
            "{pointer} {value}"
        );
        assert_eq!(response.status(), status);
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"], code, "{pointer} {value}");
        assert!(answer["error"]["log_id"].as_str().is_some_and(|id| !id.is_empty()));
    }
    let mut longest = init_body(90, 30);
    longest["post_info"]["title"] = "😀".repeat(1100).into();
    assert_eq!(fixture.code(&creator, INIT, &longest).await, (200, "ok".into()));
    let mut missing = init_body(90, 30);
    missing["post_info"].as_object_mut().unwrap().remove("privacy_level");
    assert_eq!(fixture.code(&creator, INIT, &missing).await, (400, "invalid_params".into()));
    let response =
        fixture.http.post(fixture.url(INIT)).bearer_auth(&creator.access_token).body("{}").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-sandbox-rule"]),
        (400, &"content_type".parse().unwrap())
    );
}

#[tokio::test]
async fn the_chunk_refusals_have_the_words_that_integrators_report() {
    let fixture = Fixture::with(|options| options.limits = subiteya::sandbox::Limits::default()).await;
    let creator = fixture.creator("ada").await;
    for (size, chunk, count, message) in [
        (50_000_123, 10_000_000, 6, "The total chunk count is invalid"),
        (121_000_000, 64_000_000, 1, "The chunk size is invalid"),
        (64_000_001, 64_000_001, 1, "The chunk size is invalid"),
    ] {
        let mut body = init_body(size, chunk);
        body["source_info"]["total_chunk_count"] = count.into();
        let (status, answer) = fixture.call(&creator, INIT, &body).await;
        assert_eq!((status, answer["error"]["message"].as_str()), (400, Some(message)));
    }
}

#[tokio::test]
async fn creator_info_tells_the_account_s_options_and_refuses_with_http_200() {
    let fixture = Fixture::with(|options| options.audited = true).await;
    let ask = async |spec: CreatorSpec| {
        let tokens = fixture.sandbox.grant(&spec).await.unwrap();
        fixture.call(&tokens, CREATOR_INFO, &json!({})).await
    };
    let (_, public) = ask(CreatorSpec::named("pub")).await;
    assert_eq!(
        public["data"]["privacy_level_options"],
        json!(["PUBLIC_TO_EVERYONE", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"])
    );
    assert_eq!(public["data"]["duet_disabled"], false);
    let (_, private) = ask(CreatorSpec { private: Some(true), ..CreatorSpec::named("priv") }).await;
    assert_eq!(
        private["data"]["privacy_level_options"],
        json!(["FOLLOWER_OF_CREATOR", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"])
    );
    assert_eq!((&private["data"]["duet_disabled"], &private["data"]["stitch_disabled"]), (&json!(true), &json!(true)));
    let (status, banned) = ask(CreatorSpec { banned: Some(true), ..CreatorSpec::named("bad") }).await;
    assert_eq!((status, banned["error"]["code"].as_str()), (200, Some("spam_risk_user_banned_from_posting")));
    let private = fixture.creator("priv").await;
    let mut body = init_body(50, 50);
    body["post_info"]["privacy_level"] = "PUBLIC_TO_EVERYONE".into();
    assert_eq!(fixture.code(&private, INIT, &body).await, (403, "privacy_level_option_mismatch".into()));
}

#[tokio::test]
async fn every_kind_of_call_has_its_own_limit_in_a_sliding_minute() {
    let fixture = Fixture::new().await;
    let (ada, bob) = (fixture.creator("ada").await, fixture.creator("bob").await);
    for (path, body, limit) in [(INIT, init_body(50, 50), 6), (CREATOR_INFO, json!({}), 20)] {
        for _ in 0..limit {
            assert_eq!(fixture.code(&ada, path, &body).await.0, 200);
        }
        assert_eq!(fixture.code(&ada, path, &body).await, (429, "rate_limit_exceeded".into()));
        assert_eq!(fixture.code(&bob, path, &body).await.0, 200, "limits are per creator");
    }
    let again = fixture.creator("ada").await;
    assert_eq!(fixture.code(&again, INIT, &init_body(50, 50)).await.0, 429, "another token is the same creator");
    let broken = fixture.calls(Filter { rule: Some("calls_per_minute".into()), ..Filter::default() }).await;
    assert_eq!(broken.len(), 3);
    fixture.sandbox.advance(Duration::from_secs(60)).unwrap();
    assert_eq!(fixture.code(&ada, INIT, &init_body(50, 50)).await.0, 200);
}

#[tokio::test]
async fn caps_hold_per_creator_and_per_app_for_a_day() {
    let fixture = Fixture::with(|options| {
        options.limits.posts_per_day = 2;
        options.limits.posting_users = Some(1);
    })
    .await;
    let (ada, bob, video) = (fixture.creator("ada").await, fixture.creator("bob").await, video(50));
    let early = [fixture.init(&ada, 50, 50).await, fixture.init(&ada, 50, 50).await, fixture.init(&ada, 50, 50).await];
    for begun in &early {
        fixture.put_ok(begun, &video, 0, 50).await;
    }
    assert_eq!(fixture.sandbox.posts().len(), 2, "the third was begun in time, and is over the cap");
    let status = fixture.status(&ada, &early[2]).await;
    assert_eq!((&status["status"], &status["fail_reason"]), (&json!("FAILED"), &json!("spam_risk_too_many_posts")));
    assert_eq!(fixture.code(&ada, INIT, &init_body(50, 50)).await, (403, "spam_risk_too_many_posts".into()));
    assert_eq!(fixture.code(&ada, CREATOR_INFO, &json!({})).await, (200, "spam_risk_too_many_posts".into()));
    assert_eq!(fixture.code(&bob, INIT, &init_body(50, 50)).await, (403, "reached_active_user_cap".into()));
    fixture.sandbox.advance(Duration::from_secs(24 * 3600)).unwrap();
    assert_eq!(fixture.code(&fixture.creator("bob").await, INIT, &init_body(50, 50)).await.0, 200);
}

#[tokio::test]
async fn a_publish_id_answers_to_its_owner_alone() {
    let fixture = Fixture::new().await;
    let (ada, bob) = (fixture.creator("ada").await, fixture.creator("bob").await);
    let begun = fixture.init(&ada, 50, 50).await;
    let theirs = json!({"publish_id": begun.publish_id});
    assert_eq!(fixture.code(&bob, STATUS, &theirs).await.1, "token_not_authorized_for_specified_publish_id");
    let made_up = json!({"publish_id": "v_pub_file~v2-1.1"});
    assert_eq!(fixture.code(&ada, STATUS, &made_up).await, (400, "invalid_publish_id".into()));
    assert_eq!(fixture.code(&ada, STATUS, &json!({"publish_id": 1})).await, (400, "invalid_params".into()));
}

#[tokio::test]
async fn an_abandoned_upload_is_what_the_reading_says() {
    for (reading, wanted) in [
        (Abandoned::Processing, "PROCESSING_UPLOAD"),
        (Abandoned::Failed, "FAILED"),
        (Abandoned::Unknown, "invalid_publish_id"),
    ] {
        let fixture = Fixture::with(|options| options.readings.abandoned = reading).await;
        let ada = fixture.creator("ada").await;
        let begun = fixture.init(&ada, 50, 50).await;
        fixture.sandbox.advance(Duration::from_secs(3601)).unwrap();
        let (_, answer) = fixture.call(&ada, STATUS, &json!({"publish_id": begun.publish_id})).await;
        let found = answer["data"]["status"].as_str().or(answer["error"]["code"].as_str());
        assert_eq!(found, Some(wanted));
    }
}

#[tokio::test]
async fn the_date_header_follows_the_sandbox_s_clock() {
    let fixture = Fixture::new().await;
    fixture.sandbox.advance(Duration::from_secs(400 * 24 * 3600)).unwrap();
    let response = fixture.http.get(fixture.url("/sandbox/clock")).send().await.unwrap();
    let date = chrono::DateTime::parse_from_rfc2822(response.headers()["date"].to_str().unwrap()).unwrap();
    let ahead = date.signed_duration_since(chrono::Utc::now()).num_days();
    assert!((399..=400).contains(&ahead), "{date}");
}

#[tokio::test]
async fn an_unaudited_app_posts_to_private_accounts_only_and_may_see_self_only_alone() {
    let fixture = Fixture::with(|options| options.readings.unaudited_sees_self_only = true).await;
    let public = CreatorSpec { private: Some(false), ..CreatorSpec::named("pub") };
    let public = fixture.sandbox.grant(&public).await.unwrap();
    let refused = "unaudited_client_can_only_post_to_private_accounts";
    assert_eq!(fixture.code(&public, INIT, &init_body(50, 50)).await, (403, refused.into()));
    let (_, info) = fixture.call(&public, CREATOR_INFO, &json!({})).await;
    assert_eq!(info["data"]["privacy_level_options"], json!(["SELF_ONLY"]));
}

#[tokio::test]
async fn pending_posts_and_orphans_are_capped_where_that_is_asked_for() {
    let fixture = Fixture::with(|options| options.limits.pending = Some(1)).await;
    let (ada, video) = (fixture.creator("ada").await, video(50));
    let begun = fixture.init(&ada, 50, 50).await;
    assert_eq!(fixture.code(&ada, INIT, &init_body(50, 50)).await.1, "spam_risk_too_many_pending_share");
    fixture.put_ok(&begun, &video, 0, 50).await;
    assert_eq!(fixture.code(&ada, INIT, &init_body(50, 50)).await.0, 200);

    let fixture = Fixture::with(|options| {
        options.limits.posts_per_day = 1;
        options.readings.orphan_inits_count = true;
    })
    .await;
    let ada = fixture.creator("ada").await;
    fixture.init(&ada, 50, 50).await;
    assert_eq!(fixture.code(&ada, INIT, &init_body(50, 50)).await.1, "spam_risk_too_many_posts");
}

#[tokio::test]
async fn a_scaled_clock_makes_hours_of_moments() {
    let fixture = Fixture::with(|options| options.clock_scale = 100_000.0).await;
    let ada = fixture.creator("ada").await;
    // Two hours are 72 ms of such a clock.
    let expired = async || fixture.code(&ada, CREATOR_INFO, &json!({})).await.1 == "access_token_invalid";
    super::until("the token expires", expired).await;
}

#[tokio::test]
async fn a_sandbox_that_keeps_no_videos_keeps_their_hashes() {
    let fixture = Fixture::with(|options| options.keep_videos = false).await;
    let ada = fixture.creator("ada").await;
    let begun = fixture.posted(&ada, &video(50)).await;
    assert_eq!(fixture.sandbox.posts()[0].size, 50);
    let url = fixture.url(&format!("/sandbox/posts/{}/video", begun.publish_id));
    assert_eq!(fixture.http.get(url).send().await.unwrap().status(), 410);
    assert_eq!(std::fs::read_dir(fixture.folder.path().join("videos")).unwrap().count(), 0);
}
