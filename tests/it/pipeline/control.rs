//! Cancelling, before and after the intent to init.

use std::time::Duration;

use subiteya::sandbox::Kind;

use crate::support::fleet::{Fleet, LOOSE};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_wins_before_the_intent_to_init_and_never_after_it() {
    let fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    let video = fleet.upload_slow("ada", "canceled in its edit").await;
    fleet.until_ffmpeg_runs(&video).await;
    assert_eq!(fleet.post(&format!("/api/videos/{video}/cancel")).await.0, 200);
    assert_eq!(fleet.video(&video).await["status"], "CANCELED");
    crate::support::eventually("its FFmpeg is gone", Duration::from_secs(4), || async { fleet.ffmpegs().is_empty() })
        .await;
    assert_eq!(fleet.post(&format!("/api/videos/{video}/cancel")).await.0, 409);

    fleet.faults(&["creator_info:delay=3s"]);
    let asked = fleet.upload("ada", "canceled before init").await;
    fleet.faults_taken().await;
    assert_eq!(fleet.post(&format!("/api/videos/{asked}/cancel")).await.0, 200);
    let answered = || async { !fleet.calls(Kind::CreatorInfo).await.is_empty() };
    crate::support::eventually("the question is answered", Duration::from_secs(10), answered).await;

    fleet.faults(&["init:delay=1s"]);
    let begun = fleet.upload("ada", "too late").await;
    fleet.faults_taken().await;
    let (status, body) = fleet.post(&format!("/api/videos/{begun}/cancel")).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("already_publishing")), "{body}");
    fleet.posted(&begun).await;
    assert_eq!(fleet.calls(Kind::Init).await.len(), 1, "what was canceled was never begun");
    for canceled in [video, asked] {
        let video = fleet.video(&canceled).await;
        assert!(video["status"] == "CANCELED" && video["waitingFor"].is_null(), "{video:#}");
    }
    assert_eq!(fleet.sandbox.posts().len(), 1);
}
