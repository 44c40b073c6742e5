//! What an error means is told alike by both databases.

use sea_orm::{ConnectionTrait, DbErr};
use subiteya::event::{Stage, VideoId};
use subiteya::ledger::{Ledger, LedgerError};

use super::database::{Database, New, open};
use crate::support::postgres::Postgres;

on_both!(what_is_there_already_is_a_conflict, what_makes_no_sense_is_refused, nothing_is_half_done);

async fn what_is_there_already_is_a_conflict(db: Database) {
    let task = db.task(New::of(Stage::Edit, "ada")).await;
    let tx = db.tx().await;
    let row = tx.task(task.id).await.unwrap().unwrap();
    let second = subiteya::task::Task::new(task.video, Stage::Edit, 0);
    let again = tx.insert_task(&subiteya::ledger::TaskRow { task: second, ..row }).await;
    assert!(matches!(again, Err(LedgerError::Conflict)), "one task of a stage and a video: {again:?}");
}

async fn what_makes_no_sense_is_refused(db: Database) {
    let raw = sea_orm::Database::connect(&db.url).await.unwrap();
    for sql in ["select * from nowhere", "insert into pauses (name) values ('x')", "selec"] {
        let error: DbErr = raw.execute_unprepared(sql).await.unwrap_err();
        let error = LedgerError::from(error);
        assert!(matches!(error, LedgerError::Refused(_)), "{sql}: {error:?}");
    }
    raw.execute_unprepared("update counters set value = value").await.unwrap();
    let task = db.task(New::of(Stage::Edit, "ada")).await;
    raw.execute_unprepared("update tasks set state = 'lost'").await.unwrap();
    assert!(matches!(db.ledger.task(task.id).await, Err(LedgerError::Corrupt(_))));
}

async fn nothing_is_half_done(db: Database) {
    let video = VideoId::new();
    let tx = db.tx().await;
    tx.note(video, None, "uploaded", serde_json::json!({})).await.unwrap();
    drop(tx);
    assert!(db.ledger.history(video).await.unwrap().is_empty(), "dropped without a commit, it never was");
    let tx = db.tx().await;
    tx.note(video, None, "uploaded", serde_json::json!({})).await.unwrap();
    assert!(db.ledger.history(video).await.unwrap().is_empty(), "nobody sees it before the commit");
    tx.commit().await.unwrap();
    assert_eq!(db.ledger.history(video).await.unwrap().len(), 1);
}

/// What a settlement meets while another process writes for longer than SQLite waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waited_too_long_can_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
    let ledger = open(&url).await;
    let held = ledger.begin().await.unwrap();
    let impatient = sea_orm::Database::connect(&url).await.unwrap();
    impatient.execute_unprepared("pragma busy_timeout = 10").await.unwrap();
    let error = impatient.execute_unprepared("update counters set value = 1").await.unwrap_err();
    assert!(matches!(LedgerError::from(error), LedgerError::Unavailable(_)));
    held.commit().await.unwrap();
    impatient.execute_unprepared("update counters set value = 1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_died_is_unavailable_until_it_is_back() {
    async fn write(ledger: &Ledger) -> Result<(), LedgerError> {
        let tx = ledger.begin().await?;
        tx.put_setting("a", "1").await?;
        tx.commit().await
    }
    let mut postgres = Postgres::start().await;
    let ledger = open(&postgres.url()).await;
    write(&ledger).await.unwrap();
    postgres.kill().await;
    // Its backends live on for a moment.
    crate::support::eventually("it is away", std::time::Duration::from_secs(40), || async {
        match write(&ledger).await {
            Ok(()) => false,
            Err(LedgerError::Unavailable(_)) => true,
            Err(other) => panic!("{other:?}"),
        }
    })
    .await;
    postgres.restart().await;
    crate::support::eventually("it writes again", std::time::Duration::from_secs(20), || async {
        write(&ledger).await.is_ok()
    })
    .await;
    assert_eq!(ledger.setting("a").await.unwrap().as_deref(), Some("1"));
}
