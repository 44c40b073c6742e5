//! Videos that their creator's account does not allow as they are asked for.

use serde_json::{Value, json};
use subiteya::sandbox::{CreatorSpec, Kind};

use crate::support::fleet::{Fleet, LOOSE, clip};

const PUBLIC: [(&str, &str); 1] = [("privacyLevel", "PUBLIC_TO_EVERYONE")];

fn private(name: &str) -> CreatorSpec {
    CreatorSpec { private: Some(true), ..CreatorSpec::named(name) }
}

async fn audited() -> Fleet {
    let mut fleet = Fleet::with(LOOSE, |options| options.audited = true).await;
    fleet.start_all().await;
    let tokens = fleet.sandbox.grant(&private("ada")).await.expect("a creator");
    fleet.connect("ada", &tokens);
    fleet
}

fn held(video: &Value) -> bool {
    video["waitingFor"]["code"] == "privacy_level_option_mismatch"
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_account_does_not_allow_is_held_without_cost_and_goes_on_as_its_creator_then_asks() {
    let fleet = audited().await;
    // Nothing is known of the creator yet, so it is accepted.
    let first = fleet.try_upload("ada", "as a follower sees it", &PUBLIC, clip()).await.expect("accepted");
    let video = fleet.until_video(&first, "held", held).await;
    assert_eq!((&video["status"], &video["waitingFor"]["until"]), (&json!("EDITED"), &Value::Null), "{video:#}");
    let offered = json!(["FOLLOWER_OF_CREATOR", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"]);
    assert_eq!(video["waitingFor"]["allowed"]["privacyLevels"], offered, "{video:#}");
    let row = fleet.tasks(&first).await.pop().expect("a task");
    assert!(row.task.is_held() && row.task.attempts == 0, "{row:?}");
    assert!(fleet.calls(Kind::Init).await.is_empty(), "refused before init");

    // Now it is known, so the next one is refused at the door, and so is a change that would not do.
    let (status, body) = fleet.send_upload("ada", "refused", &PUBLIC).await;
    assert_eq!((status, &body["code"]), (422, &json!("privacy_level_option_mismatch")), "{body}");
    assert_eq!(body["allowed"]["privacyLevels"], offered, "{body}");
    let path = format!("/api/videos/{first}/options");
    let (status, body) = fleet.patch(&path, &json!({ "allowDuet": true, "privacyLevel": "SELF_ONLY" })).await;
    assert_eq!(
        (status, &body["code"], &body["allowed"]["duet"]),
        (422, &json!("duet_disabled"), &json!(false)),
        "{body}"
    );
    assert!(held(&fleet.video(&first).await));

    let (status, body) =
        fleet.patch(&path, &json!({ "privacyLevel": "FOLLOWER_OF_CREATOR", "allowComment": true })).await;
    assert_eq!((status, &body["video"]["options"]["privacyLevel"]), (200, &json!("FOLLOWER_OF_CREATOR")), "{body}");
    let video = fleet.posted(&first).await;
    assert_eq!(fleet.posts("as a follower sees it")[0].privacy_level, "FOLLOWER_OF_CREATOR");
    assert_eq!(video["postState"]["code"], "LIMITED", "{video:#}");
    let (status, body) = fleet.patch(&path, &json!({})).await;
    assert_eq!((status, &body["code"]), (409, &json!("already_ended")), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_video_goes_on_when_the_account_changes_instead_and_also_a_refused_init_holds() {
    let fleet = audited().await;
    let public = fleet.try_upload("ada", "for all", &PUBLIC, clip()).await.expect("accepted");
    fleet.until_video(&public, "held", held).await;
    let open = CreatorSpec { private: Some(false), ..CreatorSpec::named("ada") };
    fleet.sandbox.grant(&open).await.expect("the same creator");
    // The next video of the same creator learns of it.
    let other = fleet.upload("ada", "for me").await;
    fleet.posted(&other).await;
    fleet.posted(&public).await;

    fleet.faults(&["init:error=403/privacy_level_option_mismatch"]);
    let refused = fleet.upload("ada", "refused at init").await;
    fleet.until_video(&refused, "held", held).await;
    let row = fleet.tasks(&refused).await.into_iter().find(|row| row.task.is_held()).expect("a held task");
    assert_eq!(row.task.attempts, 0, "{row:?}");
    let (status, body) = fleet.patch(&format!("/api/videos/{refused}/options"), &json!({})).await;
    assert_eq!(status, 200, "to look again needs no change: {body}");
    fleet.posted(&refused).await;
}
