//! The store is away while the pipeline runs.

use std::time::Duration;

use serde_json::Value;
use subiteya::ledger::SystemClock;
use subiteya::media::{Media, PART};
use subiteya::sandbox::Kind;
use subiteya::upkeep;
use tokio::io::AsyncWriteExt;

use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE, SOON, clip, large_clip};
use crate::support::s3::S3Server;

/// In which everything moves again once the store is back, with some room for a busy machine.
const MOVES: Duration = Duration::from_secs(15);

async fn on_s3(s3: &S3Server) -> Fleet {
    let mut fleet = Fleet::on(LOOSE, &s3.variables(), |_| {}).await;
    fleet.start_all().await;
    fleet.account("ada").await;
    fleet
}

/// The status, and whether it says when to come again.
async fn ask(fleet: &Fleet, path: &str) -> (u16, bool) {
    let request = reqwest::Client::new().get(fleet.url(path)).bearer_auth(&fleet.key);
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_refused_and_edits_wait_until_the_store_is_back() {
    let mut s3 = S3Server::start().await;
    let fleet = on_s3(&s3).await;
    let video = fleet.upload_slow("ada", "was being edited").await;
    fleet.until_ffmpeg_runs(&video).await;
    s3.kill().await;
    let waits = |video: &Value| video["waitingFor"]["code"] == "store_away";
    fleet.until_video(&video, "waiting for the store", waits).await;

    let before = fleet.get("/api/videos").await["videos"].as_array().expect("a list").len();
    for title in ["refused", "refused again"] {
        let (status, retry_after, body) = fleet.refused_upload("ada", title, clip()).await;
        assert_eq!((status, body["code"].as_str()), (503, Some("store_unavailable")), "{body}");
        assert!(retry_after, "it says when to come again");
    }
    let after = fleet.get("/api/videos").await["videos"].as_array().expect("a list").len();
    assert_eq!(before, after, "nothing half done");
    eventually("it is not ready", SOON, || async { ask(&fleet, "/readyz").await == (503, true) }).await;
    assert_eq!(ask(&fleet, &format!("/api/videos/{video}/source")).await, (503, true));

    s3.restart().await;
    let waits = |video: &Value| video["waitingFor"]["code"] == "store_away";
    eventually("it moves", MOVES, || async { !waits(&fleet.video(&video).await) }).await;
    eventually("it is ready", MOVES, || async { ask(&fleet, "/readyz").await.0 == 200 }).await;
    fleet.posted(&video).await;
    for row in fleet.tasks(&video).await {
        assert_eq!((row.task.attempts, row.task.takeovers), (0, 0), "an outage is no attempt: {row:?}");
    }
    let late = fleet.upload("ada", "afterwards").await;
    fleet.posted(&late).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_was_under_way_goes_on_where_it_was_when_the_store_is_back() {
    let mut s3 = S3Server::start().await;
    let fleet = on_s3(&s3).await;
    // Time to kill the store before the next chunk is read.
    fleet.faults(&["chunk:delay=3s"]);
    let video = fleet.try_upload("ada", "in pieces", &[], large_clip()).await.expect("accepted");
    fleet.faults_taken().await;
    s3.kill().await;
    let waits = |video: &Value| video["waitingFor"]["code"] == "store_away";
    fleet.until_video(&video, "waiting for the store", waits).await;
    s3.restart().await;
    fleet.posted(&video).await;
    for row in fleet.tasks(&video).await {
        assert_eq!(row.task.attempts, 0, "an outage is no attempt: {row:?}");
    }
    assert_eq!(fleet.calls(Kind::Init).await.len(), 1, "the upload that was begun went on");
}

/// Begins an upload and stops in the middle of its file.
async fn half_an_upload(fleet: &Fleet) -> tokio::net::TcpStream {
    let url = reqwest::Url::parse(&fleet.url("/api/videos")).expect("a URL");
    let mut half = format!(
        "POST /api/videos HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\
         content-type: multipart/form-data; boundary=x\r\n\r\n\
         --x\r\ncontent-disposition: form-data; name=\"accountId\"\r\n\r\nada\r\n\
         --x\r\ncontent-disposition: form-data; name=\"title\"\r\n\r\nhalf\r\n\
         --x\r\ncontent-disposition: form-data; name=\"video\"; filename=\"half.mp4\"\r\n\r\n",
        fleet.key,
        4 * PART,
    )
    .into_bytes();
    half.extend(vec![7; 2 * PART]);
    let address = ("127.0.0.1", url.port().expect("a port"));
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.write_all(&half).await.expect("taken");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_was_receiving_is_swept_from_the_store() {
    let s3 = S3Server::start().await;
    let mut fleet = Fleet::on(LOOSE, &s3.variables(), |_| {}).await;
    fleet.start("serve", &["serve"]);
    fleet.ready().await;
    fleet.account("ada").await;
    let media = Media::s3(&s3.settings()).expect("a store");
    let client = half_an_upload(&fleet).await;
    eventually("its parts are in the store", SOON, || async {
        media.open_uploads("videos").await.expect("listed").len() == 1
    })
    .await;
    fleet.kill("serve");
    drop(client);
    let ledger = fleet.ledger().await;
    let listed = async || media.listed("videos", "", 10).await.expect("listed").len();
    assert_eq!(listed().await, 0, "nothing half done");
    let hours = |hours: i64| SystemClock::now() + hours * 3_600_000;
    let early = upkeep::sweep_at(&ledger, &media, "", hours(0)).await.expect("swept");
    assert_eq!(early.uploads, 0, "it may still be coming in");
    let swept = upkeep::sweep_at(&ledger, &media, "", hours(2)).await.expect("swept");
    assert_eq!((swept.objects, swept.uploads), (0, 1));
    assert!(media.open_uploads("videos").await.expect("listed").is_empty());
}
