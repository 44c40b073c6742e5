//! One history: a video is brought to a crash point, its process dies there, and perhaps the one that recovers dies too.

use std::time::Duration;

use serde_json::json;
use subiteya::torture::Point;

use crate::checker;
use crate::pipeline::{Pipeline, Process};

/// Until a process has come to a point that lies on its way.
pub(crate) const REACHED: Duration = Duration::from_secs(30);
/// Until it is clear that a recovering process does not come by a point.
const MAYBE: Duration = Duration::from_secs(3);

/// What a history came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) kills: u32,
    /// Whether the recovery came by the second point.
    pub(crate) second: bool,
    /// Milliseconds from the death to the successor's lease, where there was one to take over.
    pub(crate) takeover: Option<i64>,
}

/// Which process comes by a point.
pub(crate) fn victim(point: Point) -> Process {
    let name = point.name();
    if ["ingest.", "release.", "control."].iter().any(|part| name.starts_with(part)) {
        Process::Serve
    } else {
        Process::Work
    }
}

/// What TikTok has to do so that a video comes by a point.
pub(crate) fn faults(point: Point) -> &'static [&'static str] {
    match point {
        Point::PublishRefreshSent => &["creator_info:expire-token", "token:hold=600ms"],
        Point::PublishRefreshStored => &["creator_info:expire-token"],
        Point::PublishInitSent => &["init:hold=600ms"],
        Point::PublishLastSent => &["chunk:hold=300ms*3"],
        Point::ControlRetry => &["init:error=403/spam_risk"],
        Point::ControlResolve => &["init:cut-after*3"],
        _ => &[],
    }
}

/// Brings a video to `first`, kills there, kills the recovery at `second` if it comes by, and waits for the end.
pub(crate) async fn kill(pipeline: &mut Pipeline, first: Point, second: Option<Point>) -> Result<Came, String> {
    let told = |error: String| format!("{} then {}: {error}", first.name(), second.map_or("nothing", Point::name));
    run(pipeline, first, second).await.map_err(told)
}

async fn run(pipeline: &mut Pipeline, first: Point, second: Option<Point>) -> Result<Came, String> {
    let title = pipeline.title();
    let victim = victim(first);
    if first == Point::RelayDoubted {
        // Somebody has to lose an entry first.
        pipeline.restart(Process::Serve, "kill@release.committed").await;
        pipeline.upload("ada", &title).await;
        pipeline.until("serve dies", REACHED, |all| !all.lives(Process::Serve)).await?;
        pipeline.restart(Process::Work, "kill@relay.doubted").await;
        pipeline.restart(Process::Serve, "").await;
    } else {
        pipeline.restart(victim, &format!("kill@{}", first.name())).await;
        pipeline.fleet.faults(faults(first));
        pipeline.upload("ada", &title).await;
    }
    match first {
        Point::ControlRetry => provoke(pipeline, &title, "FAILED", "retry", json!({})).await?,
        Point::ControlResolve => {
            provoke(pipeline, &title, "NEEDS_REVIEW", "resolve", json!({ "action": "again" })).await?;
        }
        _ => {}
    }
    pipeline.until("it dies", REACHED, |all| !all.lives(victim)).await?;
    let died = chrono::Utc::now();
    let mut came = Came { kills: 1, ..Came::default() };
    pipeline.fleet.sandbox.clear_faults();
    let orders = second.map(|point| format!("kill@{}", point.name())).unwrap_or_default();
    pipeline.restart(victim, &orders).await;
    let Some(video) = pipeline.find(&title).await else {
        // Never accepted, so nothing may come of it.
        return if pipeline.fleet.posts(&title).is_empty() { Ok(came) } else { Err("posted, not accepted".to_owned()) };
    };
    let id = video["id"].as_str().expect("an id").to_owned();
    if second.is_some() {
        came.second = pipeline.until("it dies again", MAYBE, |all| !all.lives(victim)).await.is_ok();
        came.kills += u32::from(came.second);
        pipeline.restart(victim, "").await;
    }
    let video = pipeline.ended(&id).await?;
    let mut wrong = checker::video(&pipeline.fleet, &video).await;
    if video["status"] != "POSTED" {
        wrong.push(format!("a death alone ended it so: {video:#}"));
    }
    if second.is_none() {
        came.takeover = taken_over(&video).map(|at| (at - died).num_milliseconds());
    }
    if wrong.is_empty() { Ok(came) } else { Err(wrong.join("\n")) }
}

/// Waits for a status, then asks for something of which the server dies before it answers.
async fn provoke(
    pipeline: &Pipeline,
    title: &str,
    status: &str,
    action: &str,
    body: serde_json::Value,
) -> Result<(), String> {
    let video = pipeline.find(title).await.ok_or("it was accepted")?;
    let id = video["id"].as_str().expect("an id");
    let video = pipeline.ended(id).await?;
    if video["status"] != status {
        return Err(format!("{status} was expected: {video:#}"));
    }
    pipeline.fleet.try_post(&format!("/api/videos/{id}/{action}"), &body).await;
    Ok(())
}

fn taken_over(video: &serde_json::Value) -> Option<chrono::DateTime<chrono::Utc>> {
    let lines = video["timeline"].as_array()?;
    let line = lines.iter().find(|line| line["event"] == "taken over")?;
    line["at"].as_str()?.parse().ok()
}
