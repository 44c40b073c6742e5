//! `make torture`: all rows in turn, for as long as one likes.
//!
//! `TORTURE_SECONDS` is the time, `TORTURE_SEED` where the seeds begin, `TORTURE_SIDE_BY_SIDE` how many installations run
//! at once, `TORTURE_ROWS` which rows (`points,pairs,storms,wipes,zombies,answers`; unset: all), `TORTURE_RESULTS` the
//! file to which each batch is appended (`docs/torture.jsonl`). Stop it when you like and start it again: it goes on with
//! the next seeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use subiteya::torture::Point;

use crate::dice::Dice;
use crate::pipeline::{Database, Pipeline};
use crate::results::{Batch, Results};
use crate::{answers, checker, history, points, storms, wipes, zombies};

const ROWS: [&str; 6] = ["points", "pairs", "storms", "wipes", "zombies", "answers"];
const DATABASES: [Database; 2] = [Database::Sqlite, Database::Postgres];
/// Pairs in a batch: the whole table has 1,681.
const PAIRS: usize = 41;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told: make torture"]
async fn budget() {
    let end = Instant::now() + Duration::from_secs(number("TORTURE_SECONDS", 600));
    let results = Arc::new(Results::open());
    let chosen = std::env::var("TORTURE_ROWS").unwrap_or_default();
    let rows: Vec<&'static str> =
        ROWS.into_iter().filter(|row| chosen.is_empty() || chosen.split(',').any(|one| one == *row)).collect();
    assert!(!rows.is_empty(), "TORTURE_ROWS holds none of {ROWS:?}");
    let turns: Vec<_> = rows.iter().flat_map(|row| DATABASES.map(|database| (*row, database))).collect();
    let turn = Arc::new(AtomicUsize::new(0));
    let mut side_by_side = tokio::task::JoinSet::new();
    for _ in 0..number("TORTURE_SIDE_BY_SIDE", 3) {
        let (results, turns, turn) = (results.clone(), turns.clone(), turn.clone());
        side_by_side.spawn(async move {
            let mut wrong = 0;
            while Instant::now() < end {
                let step = turn.fetch_add(1, Ordering::Relaxed);
                let (row, database) = turns[step % turns.len()];
                let seed = number("TORTURE_SEED", 1) + results.batches(row, database) + (step / turns.len()) as u64;
                let batch = batch(row, database, seed, end).await;
                println!(
                    "{row} on {}, seed {seed}: {} histories, {} kills",
                    database.name(),
                    batch.histories,
                    batch.kills
                );
                batch.wrong.iter().for_each(|line| println!("BROKEN: {line}"));
                wrong += batch.wrong.len();
                results.append(database, &batch);
            }
            wrong
        });
    }
    let wrong: usize = side_by_side.join_all().await.into_iter().sum();
    println!("\n{}", results.table());
    assert_eq!(wrong, 0, "promises were broken; the lines above say which");
}

async fn batch(row: &'static str, database: Database, seed: u64, end: Instant) -> Batch {
    let mut batch = Batch { row, seed, ..Batch::default() };
    match row {
        "points" => kills(&mut batch, database, end, Point::ALL.iter().map(|&point| (point, None)).collect()).await,
        "pairs" => {
            let all = points::pairs();
            let from = usize::try_from(seed).unwrap_or(0) * PAIRS;
            let chosen = (from..from + PAIRS).map(|place| all[place % all.len()]);
            kills(&mut batch, database, end, chosen.map(|(first, second)| (first, Some(second))).collect()).await;
        }
        "storms" => match storms::storm(database, seed, 20).await {
            Ok(done) => {
                batch.histories = 1;
                batch.kills =
                    done.iter().filter(|(what, _)| what.starts_with("SIGKILL")).map(|(_, number)| number).sum();
            }
            Err(wrong) => batch.wrong.push(wrong),
        },
        "wipes" => {
            let mut pipeline = wipes::pipeline(database).await;
            for blow in wipes::BLOWS {
                count(&mut batch, wipes::strike(&mut pipeline, blow).await.map(|_| ()));
            }
            batch.wrong.extend(checker::whole(&pipeline.fleet, &[]).await);
        }
        "zombies" => {
            let mut pipeline = Pipeline::new(database).await;
            for point in zombies::points() {
                count(&mut batch, zombies::freeze(&mut pipeline, point).await);
            }
            batch.wrong.extend(checker::whole(&pipeline.fleet, &[]).await);
        }
        _ => {
            let mut pipeline = Pipeline::new(database).await;
            let mut dice = Dice::new(seed);
            for _ in 0..answers::TROUBLES.len() {
                let trouble = answers::TROUBLES[dice.below(answers::TROUBLES.len())];
                count(&mut batch, answers::history(&mut pipeline, trouble).await);
            }
            batch.wrong.extend(checker::whole(&pipeline.fleet, &[]).await);
        }
    }
    batch
}

fn count(batch: &mut Batch, came: Result<(), String>) {
    batch.histories += 1;
    batch.wrong.extend(came.err());
}

async fn kills(batch: &mut Batch, database: Database, end: Instant, chosen: Vec<(Point, Option<Point>)>) {
    let mut pipeline = Pipeline::new(database).await;
    for (first, second) in chosen {
        if Instant::now() > end + Duration::from_secs(60) {
            break;
        }
        batch.histories += 1;
        match history::kill(&mut pipeline, first, second).await {
            Ok(came) => {
                batch.kills += came.kills;
                batch.takeovers.extend(came.takeover);
            }
            Err(wrong) => batch.wrong.push(wrong),
        }
    }
    batch.wrong.extend(checker::whole(&pipeline.fleet, &[]).await);
}
