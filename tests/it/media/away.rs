//! The store is away while the pipeline runs.

use subiteya::sandbox::Kind;

use crate::support::fleet::{Fleet, LOOSE, clip, large_clip};
use crate::support::s3::S3Server;

async fn on_s3(s3: &S3Server) -> Fleet {
    let mut fleet = Fleet::on(LOOSE, &s3.variables(), |_| {}).await;
    fleet.start_all().await;
    fleet.account("ada").await;
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_refused_and_edits_wait_until_the_store_is_back() {
    let mut s3 = S3Server::start().await;
    let fleet = on_s3(&s3).await;
    let video = fleet.upload_slow("ada", "was being edited").await;
    fleet.until_ffmpeg_runs(&video).await;
    s3.kill().await;
    let waits = |video: &serde_json::Value| video["waitingFor"]["code"] == "store_away";
    fleet.until_video(&video, "waiting for the store", waits).await;

    let before = fleet.get("/api/videos").await["videos"].as_array().expect("a list").len();
    for title in ["refused", "refused again"] {
        let (status, retry_after, body) = fleet.refused_upload("ada", title, clip()).await;
        assert_eq!((status, body["code"].as_str()), (503, Some("store_unavailable")), "{body}");
        assert!(retry_after, "it says when to come again");
    }
    let after = fleet.get("/api/videos").await["videos"].as_array().expect("a list").len();
    assert_eq!(before, after, "nothing half done");

    s3.restart().await;
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
    let waits = |video: &serde_json::Value| video["waitingFor"]["code"] == "store_away";
    fleet.until_video(&video, "waiting for the store", waits).await;
    s3.restart().await;
    fleet.posted(&video).await;
    for row in fleet.tasks(&video).await {
        assert_eq!(row.task.attempts, 0, "an outage is no attempt: {row:?}");
    }
    assert_eq!(fleet.calls(Kind::Init).await.len(), 1, "the upload that was begun went on");
}
