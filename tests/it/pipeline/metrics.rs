//! What processes without a port have counted is seen at `serve`, and outlives them all.

use std::collections::BTreeMap;

use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE, SOON};

/// The samples of a scrape.
async fn scraped(fleet: &Fleet) -> BTreeMap<String, f64> {
    let text = String::from_utf8(fleet.bytes("/metrics").await).expect("text");
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    samples.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_scrape_shows_what_the_fleet_has_done_and_a_restart_takes_nothing_away() {
    let mut fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    let video = fleet.upload("ada", "counted").await;
    fleet.posted(&video).await;
    let done = |stage: &str| format!("subiteya_stage_ended_total{{outcome=\"done\",stage=\"{stage}\"}}");
    let wanted = [
        (done("edit"), 1.0),
        (done("publish"), 1.0),
        (done("confirm"), 1.0),
        ("subiteya_stage_started_total{stage=\"edit\"}".to_owned(), 1.0),
        ("subiteya_stage_duration_seconds_count{stage=\"edit\"}".to_owned(), 1.0),
        ("subiteya_stage_duration_seconds_bucket{stage=\"edit\",le=\"+Inf\"}".to_owned(), 1.0),
        ("subiteya_ffmpeg_speed_ratio_count".to_owned(), 1.0),
        ("subiteya_released_total{stage=\"edit\"}".to_owned(), 1.0),
        ("subiteya_released_total{stage=\"publish\"}".to_owned(), 1.0),
        ("subiteya_uploads_total{result=\"accepted\"}".to_owned(), 1.0),
        ("subiteya_takeovers_total{stage=\"edit\"}".to_owned(), 0.0),
        ("subiteya_workers{stage=\"edit\"}".to_owned(), 1.0),
    ];
    eventually("every process has written what it counted", SOON, async || {
        let seen = scraped(&fleet).await;
        wanted.iter().all(|(name, value)| seen.get(name) == Some(value))
    })
    .await;
    let before = scraped(&fleet).await;
    for name in ["serve", "edit", "publish"] {
        fleet.kill(name);
    }
    fleet.start_all().await;
    let after = scraped(&fleet).await;
    for (name, value) in before.iter().filter(|(name, _)| name.contains("_total") || name.contains("_bucket")) {
        assert!(after.get(name).is_some_and(|now| now >= value), "{name}: {value} became {:?}", after.get(name));
    }
}
