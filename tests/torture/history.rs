//! One history: a video is brought to a crash point, its process dies there, and perhaps the one that recovers dies too.

use std::time::{Duration, Instant};

use serde_json::json;
use subiteya::torture::Point;

use crate::checker::{self, Late};
use crate::pipeline::{Pipeline, Process};

/// Until a process has come to a point that lies on its way.
pub(crate) const REACHED: Duration = Duration::from_secs(30);

/// SIGKILL at a hit of a point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death {
    pub(crate) point: Point,
    /// 1 is the first.
    pub(crate) hit: u32,
}

impl Death {
    pub(crate) fn at(point: Point) -> Self {
        Self { point, hit: 1 }
    }

    fn order(self) -> String {
        format!("kill@{}:{}", self.point.name(), self.hit)
    }
}

/// How often a video of three chunks comes by a point for sure.
pub(crate) fn hits(point: Point) -> u32 {
    match point {
        Point::PublishChunkBefore => 3,
        Point::PublishChunkAfter | Point::PublishChunkInside => 2,
        _ => 1,
    }
}

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
        Point::ControlRetry => &["init:error=400/invalid_file_upload"],
        Point::ControlResolve => &["init:cut-after*3"],
        _ => &[],
    }
}

/// Brings a video to its first death, kills the recovery at `second` if it comes by, and waits for the end.
pub(crate) async fn kill(pipeline: &mut Pipeline, first: Death, second: Option<Point>) -> Result<Came, String> {
    let told = |error: String| format!("{} then {}: {error}", first.order(), second.map_or("nothing", Point::name));
    Box::pin(run(pipeline, first, second)).await.map_err(told)
}

async fn run(pipeline: &mut Pipeline, first: Death, second: Option<Point>) -> Result<Came, String> {
    let mut titles = vec![pipeline.title()];
    reach(pipeline, first, &titles[0]).await?;
    let died = chrono::Utc::now();
    let mut came = Came { kills: 1, ..Came::default() };
    pipeline.fleet.sandbox.clear_faults();
    match second {
        None => {
            pipeline.restart(victim(first.point), "").await;
        }
        Some(second) => {
            if recover_into(pipeline, victim(first.point), second, &mut titles).await {
                came.second = true;
                came.kills += 1;
            }
        }
    }
    let mut wrong = Vec::new();
    for title in titles {
        let Some(video) = pipeline.find(&title).await else {
            // Never accepted, so nothing may come of it.
            wrong.extend((!pipeline.fleet.posts(&title).is_empty()).then(|| format!("{title} posted, not accepted")));
            continue;
        };
        let video = pipeline.ended(video["id"].as_str().expect("an id")).await?;
        wrong.extend(checker::video(&pipeline.fleet, &video, Late::None).await);
        if video["status"] != "POSTED" {
            wrong.push(format!("a death alone ended it so: {video:#}"));
        }
        if second.is_none() {
            came.takeover = taken_over(&video).map(|at| (at - died).num_milliseconds());
        }
    }
    if wrong.is_empty() { Ok(came) } else { Err(wrong.join("\n")) }
}

/// Uploads a video and waits until its process has died.
async fn reach(pipeline: &mut Pipeline, death: Death, title: &str) -> Result<(), String> {
    let victim = victim(death.point);
    if death.point == Point::RelayDoubted {
        // Somebody has to lose an entry first.
        pipeline.restart(Process::Serve, "kill@release.committed").await;
        pipeline.upload("ada", title).await;
        pipeline.until("serve dies", REACHED, |all| !all.lives(Process::Serve)).await?;
        pipeline.restart(Process::Work, &death.order()).await;
        pipeline.restart(Process::Serve, "").await;
    } else {
        pipeline.restart(victim, &death.order()).await;
        pipeline.fleet.faults(faults(death.point));
        pipeline.upload("ada", title).await;
    }
    match death.point {
        Point::ControlRetry => provoke(pipeline, title, "FAILED", "retry", json!({})).await?,
        Point::ControlResolve => {
            provoke(pipeline, title, "NEEDS_REVIEW", "resolve", json!({ "action": "again" })).await?;
        }
        _ => {}
    }
    pipeline.until("it dies", REACHED, |all| !all.lives(victim)).await
}

/// Starts what has died, with the order to die at `second` for whichever process comes by there, and starts that one again.
/// What was not accepted is uploaded once more, as its sender would. Gives whether there was a second death.
async fn recover_into(pipeline: &mut Pipeline, dead: Process, second: Point, titles: &mut Vec<String>) -> bool {
    let (next, order) = (victim(second), Death::at(second).order());
    // A person who retries or resolves has no part in this.
    if !second.name().starts_with("control.") {
        pipeline.fleet.faults(faults(second));
    }
    if next != dead {
        pipeline.restart(next, &order).await;
    }
    pipeline.restart(dead, if next == dead { &order } else { "" }).await;
    let uploaded = titles[0].clone();
    if pipeline.lives(Process::Serve) && pipeline.find(&uploaded).await.is_none() {
        titles.push(pipeline.title());
        pipeline.upload("ada", &titles[1]).await;
    }
    let deadline = Instant::now() + REACHED;
    let died = loop {
        if !pipeline.lives(next) {
            break true;
        }
        let latest = titles.last().expect("a title").clone();
        let ended = pipeline.find(&latest).await.is_some_and(|video| checker::is_end(&video));
        if ended || Instant::now() > deadline {
            // What comes after the end comes at once.
            tokio::time::sleep(Duration::from_millis(100)).await;
            break !pipeline.lives(next);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    pipeline.fleet.sandbox.clear_faults();
    // Also where it still lives, since its order stands.
    pipeline.restart(next, "").await;
    died
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
