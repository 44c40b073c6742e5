//! Redis wiped, killed, full or silent under load: everything moves again within ten seconds.

use std::time::{Duration, Instant};

use subiteya::event::VideoId;
use subiteya::task::State;

use crate::checker;
use crate::pipeline::{Database, LOOSE, Pipeline};

const LOAD: usize = 6;
/// From its return until whatever it had forgotten is under way.
const MOVING: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Blow {
    FlushAll,
    /// SIGKILL without persistence, and back at once.
    Killed,
    /// The same, away for a while.
    Away,
    /// No memory for another entry.
    Full,
    /// Alive, and answers nobody.
    Paused,
}

pub(crate) const BLOWS: [Blow; 5] = [Blow::FlushAll, Blow::Killed, Blow::Away, Blow::Full, Blow::Paused];

/// An installation at its own pace: what is measured here are seconds that its users would wait.
pub(crate) async fn pipeline(database: Database) -> Pipeline {
    Pipeline::with(database, LOOSE, "pace=1").await
}

/// Gives how long the slowest task took to move again.
pub(crate) async fn strike(pipeline: &mut Pipeline, blow: Blow) -> Result<Duration, String> {
    let mut ids = Vec::new();
    for _ in 0..LOAD {
        let title = pipeline.title();
        ids.push(pipeline.upload("ada", &title).await.ok_or("it was accepted")?);
    }
    hit(pipeline, blow).await;
    let back = Instant::now();
    let waiting = queued(pipeline, &ids).await;
    let mut left = waiting.clone();
    while !left.is_empty() && back.elapsed() < MOVING {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = queued(pipeline, &ids).await;
        left.retain(|one| now.contains(one));
    }
    if !left.is_empty() {
        return Err(format!("{blow:?}: {} of {} released tasks did not move in {MOVING:?}", left.len(), waiting.len()));
    }
    let moved = back.elapsed();
    for id in ids {
        let video = pipeline.ended(&id).await.map_err(|error| format!("{blow:?}: {error}"))?;
        let mut wrong = checker::video(&pipeline.fleet, &video).await;
        if video["status"] != "POSTED" {
            wrong.push(format!("a Redis alone ended it so: {video:#}"));
        }
        if !wrong.is_empty() {
            return Err(format!("{blow:?}: {}", wrong.join("\n")));
        }
    }
    Ok(moved)
}

async fn hit(pipeline: &mut Pipeline, blow: Blow) {
    let redis = &mut pipeline.fleet.redis;
    match blow {
        Blow::FlushAll => {
            redis.command(&["FLUSHALL"]).await;
        }
        Blow::Killed => {
            redis.kill().await;
            redis.restart().await;
        }
        Blow::Away => {
            redis.kill().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            redis.restart().await;
        }
        Blow::Full => {
            redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
        }
        Blow::Paused => {
            redis.command(&["CLIENT", "PAUSE", "3000", "ALL"]).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    }
}

/// What is out on a stream, by the sequence number of its release.
async fn queued(pipeline: &Pipeline, ids: &[String]) -> Vec<(VideoId, i64)> {
    let ledger = pipeline.fleet.ledger().await;
    let mut found = Vec::new();
    for id in ids {
        let id: VideoId = id.parse().expect("an id");
        let tasks = ledger.tasks_of(id).await.expect("read");
        found.extend(tasks.iter().filter(|row| row.task.state == State::Queued).map(|row| (id, row.task.seq)));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_wiped_killed_full_or_silent_delays_and_loses_nothing() {
    let mut pipeline = pipeline(Database::Sqlite).await;
    for blow in BLOWS {
        let came = strike(&mut pipeline, blow).await;
        came.unwrap_or_else(|error| panic!("{error}\n{}", pipeline.fleet.logs()));
    }
    let wrong = checker::whole(&pipeline.fleet, &[]).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
