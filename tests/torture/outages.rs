//! What else the pipeline stands on, broken under load: the database, the disks, a worker's wall clock.

use std::path::Path;
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
    /// No room for the database to grow.
    DatabaseFull,
    /// No room where the workers do their work.
    SpoolFull,
    /// One worker's wall clock jumps an hour ahead, then two back, and another takes over from it.
    ClockJumps,
}

impl Outage {
    /// What can be tried here.
    pub(crate) fn of(database: Database) -> Vec<Self> {
        let of_the_server: &[Self] = match database {
            Database::Sqlite => &[],
            Database::Postgres => &[Self::DatabaseKilled, Self::DatabaseFrozen],
        };
        let of_disks: &[Self] = if Disk::of("1m").is_some() { &[Self::DatabaseFull, Self::SpoolFull] } else { &[] };
        [of_the_server, of_disks, &[Self::ClockJumps]].concat()
    }
}

/// On an installation of its own, which is checked as a whole afterwards.
pub(crate) async fn suffer(database: Database, outage: Outage) -> Result<(), String> {
    // Gone after what stands on it.
    let disk;
    let mut pipeline = Pipeline::new(database).await;
    let ids = match outage {
        Outage::DatabaseKilled | Outage::DatabaseFrozen => stop_database(&mut pipeline, outage).await,
        Outage::ClockJumps => clock_jumps(&mut pipeline).await,
        Outage::DatabaseFull | Outage::SpoolFull => {
            disk = Disk::of("128m").expect("a disk, as there was one before");
            fill(&mut pipeline, outage, &disk).await
        }
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
    if outage == Outage::DatabaseFull
        && let Some(postgres) = &mut pipeline.postgres
    {
        postgres.move_to(&folder).await;
        pipeline.fleet.ready().await;
    } else {
        pipeline
            .at_rest(
                |fleet| {
                    if outage == Outage::SpoolFull { move_spool(fleet, &folder) } else { move_sqlite(fleet, &folder) }
                },
            )
            .await;
    }
    let mut ids = load::upload(pipeline).await;
    disk.fill();
    // Some find no room.
    ids.extend(load::upload(pipeline).await);
    tokio::time::sleep(A_WHILE).await;
    disk.empty();
    if let Some(postgres) = &mut pipeline.postgres {
        postgres.restart_if_down().await;
        pipeline.fleet.ready().await;
    }
    ids.extend(load::upload(pipeline).await);
    ids
}

fn move_spool(fleet: &Fleet, folder: &Path) {
    let spool = fleet.data().join("spool");
    std::fs::remove_dir_all(&spool).expect("removed");
    std::os::unix::fs::symlink(folder, &spool).expect("linked");
}

fn move_sqlite(fleet: &mut Fleet, folder: &Path) {
    for end in ["", "-wal", "-shm"] {
        let name = format!("subiteya.db{end}");
        std::fs::copy(fleet.data().join(&name), folder.join(&name)).ok();
    }
    fleet.set("DATABASE_URL", &format!("sqlite://{}", folder.join("subiteya.db").display()));
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
    let came = Outage::of(database).into_iter().map(|outage| Box::pin(suffer(database, outage)));
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
