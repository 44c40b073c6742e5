//! Redis wiped, killed, failed over, full, silent, slow or away under load: everything moves again, and how soon it does is
//! measured. On an idle machine that is within ten seconds; a busy one proves nothing about it.

use std::time::{Duration, Instant};

use subiteya::event::VideoId;
use subiteya::ledger::Ledger;
use subiteya::task::State;

use crate::checker;
use crate::load;
use crate::pipeline::{Database, LOOSE, PATIENCE, Pipeline};

const A_WHILE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Blow {
    FlushAll,
    /// SIGKILL, and back at once, with nothing.
    Killed,
    /// SIGKILL, and back at once, with what its append-only file held.
    KilledButPersisted,
    Away(Duration),
    /// No memory for another entry.
    Full,
    /// Alive, and answers nobody.
    Paused,
    /// Each answer takes two seconds.
    Slow,
    /// A replica is promoted that has missed the last writes, and the old one dies.
    FailedOver,
}

pub(crate) const BLOWS: [Blow; 8] = [
    Blow::FlushAll,
    Blow::Killed,
    Blow::KilledButPersisted,
    Blow::Away(A_WHILE),
    Blow::Full,
    Blow::Paused,
    Blow::Slow,
    Blow::FailedOver,
];
/// For a run that has the time.
pub(crate) const LONG: Blow = Blow::Away(Duration::from_secs(60));

/// An installation at its own pace: what is measured here are seconds that its users would wait.
pub(crate) async fn pipeline(database: Database) -> Pipeline {
    let mut pipeline = Pipeline::with(database, LOOSE, "pace=1").await;
    pipeline.fleet.redis.persist().await;
    pipeline
}

/// Gives how long the slowest task took to move again.
pub(crate) async fn strike(pipeline: &mut Pipeline, blow: Blow) -> Result<Duration, String> {
    let told = |error: String| format!("{blow:?}: {error}");
    Box::pin(run(pipeline, blow)).await.map_err(told)
}

async fn run(pipeline: &mut Pipeline, blow: Blow) -> Result<Duration, String> {
    let mut ids = load::upload(pipeline).await;
    ids.extend(hit(pipeline, blow).await);
    let back = Instant::now();
    // What waits for a slot only is not held up by Redis.
    pipeline.standin.lasts(0.0);
    let ledger = pipeline.fleet.ledger().await;
    let waiting = queued(&ledger, &ids).await;
    let mut left = waiting.clone();
    while !left.is_empty() && back.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = queued(&ledger, &ids).await;
        left.retain(|one| now.contains(one));
    }
    if !left.is_empty() {
        return Err(format!("{} of {} released tasks did not move in {PATIENCE:?}", left.len(), waiting.len()));
    }
    let moved = back.elapsed();
    load::all_posted(pipeline, &ids).await?;
    Ok(moved)
}

/// Gives what was uploaded meanwhile.
async fn hit(pipeline: &mut Pipeline, blow: Blow) -> Vec<String> {
    let redis = &mut pipeline.fleet.redis;
    match blow {
        Blow::FlushAll => {
            redis.command(&["FLUSHALL"]).await;
        }
        Blow::Killed => {
            redis.kill().await;
            redis.forget();
            redis.restart().await;
        }
        Blow::KilledButPersisted => {
            redis.kill().await;
            redis.restart().await;
        }
        Blow::Away(time) => {
            redis.kill().await;
            let meanwhile = load::upload(pipeline).await;
            tokio::time::sleep(time).await;
            pipeline.fleet.redis.restart().await;
            return meanwhile;
        }
        Blow::Full => {
            redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
            let meanwhile = load::upload(pipeline).await;
            tokio::time::sleep(A_WHILE).await;
            pipeline.fleet.redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
            return meanwhile;
        }
        Blow::Paused => {
            redis.command(&["CLIENT", "PAUSE", "3000", "ALL"]).await;
            tokio::time::sleep(A_WHILE).await;
        }
        Blow::Slow => {
            pipeline.proxy.delay(Duration::from_secs(1));
            let meanwhile = load::upload(pipeline).await;
            pipeline.proxy.delay(Duration::ZERO);
            return meanwhile;
        }
        Blow::FailedOver => {
            let mut replica = redis.replica().await;
            replica.command(&["REPLICAOF", "NO", "ONE"]).await;
            replica.persist().await;
            let forgotten = load::upload(pipeline).await;
            pipeline.fleet.redis.kill().await;
            pipeline.proxy.lead_to(&replica.socket());
            pipeline.proxy.cut();
            pipeline.fleet.redis = replica;
            return forgotten;
        }
    }
    Vec::new()
}

/// What is out on a stream, by the sequence number of its release.
async fn queued(ledger: &Ledger, ids: &[String]) -> Vec<(VideoId, i64)> {
    let mut found = Vec::new();
    for id in ids {
        let id: VideoId = id.parse().expect("an id");
        let tasks = ledger.tasks_of(id).await.expect("read");
        found.extend(tasks.iter().filter(|row| row.task.state == State::Queued).map(|row| (id, row.task.seq)));
    }
    found
}

async fn each_once(blows: &[Blow]) {
    let mut pipeline = pipeline(Database::Sqlite).await;
    for &blow in blows {
        let came = strike(&mut pipeline, blow).await;
        came.unwrap_or_else(|error| panic!("{error}\n{}", pipeline.fleet.logs()));
    }
    let wrong = checker::whole(&pipeline.fleet, &[]).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// In halves, so that they run side by side.

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_wiped_killed_or_away_delays_and_loses_nothing() {
    each_once(&BLOWS[..4]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_silent_slow_or_forgetful_delays_and_loses_nothing() {
    each_once(&BLOWS[4..]).await;
}
