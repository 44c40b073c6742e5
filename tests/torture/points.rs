//! SIGKILL at every crash point, and at pairs of them.

use std::collections::BTreeSet;

use subiteya::torture::Point;

use crate::checker;
use crate::history::{self, victim};
use crate::pipeline::{Database, Pipeline, Process};

async fn each_once(database: Database, points: impl Iterator<Item = Point>) {
    let mut pipeline = Pipeline::new(database).await;
    let mut wrong = Vec::new();
    for point in points {
        if let Err(error) = history::kill(&mut pipeline, point, None).await {
            wrong.push(format!("{error}\n{}", pipeline.fleet.logs()));
            break;
        }
    }
    wrong.extend(checker::whole(&pipeline.fleet, &[]).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn of(process: Process) -> impl Iterator<Item = Point> {
    Point::ALL.iter().copied().filter(move |&point| victim(point) == process)
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_dies_at_each_point_on_sqlite() {
    each_once(Database::Sqlite, of(Process::Serve)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_at_each_point_on_sqlite() {
    each_once(Database::Sqlite, of(Process::Work)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_dies_at_each_point_on_postgresql() {
    each_once(Database::Postgres, of(Process::Serve)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_at_each_point_on_postgresql() {
    each_once(Database::Postgres, of(Process::Work)).await;
}

/// Ordered pairs in which the second lies where the first one's process can come by when it recovers.
pub(crate) fn pairs() -> Vec<(Point, Point)> {
    let all = Point::ALL.iter().copied();
    all.clone().flat_map(|first| all.clone().map(move |second| (first, second))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_pairs_of_points() {
    let mut pipeline = Pipeline::new(Database::Sqlite).await;
    let pairs = pairs();
    let mut seen = BTreeSet::new();
    // A stride that is prime to their number walks through all of them.
    let chosen = (0..40).map(|step| pairs[(step * 41 * 17 + step) % pairs.len()]);
    for (first, second) in chosen {
        let came = history::kill(&mut pipeline, first, Some(second)).await;
        let came = came.unwrap_or_else(|error| panic!("{error}\n{}", pipeline.fleet.logs()));
        if came.second {
            seen.insert((first.name(), second.name()));
        }
    }
    let wrong = checker::whole(&pipeline.fleet, &[]).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!seen.is_empty(), "some recoveries came by the second point");
}
