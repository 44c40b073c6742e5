//! `make torture`: all rows in turn, for as long as one likes.
//!
//! `TORTURE_SECONDS` is the time, `TORTURE_SEED` where the seeds begin, `TORTURE_SIDE_BY_SIDE` how many installations run
//! at once, `TORTURE_ROWS` which rows (names with commas between them; unset: all), `TORTURE_RESULTS` the file to which
//! each batch is appended (`docs/torture.jsonl`). Stop it when you like and start it again: it goes on with the next
//! seeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use subiteya::torture::Point;

use crate::dice::Dice;
use crate::history::{self, Death};
use crate::pipeline::{Database, Pipeline};
use crate::results::{Batch, Results};
use crate::{answers, checker, outages, points, storms, wipes, zombies};

/// In the order in which they take turns, some more often, since more of them are wanted.
const TURNS: [&str; 12] = [
    "points", "pairs", "storms", "points", "wipes", "answers", "points", "zombies", "outages", "points", "pairs",
    "answers",
];
const DATABASES: [Database; 2] = [Database::Sqlite, Database::Postgres];
/// Histories in a batch of points, pairs and answers: what is lost when a run is stopped.
const BATCH: usize = 20;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told: make torture"]
async fn budget() {
    let end = Instant::now() + Duration::from_secs(number("TORTURE_SECONDS", 600));
    let results = Arc::new(Results::open());
    let chosen = std::env::var("TORTURE_ROWS").unwrap_or_default();
    let rows = TURNS.into_iter().filter(|row| chosen.is_empty() || chosen.split(',').any(|one| one == *row));
    let turns: Vec<_> = rows.flat_map(|row| DATABASES.map(|database| (row, database))).collect();
    assert!(!turns.is_empty(), "TORTURE_ROWS holds none of {TURNS:?}");
    let turn = Arc::new(AtomicUsize::new(0));
    let mut side_by_side = tokio::task::JoinSet::new();
    for _ in 0..number("TORTURE_SIDE_BY_SIDE", 6) {
        let (results, turns, turn) = (results.clone(), turns.clone(), turn.clone());
        side_by_side.spawn(async move {
            let mut wrong = 0;
            while Instant::now() < end {
                let (row, database) = turns[turn.fetch_add(1, Ordering::Relaxed) % turns.len()];
                let seed = results.next_seed(number("TORTURE_SEED", 1), row, database);
                let began = Instant::now();
                let mut batch = Batch { row, seed, ..Batch::default() };
                Box::pin(run(&mut batch, database)).await;
                let Batch { histories, kills, .. } = &batch;
                let (name, took) = (database.name(), began.elapsed().as_secs());
                println!("{row} on {name}, seed {seed}: {histories} histories, {kills} kills, {took} s");
                batch.wrong.iter().for_each(|line| println!("BROKEN: {line}"));
                wrong += batch.wrong.len();
                results.append(database, took, &batch);
            }
            wrong
        });
    }
    let wrong: usize = side_by_side.join_all().await.into_iter().sum();
    println!("\n{}", results.table());
    assert_eq!(wrong, 0, "promises were broken; the lines above say which");
}

async fn run(batch: &mut Batch, database: Database) {
    let seed = batch.seed;
    let mut dice = Dice::new(seed);
    match batch.row {
        "points" => {
            let deaths: Vec<_> = (0..BATCH).map(|_| (death(&mut dice), None)).collect();
            kills(batch, database, deaths).await;
        }
        "pairs" => {
            let from = usize::try_from(seed).unwrap_or(0) * BATCH;
            let chosen = points::pairs().cycle().skip(from % points::PAIRS).take(BATCH);
            kills(batch, database, chosen.map(|(first, second)| (Death::at(first), Some(second))).collect()).await;
        }
        "storms" => {
            batch.histories = 1;
            match storms::storm(database, seed, 20).await {
                Ok(done) => {
                    let kills = done.iter().filter(|(what, _)| what.starts_with("SIGKILL"));
                    batch.kills = kills.map(|(_, number)| number).sum();
                }
                Err(wrong) => batch.wrong.push(wrong),
            }
        }
        "wipes" => {
            let mut pipeline = wipes::pipeline(database).await;
            for blow in wipes::BLOWS.into_iter().chain([wipes::LONG]) {
                let came = wipes::strike(&mut pipeline, blow).await;
                batch.moved.extend(came.as_ref().ok().and_then(|moved| i64::try_from(moved.as_millis()).ok()));
                count(batch, &pipeline, came.map(|_| ()));
            }
            batch.wrong.extend(checker::whole(&pipeline.fleet, &[]).await);
        }
        "outages" => {
            for outage in outages::Outage::of(database) {
                batch.histories += 1;
                batch.wrong.extend(outages::suffer(database, outage).await.err());
            }
        }
        "zombies" => {
            let mut pipeline = Pipeline::new(database).await;
            for point in zombies::points() {
                let came = zombies::freeze(&mut pipeline, point).await;
                count(batch, &pipeline, came);
            }
            batch.wrong.extend(checker::whole(&pipeline.fleet, &[]).await);
        }
        _ => {
            let mut pipeline = Pipeline::new(database).await;
            for _ in 0..BATCH {
                let trouble = answers::TROUBLES[dice.below(answers::TROUBLES.len())];
                let came = answers::history(&mut pipeline, trouble).await;
                count(batch, &pipeline, came);
            }
            batch.wrong.extend(checker::whole(&pipeline.fleet, &[]).await);
        }
    }
}

fn death(dice: &mut Dice) -> Death {
    let point = Point::ALL[dice.below(Point::ALL.len())];
    let hit = 1 + dice.below(history::hits(point) as usize);
    Death { point, hit: u32::try_from(hit).unwrap_or(1) }
}

/// What broke a promise may break what comes after it, so its logs are kept.
fn count(batch: &mut Batch, pipeline: &Pipeline, came: Result<(), String>) {
    batch.histories += 1;
    batch.wrong.extend(came.err().map(|error| format!("{error}\n{}", pipeline.fleet.logs())));
}

async fn kills(batch: &mut Batch, database: Database, chosen: Vec<(Death, Option<Point>)>) {
    let mut pipeline = Pipeline::new(database).await;
    for (first, second) in chosen {
        let came = history::kill(&mut pipeline, first, second).await;
        if let Ok(came) = &came {
            batch.kills += came.kills;
            batch.takeovers.extend(came.takeover);
        }
        let broken = came.is_err();
        count(batch, &pipeline, came.map(|_| ()));
        if broken {
            break;
        }
    }
    batch.wrong.extend(checker::whole(&pipeline.fleet, &[]).await);
}
