//! Dead letters: listed with their reasons, tried again, dropped.

use serde_json::json;
use subiteya::event::Stage;
use subiteya::ledger::Status;
use subiteya::task::State;

use super::{agreed, dry, refusals};
use crate::fixture::Server;
use crate::support::postgres::Postgres;

async fn listed(server: &Server, query: &str) -> Vec<String> {
    let answer = server.ask(&format!("/api/dead{query}")).await;
    answer["dead"].as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

async fn conformance(server: Server) {
    let [first, second, third] = [server.video().await, server.video().await, server.video().await];
    server.fail(&first, "ffmpeg_crashed").await;
    server.fail(&second, "captions_invalid").await;
    server.publish_ended(&third, Status::Failed, None).await;
    let review = server.video().await;
    server.publish_ended(&review, Status::NeedsReview, None).await;
    assert_eq!(listed(&server, "").await, [&*third, &second, &first], "newest upload first, and no review");
    assert_eq!(listed(&server, "?stream=video.edited").await, [&*third]);
    assert_eq!(listed(&server, "?q=CAPTIONS").await, [&*second], "by its reason");
    assert_eq!(listed(&server, &format!("?q={first}")).await, [&*first]);
    assert_eq!(listed(&server, "?q=A%20TITLE").await.len(), 3);
    let page = server.ask("/api/dead?limit=2").await;
    let next = page["next"].as_str().expect("a cursor");
    assert_eq!(listed(&server, &format!("?limit=2&cursor={next}")).await, [&*first]);
    let one = &page["dead"][1];
    let said = (&one["reason"], &one["stage"], &one["stream"], &one["attempts"]);
    let why = json!({ "code": "captions_invalid", "text": "because of captions_invalid" });
    assert_eq!(said, (&why, &json!("edit"), &json!("video.uploaded"), &json!(2)));

    let shown = server.ask(&format!("/api/dead/{}", server.task(&first, Stage::Edit).await.id)).await;
    assert_eq!((&shown["dead"]["id"], &shown["refused"]), (&json!(first), &json!(null)));
    assert_eq!(server.get(&server.operator, &format!("/api/dead/{review}")).await.status(), 404);

    let drop = json!({ "ids": [&second, &review] });
    let plan = server.order("/api/dead/drop", dry(drop.clone())).await;
    assert_eq!((&plan["dropped"], &plan["commands"]["total"]), (&json!([&second]), &json!(0)));
    assert_eq!(refusals(&plan)[&review], "needs_review");
    assert_eq!(listed(&server, "").await.len(), 3, "only told");
    server.order("/api/dead/drop", agreed(drop, &plan)).await;
    assert_eq!(listed(&server, "").await, [&*third, &first]);
    let video = &server.ask(&format!("/api/videos/{second}")).await["video"];
    assert_eq!((&video["status"], &video["reason"]), (&json!("FAILED"), &why), "it stays what it is");
    let line = video["timeline"].as_array().expect("lines").last().expect("a line");
    assert_eq!((&line["event"], &line["detail"]["by"]), (&json!("dropped"), &json!("olga")));
    assert_eq!(refusals(&server.order("/api/dead/drop", json!({ "ids": [&second] })).await)[&second], "not_dead");

    let answer = server.order("/api/dead/retry", json!({ "all": true, "q": "ffmpeg" })).await;
    assert_eq!(answer["retried"][0]["videoId"], json!(first));
    assert_eq!(server.task(&first, Stage::Edit).await.state, State::Waiting);
    assert_eq!(listed(&server, "").await, [&*third]);
    assert_eq!(server.refused("/api/dead/retry", json!({})).await, (400, "ids_or_all".to_owned()));
    assert_eq!(server.refused("/api/dead/drop", json!({ "all": true, "ids": ["1"] })).await.0, 400);
    let nobody = server.order("/api/dead/retry", json!({ "ids": ["a\0b", "video.edited:a\0b"] })).await;
    assert_eq!(refusals(&nobody).len(), 2);
    for key in [&server.alice, &server.viewer] {
        assert_eq!(server.get(key, "/api/dead").await.status(), 403);
        for verb in ["retry", "drop"] {
            assert_eq!(server.post(key, &format!("/api/dead/{verb}"), &json!({ "all": true })).await.status(), 403);
        }
    }
}

#[tokio::test]
async fn dead_letters_are_searched_tried_again_and_dropped() {
    conformance(Server::start().await).await;
}

#[tokio::test]
async fn dead_letters_are_the_same_on_postgresql() {
    let postgres = Postgres::start().await;
    conformance(Server::on(Some(postgres.url()), crate::fixture::stages(), None, None).await).await;
}

#[tokio::test]
async fn an_entry_that_could_not_be_read_is_listed_and_dropped() {
    let server = Server::start().await;
    let tx = server.tx().await;
    tx.bury_entry("video.uploaded", "1-1", "{\"odd\":\"field\"}", "the field `task` is missing")
        .await
        .expect("written");
    tx.commit().await.expect("committed");
    let entry = &server.ask("/api/dead?q=odd").await["entries"][0];
    let text = json!({ "code": "undecodable", "text": "the field `task` is missing" });
    assert_eq!((&entry["id"], &entry["reason"]), (&json!("video.uploaded:1-1"), &text));
    assert_eq!(server.ask("/api/dead?stream=video.edited").await["entries"], json!([]));
    let named = json!({ "ids": ["video.uploaded:1-1"] });
    let retry = server.order("/api/dead/retry", dry(named.clone())).await;
    assert_eq!(refusals(&retry)["video.uploaded:1-1"], "not_found");
    server.order("/api/dead/drop", named.clone()).await;
    assert_eq!(server.ask("/api/dead").await["entries"], json!([]));
    assert_eq!(refusals(&server.order("/api/dead/drop", named).await)["video.uploaded:1-1"], "not_found");
}
