//! Ledgers as large as years of work make them, and what that costs.
//!
//! ```sh
//! cargo test --test it -- --ignored --nocapture ledger::million
//! ```

use std::time::{Duration, Instant};

use serde_json::json;
use subiteya::event::Stage;
use subiteya::ledger::{ListFilter, Room, Status, VideoPatch};
use subiteya::outcome::Outcome;

use super::database::{Database, New, Server, claim, leased};
use super::filled::{ended, waiting};

/// The median of some runs.
async fn timed<F: Future<Output = ()>>(mut act: impl FnMut() -> F) -> f64 {
    let mut times = Vec::new();
    for _ in 0..15 {
        let started = Instant::now();
        act().await;
        times.push(started.elapsed());
    }
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a bench of minutes: fills a million videos"]
async fn a_million_videos_make_nothing_slower() {
    let largest = std::env::var("LEDGER_VIDEOS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    println!("milliseconds, median of 15; 10,000 tasks wait besides\n{:>12} {:>10}", "", "ended");
    for number in [100, 10_000, largest] {
        let mut server = Server::sqlite();
        figures("SQLite", number, server.database("million").await).await;
        let mut server = Server::postgresql().await;
        figures("PostgreSQL", number, server.database("million").await).await;
    }
}

async fn figures(name: &str, number: usize, db: Database) {
    let raw = db.raw().await;
    ended(&raw, number).await;
    waiting(&raw, 10_000).await;
    raw.run("analyze").await;
    let ledger = &db.ledger;
    let list = |filter: ListFilter| async move {
        ledger.videos(&ListFilter { limit: 50, ..filter }).await.expect("a list");
    };
    let release = timed(|| async {
        let tx = db.tx().await;
        let room = Room { queued: 100, per_creator: Some(1), at_once: None, permits: None };
        tx.release(Stage::Publish, room).await.expect("released");
    });
    let user = || ListFilter { user: Some("u1".into()), status: Some(Status::Failed), ..ListFilter::default() };
    let search = |text: &str| ListFilter { text: Some(text.into()), ..ListFilter::default() };
    let figures = [
        ("release", release.await),
        ("lease+settle", timed(|| lease_and_settle(&db)).await),
        ("list", timed(|| list(ListFilter::default())).await),
        ("list by user and status", timed(|| list(user())).await),
        ("search, found", timed(|| list(search("number 7"))).await),
        ("search, missed", timed(|| list(search("nowhere"))).await),
        (
            "demand",
            timed(|| async { _ = ledger.ready(Stage::Publish, Some(1), 1 << 40).await.expect("counted") }).await,
        ),
        (
            "demand, no limit",
            timed(|| async { _ = ledger.ready(Stage::Edit, None, 1 << 40).await.expect("counted") }).await,
        ),
        ("stage counts", timed(|| async { _ = ledger.stage_counts(Stage::Publish, 0).await.expect("counted") }).await),
        (
            "status counts",
            timed(|| async { _ = ledger.status_counts(number as i64 - 1_000).await.expect("counted") }).await,
        ),
    ];
    let shown: Vec<String> = figures.iter().map(|(what, time)| format!("{what} {time:.1}")).collect();
    println!("{name:>12} {number:>10}  {}", shown.join(" · "));
}

async fn lease_and_settle(db: &Database) {
    let tx = db.tx().await;
    let task = New::of(Stage::Edit, "a1").insert(&tx).await;
    let row = tx.task(task.id).await.expect("read").expect("a row").task;
    let running = leased(&row, claim(30, "1-0"), tx.now());
    tx.put_task(&row, &running).await.expect("leased");
    tx.commit().await.expect("committed");
    let tx = db.tx().await;
    let row = tx.task(task.id).await.expect("read").expect("a row").task;
    let done = row.settle(running.token.expect("a token"), &Outcome::Done, 2, Duration::ZERO, tx.now());
    tx.put_task(&row, &done.expect("settled")).await.expect("settled");
    let posted = VideoPatch { status: Some(Status::Posted), ..VideoPatch::default() };
    tx.patch_video(task.video, posted).await.expect("patched");
    tx.note(task.video, Some(Stage::Edit), "done", json!({})).await.expect("noted");
    tx.commit().await.expect("committed");
}

/// Ten processes that do nothing but write: how long one of them waits for its turn at the file. No lease should be
/// shorter than three times that.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a bench"]
async fn how_long_a_write_waits_on_sqlite() {
    let mut server = Server::sqlite();
    let db = server.database("writers").await;
    let seconds = std::env::var("LEDGER_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    for pause in [0, 5, 50] {
        let until = Instant::now() + Duration::from_secs(seconds);
        let writers = (0..10).map(|_| async {
            let ledger = db.another().await;
            let tx = ledger.begin().await.expect("begin");
            let task = New::of(Stage::Edit, "ada").insert(&tx).await;
            tx.commit().await.expect("committed");
            let mut waits = Vec::new();
            while Instant::now() < until {
                let asked = Instant::now();
                let tx = ledger.begin().await.expect("begin");
                waits.push(asked.elapsed());
                let row = tx.task(task.id).await.expect("read").expect("a row").task;
                let next = subiteya::task::Task { lease_until: row.lease_until + 1, ..row.clone() };
                tx.put_task(&row, &next).await.expect("renewed");
                let mut limit = tx.limit("publish").await.expect("read");
                limit.open_at += 1;
                tx.put_limit("publish", &limit).await.expect("moved");
                tx.patch_video(task.video, VideoPatch::default()).await.expect("patched");
                tx.note(task.video, Some(Stage::Edit), "done", json!({})).await.expect("noted");
                tx.commit().await.expect("committed");
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            waits
        });
        let mut waits: Vec<Duration> = futures::future::join_all(writers).await.into_iter().flatten().collect();
        waits.sort();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        println!(
            "10 writers, {pause} ms between writes: {} writes in {seconds} s; wait p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}",
            waits.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
}
