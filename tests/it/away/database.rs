//! The database away for longer than three leases, during an edit and during a publish.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use subiteya::ledger::Ledger;

use super::{MOVES, all_posted, get, logs_are_readable, not_unavailable, objects, upload};
use crate::support::disk::Disk;
use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE, SLOW_BRAND, SOON, clip};
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;

const THREE_LEASES: Duration = Duration::from_secs(10);
/// What is refused before the database is asked: a sign-in from another page, a webhook without a signature.
const NEED_NO_DATABASE: [&str; 2] = ["/api/session: 403", "/api/webhooks/tiktok: 401"];
const PROCESSES: [&str; 5] = ["serve", "edit", "edit2", "publish", "publish2"];

/// One video in the middle of its encode, one in the middle of its upload to TikTok, and idle workers who would take
/// either over.
struct Underway {
    fleet: Fleet,
    videos: Vec<String>,
    ffmpegs: Vec<u32>,
    /// As the API describes itself.
    routes: Value,
}

impl Underway {
    async fn on(services: &[(&str, String)]) -> Self {
        let mut fleet = Fleet::on(LOOSE, services, |_| {}).await;
        fleet.start_all().await;
        fleet.start_again("edit2");
        fleet.start_again("publish2");
        for name in ["ada", "bob"] {
            fleet.account(name).await;
        }
        let brand = [("brand", SLOW_BRAND)];
        let edited = fleet.try_upload("ada", "edited meanwhile", &brand, clip()).await.expect("accepted");
        fleet.until(&edited, "EDITING").await;
        let routes = get(&fleet, "/api/openapi.json").await.json();
        let mut underway = Self { fleet, videos: vec![edited], ffmpegs: Vec::new(), routes };
        eventually("the encode is held", SOON, || {
            underway.ffmpegs = underway.fleet.ffmpegs();
            underway.encode(Signal::STOP);
            // One that was just ending is gone by now.
            let held = !underway.ffmpegs.is_empty() && underway.fleet.ffmpegs() == underway.ffmpegs;
            async move { held }
        })
        .await;
        underway.fleet.faults(&["chunk:delay=12s"]);
        let published = underway.fleet.upload("bob", "published meanwhile").await;
        underway.fleet.faults_taken().await;
        Self { videos: vec![underway.videos[0].clone(), published], ..underway }
    }

    fn encode(&self, signal: Signal) {
        for &pid in &self.ffmpegs {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
            kill_process(pid, signal).ok();
        }
    }

    /// Asks while the database is away, for as long as three leases at least. The encode ends meanwhile, so that its
    /// settlement finds no database.
    async fn ask(&self, reads: bool) {
        let began = Instant::now();
        let fleet = &self.fleet;
        let stored = objects(fleet);
        self.encode(Signal::CONT);
        let video = format!("/api/videos/{}", self.videos[0]);
        let (uploaded, read, page, ready) =
            tokio::join!(upload(fleet, "ada", "refused"), get(fleet, &video), get(fleet, "/"), get(fleet, "/readyz"));
        uploaded.is_unavailable("ledger_unavailable");
        assert_eq!(ready.json()["redis"], "connected", "{ready:?}");
        if reads {
            assert_eq!((read.status, page.status), (200, 200), "{read:?} {page:?}");
        } else {
            read.is_unavailable("ledger_unavailable");
            assert_eq!((page.status, ready.status), (503, 503), "{page:?} {ready:?}");
            assert!(page.kind.starts_with("text/html") && page.text.contains("database is away"), "{page:?}");
            assert!(page.retry_after.is_some() && ready.retry_after.is_some(), "{page:?} {ready:?}");
            assert_eq!(not_unavailable(fleet, &self.routes, &self.videos[0], "ada").await, NEED_NO_DATABASE);
        }
        eventually("what came in is gone again", MOVES, || async { objects(fleet) == stored }).await;
        eventually("the encode is over", SOON, || async { fleet.ffmpegs().is_empty() }).await;
        tokio::time::sleep(THREE_LEASES.saturating_sub(began.elapsed())).await;
    }

    /// The database is back.
    async fn goes_on(self) {
        let fleet = &self.fleet;
        let moved = || async {
            let answer = get(fleet, &format!("/api/videos/{}", self.videos[0])).await;
            answer.status == 200
                && !["EDITING", "EDITING_QUEUED"]
                    .contains(&answer.json()["video"]["status"].as_str().expect("a status"))
        };
        let deadline = Instant::now() + MOVES;
        while !moved().await {
            assert!(Instant::now() < deadline, "the edit's end was not written\n{}", fleet.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        eventually("uploads are accepted again", MOVES, || async {
            upload(fleet, "ada", "after it").await.status == 201
        })
        .await;
        all_posted(fleet, &self.videos).await;
        for video in &self.videos {
            let events = Fleet::events(&fleet.video(video).await);
            for once in ["edit/started", "publish/init"] {
                assert_eq!(events.iter().filter(|event| *event == once).count(), 1, "{events:?}");
            }
        }
        logs_are_readable(fleet, &PROCESSES);
        assert!(fleet.posts("refused").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgresql_costs_no_attempt_and_nobody_takes_live_work_over() {
    let mut postgres = Postgres::start().await;
    let underway = Underway::on(&[("DATABASE_URL", postgres.url())]).await;
    postgres.kill().await;
    underway.ask(false).await;
    postgres.restart().await;
    underway.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_postgresql_holds_no_request_up_and_nobody_takes_live_work_over() {
    let postgres = Postgres::start().await;
    let underway = Underway::on(&[("DATABASE_URL", postgres.url())]).await;
    postgres.signal(Signal::STOP);
    underway.ask(false).await;
    postgres.signal(Signal::CONT);
    underway.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_is_cut_off_without_a_word_is_found_again_on_new_connections() {
    let postgres = Postgres::start().await;
    let proxy = Proxy::before(&postgres.socket()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/subiteya", proxy.port());
    let underway = Underway::on(&[("DATABASE_URL", url)]).await;
    proxy.mute();
    underway.ask(false).await;
    // The old connections stay dead.
    proxy.open();
    underway.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_only_reads_refuses_uploads_and_serves_reads() {
    let postgres = Postgres::start().await;
    let mut fleet = Fleet::on(LOOSE, &[("DATABASE_URL", postgres.url())], |_| {}).await;
    fleet.start_all().await;
    fleet.account("ada").await;
    let only_reads = |on: &str| {
        let set = format!("alter database subiteya set default_transaction_read_only = {on}");
        postgres.sql("postgres", &set);
        // As after a failover: whoever is connected has to come again.
        postgres.sql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'subiteya'");
    };
    only_reads("on");
    eventually("an upload is refused", MOVES, || async {
        let answer = upload(&fleet, "ada", "refused").await;
        assert!(matches!(answer.status, 201 | 503), "{answer:?}");
        answer.status == 503
    })
    .await;
    upload(&fleet, "ada", "refused").await.is_unavailable("ledger_unavailable");
    // The connections that were ended are found one by one.
    eventually("reads are served", MOVES, || async { get(&fleet, "/api/videos").await.status == 200 }).await;
    only_reads("off");
    eventually("uploads are accepted again", MOVES, || async { upload(&fleet, "ada", "after it").await.status == 201 })
        .await;
    logs_are_readable(&fleet, &PROCESSES[..2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_that_another_process_has_locked_refuses_uploads_and_serves_reads() {
    let underway = Underway::on(&[]).await;
    let other = underway.fleet.ledger().await;
    let lock = other.begin().await.expect("the lock");
    underway.ask(true).await;
    drop(lock);
    underway.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_uploads_cleanly_until_there_is_room() {
    let Some(disk) = Disk::of("16m") else { return };
    let url = format!("sqlite://{}", disk.folder().join("subiteya.db").display());
    let mut fleet = Fleet::on(LOOSE, &[("DATABASE_URL", url.clone())], |_| {}).await;
    fleet.start_all().await;
    fleet.account("ada").await;
    let mut videos = vec![fleet.upload("ada", "before").await];
    fleet.posted(&videos[0]).await;
    let stored = objects(&fleet);
    disk.fill();
    // A few small writes still find room in the pages that are there.
    let mut refused = None;
    for number in 0..200 {
        let answer = upload(&fleet, "ada", &format!("squeezed in {number}")).await;
        if answer.status != 201 {
            refused = Some(answer);
            break;
        }
        videos.push(answer.json()["video"]["id"].as_str().expect("an id").to_owned());
    }
    refused.expect("the disk is full").is_unavailable("ledger_unavailable");
    eventually("what came in is gone again", MOVES, || async { objects(&fleet) == stored + videos.len() - 1 }).await;
    disk.empty();
    let deadline = Instant::now() + MOVES;
    loop {
        let answer = upload(&fleet, "ada", "after the full disk").await;
        if answer.status == 201 {
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}\n{}", fleet.logs());
    }
    all_posted(&fleet, &videos).await;
    drop(fleet);
    Ledger::open(&url).await.expect("sound");
}

/// SQLite ends a transaction by itself when it finds no room for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_after_a_full_disk_is_there_for_everybody() {
    let Some(disk) = Disk::of("4m") else { return };
    let url = format!("sqlite://{}", disk.folder().join("subiteya.db").display());
    let ledger = Ledger::open(&url).await.expect("opened");
    let write = async |text: &str| {
        let tx = ledger.begin().await?;
        tx.put_setting("note", text).await?;
        tx.commit().await
    };
    disk.fill();
    for _ in 0..5 {
        write(&"too long ".repeat(100_000)).await.expect_err("no room");
    }
    disk.empty();
    write("after it").await.expect("there is room");
    let other = Ledger::open(&url).await.expect("nobody holds the lock");
    assert_eq!(other.setting("note").await.expect("read").as_deref(), Some("after it"));
}
