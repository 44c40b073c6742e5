//! SIGKILL at every crash point, and at pairs of them.

use std::cell::RefCell;
use std::collections::BTreeSet;

use subiteya::torture::Point;

use crate::history::{self, Death};
use crate::lanes;
use crate::pipeline::{Database, Pipeline};

pub(crate) const PAIRS: usize = Point::ALL.len() * Point::ALL.len();

async fn once(pipeline: &mut Pipeline, point: Point) -> Result<(), String> {
    history::kill(pipeline, Death::at(point), None).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_point_kills_its_process_once_on_sqlite() {
    lanes::all(Database::Sqlite, Point::ALL.iter().copied(), once).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_point_kills_its_process_once_on_postgresql() {
    lanes::all(Database::Postgres, Point::ALL.iter().copied(), once).await;
}

/// All ordered pairs, in an order in which neighbours have nothing in common: a stride that is prime to their number
/// walks through all of them.
pub(crate) fn pairs() -> impl Iterator<Item = (Point, Point)> + Clone {
    let (all, number) = (Point::ALL, Point::ALL.len());
    (0..PAIRS).map(move |step| {
        let place = step * (number * 17 + 1) % PAIRS;
        (all[place / number], all[place % number])
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_pairs_of_points() {
    let seen = RefCell::new(BTreeSet::new());
    let once = async |pipeline: &mut Pipeline, (first, second): (Point, Point)| {
        let came = history::kill(pipeline, Death::at(first), Some(second)).await?;
        if came.second {
            seen.borrow_mut().insert((first.name(), second.name()));
        }
        Ok(())
    };
    lanes::all(Database::Sqlite, pairs().take(40), once).await;
    let seen = seen.into_inner();
    assert!(seen.len() > 5, "more recoveries than these came by their second point: {seen:?}");
}

#[test]
fn the_pairs_are_all_that_there_are() {
    let distinct: BTreeSet<_> = pairs().map(|(first, second)| (first.name(), second.name())).collect();
    assert_eq!(distinct.len(), PAIRS);
}
