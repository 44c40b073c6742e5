//! Ledgers as large as years of work make them, and what that costs. The tables are filled by the database itself.
//!
//! ```sh
//! cargo test --test it -- --ignored --nocapture ledger::million
//! ```

use std::time::{Duration, Instant};

use serde_json::json;
use subiteya::event::Stage;
use subiteya::ledger::{ListFilter, Room, Status, VideoPatch};
use subiteya::outcome::Outcome;

use super::database::{Database, New, Raw, Server, claim, leased};

/// Rows 1 to `number`, as `n.i`.
fn numbers(number: usize) -> String {
    format!("(with recursive c (i) as (select 1 union all select i + 1 from c where i < {number}) select i from c) n")
}

/// A text id that sorts by its number, in the form of a version 7 UUID; `kind` keeps tables apart.
fn id(kind: &str, raw: &Raw) -> String {
    let hex =
        if raw.backend() == sea_orm::DbBackend::Sqlite { "printf('%012x', n.i)" } else { "lpad(to_hex(n.i), 12, '0')" };
    format!("'01990000-0000-7000-8{kind}-' || {hex}")
}

/// Videos that have a row and nothing else.
pub(super) async fn videos(raw: &Raw, number: usize, status: &str) {
    let id = id("001", raw).replace("01990000", "ff000000");
    insert_videos(raw, number, &id, status, "u1", "a1").await;
}

async fn insert_videos(raw: &Raw, number: usize, id: &str, status: &str, user: &str, account: &str) {
    let (user, account) = (of_one_in(user, 20), of_one_in(account, 50));
    raw.run(&format!(
        "insert into videos (id, trace, user_id, account_id, title, options, priority, status, progress, source_key,
            source_size, source_sha256, probe, post_ids, created_at, updated_at, ended_at)
         select {id}, {id}, {user}, {account}, 'A clip of number ' || n.i, '{{}}', n.i % 3, '{status}', 100,
            'videos/source', 1, 'hash', '{{}}', '[]', n.i, n.i, n.i from {}",
        numbers(number)
    ))
    .await;
}

/// `a1` stands for itself, `a` for a1 to a50.
fn of_one_in(name: &str, many: usize) -> String {
    if name.ends_with(char::is_numeric) { format!("'{name}'") } else { format!("'{name}' || (n.i % {many} + 1)") }
}

async fn insert_tasks(raw: &Raw, number: usize, stage: Stage, kind: &str, state: &str, columns: &str) {
    let (id, video) = (
        id(&format!("{}0{}", &stage.as_str()[..1].replace('p', "b").replace('c', "d"), kind), raw),
        id(kind_of(kind), raw),
    );
    raw.run(&format!(
        "insert into tasks (id, video_id, stage, account_id, creator, priority, state, attempts, takeovers, permitted,
            due_at, seq, queued_at, entry, started_at, lease_until)
         select {id}, {video}, '{stage}', 'a' || (n.i % 50 + 1), 'c' || (n.i % 50 + 1), n.i % 3, '{state}', 0, 0, 0,
            {columns} from {}",
        numbers(number)
    ))
    .await;
}

fn kind_of(kind: &str) -> &'static str {
    if kind == "1" { "001" } else { "002" }
}

/// Videos that were posted, with all that stays of them.
pub(super) async fn ended(raw: &Raw, number: usize) {
    let video = id("001", raw);
    insert_videos(raw, number, &video, "POSTED", "u", "a").await;
    for stage in Stage::ALL {
        insert_tasks(raw, number, stage, "1", "done", "n.i, n.i, n.i, (1000000 + n.i) || '-0', n.i, 0").await;
    }
    raw.run(&format!(
        "insert into publications (video_id, account_id, generation, version, publish_id, final_started, inits, record, updated_at)
         select {video}, 'a1', 1, 5, 'v_' || n.i, 1, 1, '{{}}', n.i from {}",
        numbers(number)
    ))
    .await;
    raw.run(&format!(
        "insert into history (id, video_id, at, event, detail) select {}, {video}, n.i, 'posted', '{{}}' from {}",
        id("003", raw),
        numbers(number)
    ))
    .await;
}

/// Half of these wait for edit and half for publish, a tenth of them for a time that is still to come.
pub(super) async fn waiting(raw: &Raw, number: usize) {
    raw.run(&format!(
        "insert into accounts (id, user_id, open_id, display_name, state, access_token, refresh_token, access_expires_at,
            refresh_at, token_version, refresh_until, brand, created_at)
         select 'a' || n.i, 'u' || (n.i % 20 + 1), 'c' || n.i, 'An account', 'ACTIVE', 'x', 'x', 0, 0, 1, 0, '{{}}', 0 from {}",
        numbers(50)
    ))
    .await;
    insert_videos(raw, number, &id("002", raw), "EDITED", "u", "a").await;
    let due = "case when n.i % 10 = 0 then 9000000000000 else n.i end, 0, 0, null, null, 0";
    insert_tasks(raw, number / 2, Stage::Edit, "2", "waiting", due).await;
    insert_tasks(raw, number, Stage::Publish, "2", "waiting", due).await;
}

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
