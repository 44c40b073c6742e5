//! `explain`: one line for every state that a video can be in.

use std::time::Duration;

use serde_json::{Value, json};
use subiteya::event::{LeaseToken, Stage};
use subiteya::ledger::{Status, VideoPatch};
use subiteya::limit::{self, Ask, Key};
use subiteya::outcome::Reason;
use subiteya::task::{Claim, Leased, State, Task};

use super::id;
use crate::fixture::{Server, connect, stages};
use crate::support::redis::Redis;

async fn explained(server: &Server, video: &str) -> (String, String, Value) {
    let answer = server.ask(&format!("/api/videos/{video}/explain")).await;
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    assert!(!text("text").contains('\n'), "one line: {answer:#}");
    (text("code"), text("text"), answer["until"].clone())
}

async fn code_and_end(server: &Server, video: &str) -> (String, bool) {
    let (code, _, until) = explained(server, video).await;
    (code, !until.is_null())
}

#[tokio::test]
async fn every_state_has_its_line() {
    let redis = Redis::start().await;
    let mut stages = stages();
    stages.edit.limit = Some("1/1h".parse().expect("a rate"));
    stages.publish.limit_per_account = Some("1/5m".parse().expect("a rate"));
    let server = Server::on(None, stages, Some(connect(&redis).await), None).await;
    let ends = |code: &str| (code.to_owned(), true);
    let endless = |code: &str| (code.to_owned(), false);

    let video = server.video().await;
    assert_eq!(code_and_end(&server, &video).await, endless("queued"), "behind others on the stream");
    let tx = server.tx().await;
    limit::take(&tx, &[Ask { key: Key::Edit, rate: Some("1/1h".parse().expect("a rate")) }]).await.expect("taken");
    tx.commit().await.expect("committed");
    assert_eq!(code_and_end(&server, &video).await, ends("stage_limit"));

    // A run that failed once before, and whose worker died.
    let tx = server.tx().await;
    let row = tx.task_of(id(&video), Stage::Edit).await.expect("read").expect("a task");
    let claim = Claim {
        token: LeaseToken::new(),
        holder: "edit-7".to_owned(),
        entry: Some("1-0".to_owned()),
        lease: Duration::from_secs(30),
    };
    let Ok(Leased::Granted(running)) = row.task.lease(claim, tx.now()) else { panic!("a lease") };
    let running = Task { attempts: 1, takeovers: 1, ..running };
    tx.put_task(&row.task, &running).await.expect("written");
    tx.commit().await.expect("committed");
    let (code, text, _) = explained(&server, &video).await;
    assert_eq!(code, "running");
    assert!(
        text.starts_with("it is being edited by edit-7 since ") && text.contains("attempt 2, after a worker that died"),
        "{text}"
    );

    let tx = server.tx().await;
    let row = tx.task_of(id(&video), Stage::Edit).await.expect("read").expect("a task");
    let backoff = Task {
        state: State::Waiting,
        due_at: tx.now() + 60_000,
        wait: Some(Reason::new("ffmpeg_crashed", "FFmpeg crashed")),
        token: None,
        lease_until: 0,
        ..row.task.clone()
    };
    tx.put_task(&row.task, &backoff).await.expect("written");
    tx.commit().await.expect("committed");
    assert_eq!(code_and_end(&server, &video).await, ends("ffmpeg_crashed"), "parked after a fault");

    let scheduled = server.video().await;
    let at = server.state.ledger.now().await.expect("now") + 3_600_000;
    server.edited(&scheduled, State::Waiting, Some(at)).await;
    let tx = server.tx().await;
    let row = tx.task_of(id(&scheduled), Stage::Publish).await.expect("read").expect("a task");
    tx.put_task(&row.task, &Task { due_at: at, ..row.task.clone() }).await.expect("written");
    tx.commit().await.expect("committed");
    assert_eq!(code_and_end(&server, &scheduled).await, ends("scheduled"), "publishAt");

    let limited = server.video().await;
    server.edited(&limited, State::Waiting, None).await;
    let creator = || Key::Creator("open_alice".to_owned());
    let tx = server.tx().await;
    limit::take(&tx, &[Ask { key: creator(), rate: Some("1/5m".parse().expect("a rate")) }]).await.expect("taken");
    tx.commit().await.expect("committed");
    assert_eq!(code_and_end(&server, &limited).await, ends("account_limit"));
    let tx = server.tx().await;
    let spam = Reason::new("spam_risk", "TikTok says no");
    limit::close(&tx, &creator(), tx.now() + 3_600_000, spam).await.expect("closed");
    tx.commit().await.expect("committed");
    let (code, text, _) = explained(&server, &limited).await;
    assert_eq!((code.as_str(), text.as_str()), ("spam_risk", "it waits: TikTok says no"), "a closed account");

    let confirmed = server.video().await;
    server.edited(&confirmed, State::Done, None).await;
    let tx = server.tx().await;
    let row = tx.task_of(id(&confirmed), Stage::Publish).await.expect("read").expect("a task");
    let confirm = Task::new(id(&confirmed), Stage::Confirm, tx.now() + 60_000);
    tx.insert_task(&subiteya::ledger::TaskRow { task: confirm, ..row }).await.expect("written");
    let processing = VideoPatch { status: Some(Status::Processing), ..VideoPatch::default() };
    tx.patch_video(id(&confirmed), processing).await.expect("written");
    tx.commit().await.expect("committed");
    assert_eq!(code_and_end(&server, &confirmed).await, ends("tiktok_processing"));

    for (status, code, words) in [
        (Status::Failed, "spam_risk", "it failed: because of spam_risk"),
        (Status::NeedsReview, "spam_risk", "a person has to look at TikTok and resolve it: because of spam_risk"),
    ] {
        let video = server.video().await;
        server.publish_ended(&video, status, None).await;
        assert_eq!(explained(&server, &video).await, (code.to_owned(), words.to_owned(), json!(null)));
    }
    let gone = server.video().await;
    server.order(&format!("/api/videos/{gone}/cancel"), json!({})).await;
    assert_eq!(explained(&server, &gone).await.1, "it was canceled");
    let posted = server.video().await;
    server.publish_ended(&posted, Status::Posted, None).await;
    let tx = server.tx().await;
    let url = Some("https://www.tiktok.com/@alice/video/7".to_owned());
    tx.patch_video(id(&posted), VideoPatch { post_url: url, ..VideoPatch::default() }).await.expect("written");
    tx.commit().await.expect("committed");
    assert_eq!(explained(&server, &posted).await.1, "it is posted: https://www.tiktok.com/@alice/video/7");
    let unseen = server.get(&server.viewer, &format!("/api/videos/{posted}/explain")).await.text().await.expect("text");
    assert!(!unseen.contains("tiktok.com"), "{unseen}");
    assert_eq!(server.get(&server.bob, &format!("/api/videos/{posted}/explain")).await.status(), 404);
}
