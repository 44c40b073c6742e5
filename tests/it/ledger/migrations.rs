//! The schema's way up, down and up, from every release, by many processes at once.

use std::process::{Child, Command, Stdio};

use sha2::{Digest, Sha256};
use subiteya::event::Stage;
use subiteya::ledger::{ListFilter, Role, Room, Status, migrate_down, migration_status};
use subiteya::task::State;

use super::database::{Database, Raw, Server, open};
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;

const RELEASED: [(&str, &str); 1] = [("0.1.0", include_str!("released/0.1.0.sql"))];

on_both!(up_down_and_up, from_every_release, a_newer_schema_is_left_alone);

/// What is released is history: databases that were made by it are not made anew.
#[test]
fn a_released_migration_is_never_edited() {
    let frozen = [("m0001_first", include_str!("../../../migrations/m0001_first.rs"), FIRST)];
    for (name, file, hash) in frozen {
        let found: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, hash, "{name} is released; a change of the schema is a migration of its own");
    }
}

const FIRST: &str = "600784b4b80f1b74c9bdbaa44f816da2534df86ae9d325eca318da97149bad52";

/// Every table and index, and how it was made.
async fn schema(raw: &Raw) -> Vec<String> {
    let sql = match raw.backend() {
        sea_orm::DbBackend::Sqlite => "select name || ' ' || coalesce(sql, '') from sqlite_master order by 1",
        _ => {
            "select indexdef from pg_indexes where schemaname = 'public' union all
             select table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable from information_schema.columns
             where table_schema = 'public' order by 1"
        }
    };
    raw.all(sql, vec![]).await.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

async fn up_down_and_up(db: Database) {
    let raw = db.raw().await;
    let new = schema(&raw).await;
    let applied = || async { migration_status(&db.url).await.unwrap() };
    assert!(applied().await.iter().all(|(_, applied)| *applied));
    let steps = applied().await.len();
    for left in (0..steps).rev() {
        migrate_down(&db.url, Some(1)).await.unwrap();
        assert_eq!(applied().await.iter().filter(|(_, applied)| *applied).count(), left);
    }
    let left = schema(&raw).await;
    assert!(left.iter().all(|one| one.contains("seaql_migrations")), "{left:?}");
    drop(open(&db.url).await);
    assert_eq!(schema(&raw).await, new);
    migrate_down(&db.url, None).await.unwrap();
    drop(open(&db.url).await);
    assert_eq!(schema(&raw).await, new);
}

async fn from_every_release(db: Database) {
    let raw = db.raw().await;
    let new = schema(&raw).await;
    for (release, dump) in RELEASED {
        migrate_down(&db.url, None).await.unwrap();
        raw.run("drop table seaql_migrations").await;
        // SQLite's driver takes one statement at a time.
        for statement in dump.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            raw.run(statement).await;
        }
        let ledger = open(&db.url).await;
        let made: Vec<String> = schema(&raw).await.into_iter().filter(|one| !one.contains("seaql")).collect();
        let new: Vec<&String> = new.iter().filter(|one| !one.contains("seaql")).collect();
        let flat = |one: &String| one.split_whitespace().collect::<String>();
        assert_eq!(
            made.iter().map(flat).collect::<Vec<_>>(),
            new.into_iter().map(flat).collect::<Vec<_>>(),
            "{release}"
        );
        rows_of_the_first_release(&Database { ledger, url: db.url.clone() }).await;
    }
}

async fn rows_of_the_first_release(db: &Database) {
    let ledger = &db.ledger;
    let all = ledger.videos(&ListFilter { limit: 9, ..ListFilter::default() }).await.unwrap().videos;
    assert_eq!(
        all.iter().map(|video| video.title.as_str()).collect::<Vec<_>>(),
        ["has failed", "was posted", "🎬 \"waits\" 100%"]
    );
    assert_eq!(
        (all[2].source_size, all[2].publish_at, all[2].status),
        (5_000_000_000, Some(1_900_000_000_000), Status::Edited)
    );
    assert_eq!(all[1].post_ids, ["777"]);
    assert_eq!(all[0].reason.as_ref().unwrap().text, "FFmpeg says: 'no'");
    let waiting = ledger.task_of(all[2].id, Stage::Publish).await.unwrap().unwrap();
    assert_eq!((waiting.task.state, waiting.task.seq, waiting.task.attempts), (State::Waiting, 40, 1));
    assert_eq!(waiting.task.wait.unwrap().code, "rate_limit");
    let running = ledger.task_of(all[1].id, Stage::Confirm).await.unwrap().unwrap().task;
    assert_eq!((running.takeovers, running.lease_until, running.token.is_some()), (1, 99, true));
    let publication = ledger.publication(all[2].id).await.unwrap().unwrap();
    assert_eq!((publication.generation, publication.version, publication.inits), (2, 7, 3));
    assert_eq!(ledger.history(all[2].id).await.unwrap().len(), 2);
    let ada = ledger.account("ada").await.unwrap().unwrap();
    assert_eq!((ada.display_name.as_str(), ada.token_version), ("Ada ✨ O'Hara", 3));
    assert!(ledger.account("bob").await.unwrap().is_none(), "he was removed");
    assert_eq!(ledger.limit("publish/open_ada").await.unwrap().cells, [1, 2, 3]);
    assert_eq!(ledger.pauses().await.unwrap().len(), 2);
    assert_eq!(ledger.key_by_hash("hash1").await.unwrap().unwrap().role, Role::Creator);
    assert_eq!(ledger.usage("2026-11").await.unwrap()[0].commands, 42);
    assert_eq!(ledger.idempotent("ann", "key", 0).await.unwrap().unwrap().1, all[2].id);
    assert_eq!(ledger.setting("instance").await.unwrap().unwrap(), "01900000-0000-7000-8000-0000000000aa");
    assert_eq!(ledger.dead_entries(9).await.unwrap().len(), 1);
    // And it goes on from there: what waits resumes under the next number.
    let out = db.release(Stage::Publish, Room { queued: 9, per_creator: Some(1), at_once: None, permits: None }).await;
    assert_eq!(out, ["ada"]);
    let raw = db.raw().await;
    assert_eq!(raw.number("select max(seq) from tasks").await, 42);
    assert_eq!(raw.number("select pass from turns where stage = 'publish' and priority = 2").await, 100);
}

async fn a_newer_schema_is_left_alone(db: Database) {
    let raw = db.raw().await;
    raw.run("insert into seaql_migrations (version, applied_at) values ('m9999_future', 1)").await;
    let before = schema(&raw).await;
    let folder = tempfile::tempdir().unwrap();
    for args in [&["migrate", "up"][..], &["migrate", "status"], &["migrate", "down", "--yes"], &["keys", "list"]] {
        let output = command(folder.path(), &db.url, args).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{args:?}: {said}");
        assert!(said.contains("newer SubiteYa") && said.contains("m9999_future"), "{args:?}: {said}");
    }
    assert_eq!(schema(&raw).await, before);
}

fn command(folder: &std::path::Path, url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subiteya"));
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("DATABASE_URL", url)
        .env("ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef")
        .env("PORT", "0");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_start_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (redis, postgres) = (Redis::start().await, Postgres::start().await);
    let sqlite = format!("sqlite://{}", folder.path().join("fresh.db").display());
    for url in [sqlite, postgres.url()] {
        let start = |args: &[&str]| -> Child {
            let mut command = command(folder.path(), &url, args);
            command.env("REDIS_URL", redis.url()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("it starts")
        };
        let mut servers = [start(&["serve"]), start(&["serve"])];
        for child in [start(&["migrate", "up"]), start(&["migrate", "up"]), start(&["migrate", "status"])] {
            let output = child.wait_with_output().expect("it ends");
            assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        }
        for server in &mut servers {
            assert!(matches!(server.try_wait(), Ok(None)), "it goes on");
            server.kill().expect("killed");
            server.wait().expect("reaped");
        }
        assert!(migration_status(&url).await.unwrap().iter().all(|(_, applied)| *applied));
    }
}

/// The dump is what the first release makes: the same SQL on both databases.
#[tokio::test(flavor = "multi_thread")]
async fn the_dump_is_the_schema_of_its_release() {
    let db = Server::sqlite().database("dump").await;
    let steps = u32::try_from(migration_status(&db.url).await.unwrap().len() - 1).unwrap();
    migrate_down(&db.url, Some(steps)).await.unwrap();
    let flat = |text: &str| text.split_whitespace().collect::<String>();
    let dump = flat(RELEASED[0].1);
    for one in db.raw().await.all("select sql from sqlite_master where sql is not null", vec![]).await {
        let sql: String = one.try_get_by_index(0).unwrap();
        let sql = sql.replacen("CREATE TABLE", "create table", 1).replacen("CREATE INDEX", "create index", 1);
        assert!(sql.contains("seaql") || dump.contains(&flat(&sql)), "{sql}");
    }
}
