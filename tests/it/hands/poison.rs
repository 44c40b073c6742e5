//! A poisoned video is parked after three deliveries, while the others go on: with real processes, and FFmpeg stood in
//! for by one that does harm.

use std::time::Duration;

use crate::support::fleet::{Fleet, LOOSE};
use crate::support::standin::StandIn;

async fn poisonous() -> (Fleet, StandIn) {
    let standin = StandIn::new();
    standin.poison();
    let toml = LOOSE.replacen("limit = \"\"\n", "limit = \"\"\nattempts = 3\n", 1);
    let mut fleet = Fleet::new(&format!("{toml}[edit]\ntimeout = \"2s\"\n")).await;
    fleet.set("PATH", &standin.path());
    fleet.start_all().await;
    fleet.account("ada").await;
    (fleet, standin)
}

async fn upload(fleet: &Fleet, title: &str) -> String {
    let clip = StandIn::clip(title);
    let uploaded = fleet.try_upload_bytes("ada", title, &[], clip).await;
    uploaded.expect("accepted")
}

async fn dead(fleet: &Fleet, video: &str, code: &str) {
    let dead = fleet.get("/api/dead").await;
    let letter = dead["dead"].as_array().expect("a list").iter().find(|one| one["id"] == video);
    assert_eq!(letter.map(|one| &one["reason"]["code"]), Some(&serde_json::json!(code)), "{dead:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn videos_that_crash_or_hang_ffmpeg_are_parked_after_three_deliveries_and_others_pass() {
    let (fleet, _standin) = poisonous().await;
    let crash = upload(&fleet, "crashes FFmpeg").await;
    let hang = upload(&fleet, "hangs FFmpeg").await;
    let other = upload(&fleet, "passes").await;
    fleet.posted(&other).await;
    for (video, code) in [(&crash, "ffmpeg_crashed"), (&hang, "ffmpeg_timeout")] {
        let shown = fleet.until(video, "FAILED").await;
        let starts = Fleet::events(&shown).iter().filter(|event| *event == "edit/started").count();
        assert_eq!(starts, 3, "{shown:#}");
        let reason = shown["reason"]["text"].as_str().unwrap_or_default();
        assert!(reason.ends_with("(after 3 attempts)"), "{reason}");
        let attempts = shown["attempts"].as_array().expect("a list");
        let outcomes: Vec<_> = attempts.iter().map(|one| one["outcome"].as_str().unwrap_or_default()).collect();
        assert_eq!(outcomes, ["retry", "retry", "failed"], "{shown:#}");
        dead(&fleet, video, code).await;
    }
    fleet.until_no_ffmpeg().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_kills_its_worker_is_parked_after_three_deliveries_and_others_pass() {
    let (mut fleet, _standin) = poisonous().await;
    let killer = upload(&fleet, "kills its worker").await;
    for death in 1..=3 {
        let ended = fleet.ended("edit", Duration::from_secs(30)).await;
        assert!(!ended.success(), "death {death}");
        fleet.start_again("edit");
        let other = upload(&fleet, &format!("passes after {death}")).await;
        if death == 3 {
            fleet.posted(&other).await;
        }
    }
    let shown = fleet.until(&killer, "FAILED").await;
    assert_eq!(shown["reason"]["code"], "poison", "{shown:#}");
    let attempts = shown["attempts"].as_array().expect("a list");
    let outcomes: Vec<_> = attempts.iter().map(|one| one["outcome"].as_str().unwrap_or_default()).collect();
    assert_eq!(outcomes, ["worker died", "worker died", "failed"], "{shown:#}");
    dead(&fleet, &killer, "poison").await;
    assert!(fleet.lives("edit"), "{}", fleet.log("edit"));
    for video in fleet.get("/api/videos").await["videos"].as_array().expect("a list") {
        let id = video["id"].as_str().expect("an id");
        if id != killer {
            fleet.posted(id).await;
        }
    }
}
