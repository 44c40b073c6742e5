//! What the upload page shows of a creator before somebody posts.

use serde_json::{Value, json};
use subiteya::account::{NewTokens, add};
use subiteya::sandbox::{CreatorSpec, Filter, Kind, Options, Sandbox};

use crate::fixture::{Server, clip, form, vault};

struct World {
    server: Server,
    sandbox: Sandbox,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(spec: CreatorSpec) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { audited: true, ..Options::new(folder.path().join("sandbox"), "key", "secret") };
        let sandbox = Sandbox::start(options).await.expect("a sandbox");
        let server = Server::at_tiktok(&sandbox).await;
        let granted = sandbox.grant(&spec).await.expect("a creator");
        let tokens: NewTokens = serde_json::from_value(json!({
            "access_token": granted.access_token, "refresh_token": granted.refresh_token, "expires_in": granted.expires_in,
        }))
        .expect("tokens");
        let tx = server.state.ledger.begin().await.expect("a transaction");
        let named = ("conn_ada", "alice", granted.open_id.as_str(), "Ada");
        add(&tx, &vault(), named, &tokens).await.expect("an account");
        tx.commit().await.expect("committed");
        Self { server, sandbox, _folder: folder }
    }

    async fn creator(&self, key: &str) -> (u16, Value) {
        let answer = self.server.get(key, "/api/accounts/conn_ada/creator").await;
        (answer.status().as_u16(), answer.json().await.expect("json"))
    }

    async fn asked(&self) -> usize {
        let filter = Filter { kind: Some(Kind::CreatorInfo), ..Filter::default() };
        self.sandbox.record(filter).await.expect("the record").len()
    }
}

#[tokio::test]
async fn the_page_learns_name_picture_and_choices_and_tiktok_is_asked_once() {
    let spec = CreatorSpec {
        display_name: Some("Ada ✨".to_owned()),
        stitch_disabled: Some(true),
        max_video_post_duration_sec: Some(1),
        ..CreatorSpec::named("ada")
    };
    let world = World::new(spec).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(world.creator(&world.server.alice).await);
    }
    let (status, body) = &all[0];
    let creator = &body["creator"];
    assert_eq!((*status, &creator["nickname"], &creator["username"]), (200, &json!("Ada ✨"), &json!("ada")), "{body}");
    let allowed = json!({
        "privacyLevels": ["PUBLIC_TO_EVERYONE", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"],
        "comment": true, "duet": true, "stitch": false, "longestSeconds": 1,
    });
    assert_eq!(creator["allowed"], allowed, "{body}");
    assert_eq!(world.asked().await, 1, "pages share what is known");

    let picture = world.server.get(&world.server.alice, creator["avatarUrl"].as_str().expect("a path")).await;
    assert_eq!((picture.status().as_u16(), picture.headers()["content-type"].as_bytes()), (200, &b"image/png"[..]));
    assert_eq!(picture.headers()["x-content-type-options"], "nosniff");
    assert!(picture.bytes().await.expect("bytes").starts_with(b"\x89PNG"));
    assert_eq!(world.creator(&world.server.bob).await.0, 404, "another's account is not there");
    assert_eq!(world.creator(&world.server.viewer).await.0, 403, "names are not for viewers");

    let form = reqwest::multipart::Form::new()
        .text("accountId", "conn_ada")
        .text("title", "t")
        .text("allowStitch", "true")
        .part("video", crate::fixture::file(clip()));
    let refused = world.server.upload(&world.server.alice, form).await;
    assert_eq!(refused.status(), 422);
    let body: Value = refused.json().await.expect("json");
    assert_eq!((&body["code"], &body["allowed"]), (&json!("stitch_disabled"), &allowed), "{body}");
    world.server.until("its bytes are gone", async |server| server.objects().is_empty()).await;
}

#[tokio::test]
async fn what_tiktok_refuses_is_said_and_nothing_is_shown_in_its_place() {
    let world = World::new(CreatorSpec { banned: Some(true), ..CreatorSpec::named("ada") }).await;
    let (status, body) = world.creator(&world.server.alice).await;
    assert_eq!((status, &body["code"]), (409, &json!("spam_risk_user_banned_from_posting")), "{body}");
    // A server without an app at TikTok can't ask.
    let plain = Server::start().await;
    assert_eq!(plain.get(&plain.alice, "/api/accounts/conn_alice/creator").await.status(), 503);
    assert_eq!(plain.upload(&plain.alice, form("t", clip())).await.status(), 201);
}
