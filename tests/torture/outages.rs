//! What else the pipeline stands on, broken under load: the database, the disks, a worker's wall clock.

use std::time::Duration;

use futures::future::join_all;
use rustix::process::Signal;

use crate::checker;
use crate::load;
use crate::pipeline::{Database, Pipeline, Process};
use crate::support::clock;
use crate::support::disk::Disk;
use crate::support::fleet::Fleet;

/// Longer than a lease.
const A_WHILE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// PostgreSQL dies, and is back after a while.
    DatabaseKilled,
    /// PostgreSQL answers nobody for a while.
    DatabaseFrozen,
    /// No room for the SQLite file to grow.
    DatabaseFull,
    /// No room where the workers do their work.
    SpoolFull,
    /// One worker's wall clock jumps an hour ahead, then two back, and another takes over from it.
    ClockJumps,
}

impl Outage {
    pub(crate) fn of(database: Database) -> &'static [Self] {
        match database {
            Database::Sqlite => &[Self::DatabaseFull, Self::SpoolFull, Self::ClockJumps],
            Database::Postgres => &[Self::DatabaseKilled, Self::DatabaseFrozen, Self::SpoolFull, Self::ClockJumps],
        }
    }

    fn fills_a_disk(self) -> bool {
        matches!(self, Self::DatabaseFull | Self::SpoolFull)
    }
}

/// On an installation of its own, which is checked as a whole afterwards.
pub(crate) async fn suffer(database: Database, outage: Outage) -> Result<(), String> {
    // Gone after what stands on it.
    let disk = if outage.fills_a_disk() { Disk::of("16m") } else { None };
    if outage.fills_a_disk() && disk.is_none() {
        return Ok(());
    }
    let mut pipeline = Pipeline::new(database).await;
    let ids = match &disk {
        Some(disk) => fill(&mut pipeline, outage, disk).await,
        None if outage == Outage::ClockJumps => clock_jumps(&mut pipeline).await,
        None => stop_database(&mut pipeline, outage).await,
    };
    let mut wrong: Vec<String> = load::all_posted(&pipeline, &ids).await.err().into_iter().collect();
    wrong.extend(checker::whole(&pipeline.fleet, &[]).await);
    if wrong.is_empty() { Ok(()) } else { Err(format!("{outage:?}: {}\n{}", wrong.join("\n"), pipeline.fleet.logs())) }
}

async fn stop_database(pipeline: &mut Pipeline, outage: Outage) -> Vec<String> {
    let mut ids = load::upload(pipeline).await;
    load::meanwhile().await;
    let postgres = pipeline.postgres.as_mut().expect("a server of its own");
    if outage == Outage::DatabaseKilled {
        postgres.kill().await;
        tokio::time::sleep(A_WHILE).await;
        postgres.restart().await;
    } else {
        postgres.signal(Signal::STOP);
        tokio::time::sleep(A_WHILE).await;
        postgres.signal(Signal::CONT);
    }
    pipeline.fleet.ready().await;
    ids.extend(load::upload(pipeline).await);
    ids
}

async fn fill(pipeline: &mut Pipeline, outage: Outage, disk: &Disk) -> Vec<String> {
    let folder = disk.folder();
    let moved = |fleet: &mut Fleet| {
        if outage == Outage::SpoolFull {
            let spool = fleet.data().join("spool");
            std::fs::remove_dir_all(&spool).expect("removed");
            std::os::unix::fs::symlink(&folder, &spool).expect("linked");
            return;
        }
        for end in ["", "-wal", "-shm"] {
            let name = format!("subiteya.db{end}");
            std::fs::copy(fleet.data().join(&name), folder.join(&name)).ok();
        }
        fleet.set("DATABASE_URL", &format!("sqlite://{}", folder.join("subiteya.db").display()));
    };
    pipeline.at_rest(moved).await;
    let mut ids = load::upload(pipeline).await;
    disk.fill();
    // Some find no room.
    ids.extend(load::upload(pipeline).await);
    tokio::time::sleep(A_WHILE).await;
    disk.empty();
    ids.extend(load::upload(pipeline).await);
    ids
}

async fn clock_jumps(pipeline: &mut Pipeline) -> Vec<String> {
    let file = pipeline.fleet.folder.path().join("clock");
    pipeline.kill(Process::Work);
    pipeline.start_under(Process::Work, "", &clock::jumping(&file));
    pipeline.start(Process::Second, "");
    let mut ids = Vec::new();
    for by in ["+1h", "-1h"] {
        ids.extend(load::upload(pipeline).await);
        load::meanwhile().await;
        clock::jump(&file, by);
        load::meanwhile().await;
    }
    ids.extend(load::upload(pipeline).await);
    load::meanwhile().await;
    pipeline.kill(Process::Work);
    ids
}

async fn each_once(database: Database) {
    let came = Outage::of(database).iter().map(|&outage| Box::pin(suffer(database, outage)));
    let wrong: Vec<String> = join_all(came).await.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disks_and_a_clock_that_jumps_cost_time_only_on_sqlite() {
    each_once(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_or_frozen_database_full_disks_and_a_clock_that_jumps_cost_time_only_on_postgresql() {
    each_once(Database::Postgres).await;
}
