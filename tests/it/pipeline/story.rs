//! What happens when nothing goes wrong.

use sha2::{Digest, Sha256};
use subiteya::sandbox::CreatorSpec;

use crate::support::fleet::{Fleet, LOOSE, clip};

#[tokio::test(flavor = "multi_thread")]
async fn a_video_goes_from_upload_to_posted_and_what_is_posted_is_its_rendition() {
    let mut fleet = Fleet::with(LOOSE, |options| options.audited = true).await;
    fleet.start_all().await;
    let open = CreatorSpec { private: Some(false), ..CreatorSpec::named("ada.open") };
    let tokens = fleet.sandbox.grant(&open).await.expect("a creator");
    fleet.connect("ada", &tokens);
    let private = fleet.upload("ada", "for me alone").await;
    let public = [("privacyLevel", "PUBLIC_TO_EVERYONE")];
    let public = fleet.try_upload("ada", "for all", &public, clip()).await.expect("accepted");

    let video = fleet.posted(&private).await;
    assert!(video["postUrl"].is_null() && video["progress"] == 100, "{video:#}");
    let post = fleet.posts("for me alone").remove(0);
    let edited = fleet.bytes(video["editedUrl"].as_str().expect("a path")).await;
    let hash: String = Sha256::digest(&edited).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((post.sha256.as_str(), post.open_id.as_str()), (hash.as_str(), tokens.open_id.as_str()));
    let events = Fleet::events(&video);
    let wanted = ["edit/started", "edit/edited", "publish/started", "publish/init", "publish/posted"];
    let mut rest = events.iter();
    assert!(wanted.iter().all(|event| rest.any(|one| one == event)), "{events:?}");

    fleet.posted(&public).await;
    let video = fleet.until_video(&public, "POSTED", |video| !video["postUrl"].is_null()).await;
    let id = video["postIds"][0].as_str().expect("a post's id");
    assert_eq!(video["postUrl"], format!("https://www.tiktok.com/@ada.open/video/{id}"));
    assert!(id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
}
