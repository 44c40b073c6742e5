//! A worker freezes at a step of the publish protocol, another takes over and finishes, and then the first one wakes.

use std::time::Duration;

use rustix::process::Signal;
use subiteya::torture::Point;

use crate::checker::{self, Late};
use crate::history::{REACHED, faults};
use crate::lanes;
use crate::pipeline::{Database, Pipeline, Process};

/// A busy machine's writes take long, and are hit often.
const TRIES: u32 = 15;

pub(crate) fn points() -> impl Iterator<Item = Point> {
    Point::ALL.iter().copied().filter(|point| point.name().starts_with("publish."))
}

/// One zombie; the pipeline's worker is fresh afterwards.
pub(crate) async fn freeze(pipeline: &mut Pipeline, point: Point) -> Result<(), String> {
    let told = |error: String| format!("frozen at {}: {error}", point.name());
    run(pipeline, point).await.map_err(told)
}

/// Uploads a video and gives its id once its worker is frozen at the point. A process that freezes while another of
/// its threads is in the middle of a write would keep SQLite for itself, as any program would: that is tried again.
pub(crate) async fn frozen_at(pipeline: &mut Pipeline, point: Point) -> Result<String, String> {
    for _ in 0..TRIES {
        let title = pipeline.title();
        pipeline.restart(Process::Work, &format!("stop@{}", point.name())).await;
        pipeline.fleet.faults(faults(point));
        let id = pipeline.upload("ada", &title).await.ok_or("it was accepted")?;
        pipeline.until("it freezes", REACHED, |all| all.is_stopped(Process::Work)).await?;
        pipeline.fleet.sandbox.clear_faults();
        if pipeline.takes_writes().await {
            return Ok(id);
        }
        pipeline.signal(Process::Work, Signal::CONT);
        pipeline.ended(&id).await?;
    }
    Err(format!("it froze in the middle of a write {TRIES} times in a row"))
}

async fn run(pipeline: &mut Pipeline, point: Point) -> Result<(), String> {
    let id = frozen_at(pipeline, point).await?;
    pipeline.start(Process::Second, "");
    let ended = pipeline.ended(&id).await;
    pipeline.signal(Process::Work, Signal::CONT);
    // By the time that it has brought another video to its end, whatever it was about to do is done.
    pipeline.kill(Process::Second);
    let after = pipeline.title();
    let next = pipeline.upload("ada", &after).await.ok_or("the next one was accepted")?;
    let next = pipeline.ended(&next).await?;
    ended?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let video = pipeline.fleet.video(&id).await;
    let mut wrong = checker::video(&pipeline.fleet, &video, Late::Zombies(1)).await;
    wrong.extend(checker::video(&pipeline.fleet, &next, Late::None).await);
    if video["status"] != "POSTED" {
        wrong.push(format!("a zombie ended it so: {video:#}"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn zombies_at_the_publish_points_post_nothing_twice() {
    lanes::all(Database::Sqlite, points(), freeze).await;
}
