//! `replay`: the plan, and then exactly that; never a second post.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use subiteya::event::Stage;
use subiteya::ledger::Status;
use subiteya::outcome::Reason;
use subiteya::stage::publish::row::{Publication, State as Published};
use subiteya::task::State;

use super::{agreed, calls, dry, ids, planned, publication, refusals};
use crate::fixture::{Server, connect, stages};
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;

const REPLAY: &str = "/api/streams/replay";

#[tokio::test]
async fn a_plan_counts_what_the_server_then_counts_and_changes_nothing_itself() {
    let redis = Redis::start().await;
    let server = Server::with(Some(connect(&redis).await), None).await;
    let mut videos = Vec::new();
    for _ in 0..4 {
        let video = server.video().await;
        server.fail(&video, "ffmpeg_crashed").await;
        videos.push(video);
    }
    redis.reset_calls().await;
    let body = json!({ "stream": "video.uploaded" });
    let plan = server.order(REPLAY, dry(body.clone())).await;
    assert_eq!(calls(&redis).await, BTreeMap::new(), "a plan costs nothing");
    videos.sort();
    assert_eq!((ids(&plan, "replayed"), &plan["dryRun"]), (videos.clone(), &json!(true)), "{plan:#}");
    assert_eq!((&plan["commands"]["total"], &plan["commands"]["later"]), (&json!(4), &json!(0)));
    for video in &videos {
        assert_eq!(server.task(video, Stage::Edit).await.state, State::Dead);
    }
    let done = server.order(REPLAY, agreed(body, &plan)).await;
    assert_eq!((&done["plan"], &done["dryRun"]), (&plan["plan"], &json!(false)));
    assert_eq!((calls(&redis).await, &done["commands"]), (planned(&plan), &plan["commands"]));
    for video in &videos {
        let shown = server.ask(&format!("/api/videos/{video}")).await;
        assert_eq!((&shown["video"]["status"], &shown["video"]["reason"]), (&json!("EDITING_QUEUED"), &Value::Null));
        let line = shown["video"]["timeline"].as_array().expect("lines").last().expect("a line").clone();
        assert_eq!((&line["event"], &line["detail"]["by"]), (&json!("replayed"), &json!("olga")));
    }
}

#[tokio::test]
async fn pitfall_28_a_replay_appends_one_entry_and_leaves_the_groups_position_where_it_is() {
    let redis = Redis::start().await;
    let server = Server::with(Some(connect(&redis).await), None).await;
    let video = server.video().await;
    server.fail(&video, "ffmpeg_crashed").await;
    let stream = "video.uploaded";
    for fields in [["a", "1"], ["b", "2"], ["c", "3"]] {
        redis.command(&["XADD", stream, "*", fields[0], fields[1]]).await;
    }
    redis.command(&["XGROUP", "CREATE", stream, "edit", "0"]).await;
    redis.command(&["XREADGROUP", "GROUP", "edit", "live", "COUNT", "2", "STREAMS", stream, ">"]).await;
    let standing = async || {
        let groups = redis.command(&["XINFO", "GROUPS", stream]).await;
        let position = groups.lines().skip_while(|line| *line != "last-delivered-id").nth(2).map(str::to_owned);
        let length = redis.command(&["XLEN", stream]).await;
        (position.expect("a position"), length.trim().to_owned(), redis.pending(stream, "edit").await)
    };
    let (position, length, pending) = standing().await;
    assert_eq!((length.as_str(), pending), (":4", 2), "its upload and three more, of which two are read");
    let body = json!({ "stream": stream });
    let plan = server.order(REPLAY, dry(body.clone())).await;
    server.order(REPLAY, agreed(body, &plan)).await;
    assert_eq!(standing().await, (position, ":5".to_owned(), pending));
}

#[tokio::test]
async fn what_has_changed_since_the_plan_is_not_done() {
    let server = Server::start().await;
    let (one, other) = (server.video().await, server.video().await);
    server.fail(&one, "ffmpeg_crashed").await;
    let body = json!({ "stream": "video.uploaded" });
    let plan = server.order(REPLAY, dry(body.clone())).await;
    server.fail(&other, "ffmpeg_crashed").await;
    let refused = server.refused(REPLAY, agreed(body.clone(), &plan)).await;
    assert_eq!(refused, (409, "plan_changed".to_owned()));
    assert_eq!(server.task(&one, Stage::Edit).await.state, State::Dead, "nothing was done");
    let plan = server.order(REPLAY, dry(body.clone())).await;
    assert_eq!(ids(&plan, "replayed").len(), 2);
    server.order(REPLAY, agreed(body, &plan)).await;
    assert_eq!(server.task(&one, Stage::Edit).await.state, State::Waiting);
}

/// Every state of a publication, and whether it may be published again without an operator's word.
fn publications() -> Vec<(Status, Option<Publication>, Option<&'static str>)> {
    let failed = |row: Publication| Publication {
        state: Published::Failed,
        reason: Some(Reason::new("spam_risk", "TikTok says so")),
        ..row
    };
    let sent =
        || Publication { publish_id: Some("p".to_owned()), upload_url: Some("sealed".to_owned()), ..publication() };
    let may_be_posted = Some("may_be_posted");
    vec![
        (Status::Failed, None, None),
        (Status::Failed, Some(publication()), None),
        (Status::Failed, Some(failed(publication())), None),
        (Status::Failed, Some(failed(sent())), may_be_posted),
        (Status::Failed, Some(failed(Publication { lost_inits: 1, ..publication() })), may_be_posted),
        (Status::Failed, Some(Publication { state: Published::Intended, ..publication() }), may_be_posted),
        (Status::Failed, Some(Publication { state: Published::Uploading, ..sent() }), may_be_posted),
        (Status::Failed, Some(Publication { state: Published::Uploaded, ..sent() }), may_be_posted),
        (Status::NeedsReview, Some(Publication { state: Published::NeedsReview, ..sent() }), Some("needs_review")),
        (Status::Posted, Some(Publication { state: Published::Posted, ..sent() }), Some("posted")),
    ]
}

#[tokio::test]
async fn whatever_is_asked_nothing_that_may_be_posted_is_published_again() {
    never_twice(Server::start().await).await;
    chosen(Server::start().await).await;
}

#[tokio::test]
async fn a_replay_is_the_same_on_postgresql() {
    let postgres = Postgres::start().await;
    never_twice(Server::on(Some(postgres.url()), stages(), None, None).await).await;
    let postgres = Postgres::start().await;
    chosen(Server::on(Some(postgres.url()), stages(), None, None).await).await;
}

async fn never_twice(server: Server) {
    let mut expected = BTreeMap::new();
    for (status, publication, refusal) in publications() {
        let video = server.video().await;
        server.publish_ended(&video, status, publication).await;
        expected.insert(video, refusal.map(str::to_owned));
    }
    let all: Vec<&String> = expected.keys().collect();
    let refused: BTreeMap<String, String> =
        expected.iter().filter_map(|(video, code)| Some((video.clone(), code.clone()?))).collect();
    for stream in ["video.edited", "video.uploaded"] {
        let plan = server.order(REPLAY, dry(json!({ "stream": stream, "ids": all }))).await;
        let said = refusals(&plan);
        for (video, code) in &refused {
            let code = if stream == "video.uploaded" && code == "may_be_posted" { "already_publishing" } else { code };
            assert_eq!(said.get(video).map(String::as_str), Some(code), "{stream}");
        }
    }
    let statuses = json!({ "stream": "video.edited", "status": ["FAILED", "NEEDS_REVIEW", "POSTED", "CANCELED"] });
    let by_status = server.order(REPLAY, dry(statuses)).await;
    assert_eq!(refusals(&by_status), refused);
    let retry = server.order("/api/dead/retry", dry(json!({ "ids": all }))).await;
    assert_eq!(refusals(&retry), refused);
    for video in refused.keys() {
        let answer = server.refused(&format!("/api/videos/{video}/retry"), json!({})).await;
        assert_eq!(answer.0, 409);
    }
    let done = server.order(REPLAY, json!({ "stream": "video.edited", "ids": all })).await;
    assert_eq!((ids(&done, "replayed").len(), refusals(&done)), (3, refused.clone()));
    for (video, refusal) in &expected {
        let waits = server.task(video, Stage::Publish).await.state == State::Waiting;
        assert_eq!(waits, refusal.is_none(), "{video}");
        let row = server.state.ledger.publication(video.parse().expect("an id")).await.expect("read");
        assert!(row.is_none_or(|row| refusal.is_none() || row.generation == 1), "a refusal leaves no trace");
    }
}

#[tokio::test]
async fn an_edited_video_is_edited_anew_and_then_published_once() {
    let server = Server::start().await;
    let waits = server.video().await;
    server.edited(&waits, State::Queued, None).await;
    let runs = server.video().await;
    server.edited(&runs, State::Running, None).await;
    let plan = server.order(REPLAY, json!({ "stream": "video.uploaded", "ids": [&waits, &runs] })).await;
    assert_eq!((ids(&plan, "replayed"), &refusals(&plan)[&runs]), (vec![waits.clone()], &"not_ended".to_owned()));
    assert_eq!(server.task(&waits, Stage::Publish).await.state, State::Canceled, "its entry will be forgotten");
    let video = &server.ask(&format!("/api/videos/{waits}")).await["video"];
    assert_eq!((&video["status"], &video["progress"]), (&json!("EDITING_QUEUED"), &json!(0)));
    // Its edit fails: what is tried again is the edit, though there is a rendition from before.
    server.fail(&waits, "ffmpeg_crashed").await;
    server.order("/api/dead/retry", json!({ "ids": [waits] })).await;
    assert_eq!(server.task(&waits, Stage::Edit).await.state, State::Waiting);
    assert_eq!(server.task(&waits, Stage::Publish).await.state, State::Canceled);
}

#[tokio::test]
async fn what_waits_for_a_limit_or_its_time_costs_its_command_later_and_the_plan_says_when() {
    let redis = Redis::start().await;
    let mut stages = stages();
    stages.publish.limit = Some("3/1m".parse().expect("a rate"));
    stages.publish.limit_per_account = Some("1/5m".parse().expect("a rate"));
    let server = Server::on(None, stages, Some(connect(&redis).await), None).await;
    let mut videos = Vec::new();
    for _ in 0..3 {
        let video = server.video().await;
        server.publish_ended(&video, Status::Failed, None).await;
        videos.push(video);
    }
    redis.reset_calls().await;
    let body = json!({ "stream": "video.edited" });
    let plan = server.order(REPLAY, dry(body.clone())).await;
    assert_eq!(
        plan["commands"],
        json!({ "total": 3, "now": { "XADD": 1 }, "later": 2 }),
        "one post of an account: {plan:#}"
    );
    let seconds = plan["takesSeconds"].as_i64().expect("a number");
    assert!((600..=620).contains(&seconds), "two windows of five minutes: {seconds}");
    server.order(REPLAY, agreed(body, &plan)).await;
    assert_eq!(calls(&redis).await, planned(&plan));
}

/// By status and by time.
async fn chosen(server: Server) {
    let (failed, canceled) = (server.video().await, server.video().await);
    server.fail(&failed, "ffmpeg_crashed").await;
    server.order(&format!("/api/videos/{canceled}/cancel"), json!({})).await;
    let replay = async |more: Value| {
        let mut body = dry(json!({ "stream": "video.uploaded" }));
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        ids(&server.order(REPLAY, body).await, "replayed")
    };
    let mut both = vec![failed.clone(), canceled.clone()];
    both.sort();
    assert_eq!(replay(json!({})).await, [&*failed], "FAILED, where nothing else is said");
    assert_eq!(replay(json!({ "status": ["CANCELED"] })).await, [canceled]);
    assert_eq!(replay(json!({ "status": ["FAILED", "CANCELED"] })).await, both);
    assert_eq!(replay(json!({ "from": "2020-01-01T00:00:00Z" })).await, [failed]);
    assert!(replay(json!({ "to": "2020-01-01T00:00:00Z" })).await.is_empty());
    assert!(replay(json!({ "from": "2090-01-01T00:00:00Z" })).await.is_empty());
    let wrong = [
        (json!({ "stream": "video.cooked" }), "unknown_stream"),
        (json!({ "stream": "edit", "status": ["DONE"] }), "status_invalid"),
        (json!({ "stream": "edit", "ids": ["x"], "status": ["FAILED"] }), "ids_and_filter"),
    ];
    for (body, code) in wrong {
        assert_eq!(server.refused(REPLAY, body).await, (400, code.to_owned()));
    }
    let plan = server.order(REPLAY, dry(json!({ "stream": "edit", "ids": ["1-0", "a\0b"] }))).await;
    assert!(refusals(&plan).values().all(|code| code == "not_found") && refusals(&plan).len() == 2, "{plan:#}");
    assert_eq!(server.post(&server.alice, REPLAY, &json!({ "stream": "edit" })).await.status(), 403);
}
