//! A transaction over many videos: the same rows as many transactions would write, in few statements, or none of them.

use std::sync::{Arc, Mutex};

use serde_json::json;
use subiteya::event::{Stage, TaskId};
use subiteya::ledger::{LedgerError, Pause, Room, Status, Tx, VideoPatch};
use subiteya::outcome::Outcome;
use subiteya::task::{State, Task};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::database::{Database, New, claim, leased};

on_both!(
    many_are_made_and_go_out_at_once,
    what_has_to_take_its_turn_takes_it,
    one_that_moved_meanwhile_undoes_all,
    what_is_written_behind_is_read,
    two_that_want_the_same_tasks_never_wait_for_each_other,
);

const ROOM: Room = Room { queued: 500, per_creator: None, at_once: Some(100), permits: None };

/// How many statements the ledger sends from this thread.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<Vec<String>>>);

impl Statements {
    fn seen(&self) -> usize {
        self.0.lock().unwrap().drain(..).count()
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Sql<'s>(&'s Statements);
        impl Visit for Sql<'_> {
            fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "sql" {
                    self.0.0.lock().unwrap().push(value.to_owned());
                }
            }
        }
        if event.metadata().target() == "subiteya::sql" {
            event.record(&mut Sql(self));
        }
    }
}

async fn made(tx: &Tx, stage: Stage, number: usize) -> Vec<Task> {
    let mut made = Vec::new();
    for one in 0..number {
        let task = New::of(stage, ["a", "b"][one % 2]).insert(tx).await;
        tx.note(task.video, None, "uploaded", json!({})).await.expect("a line");
        made.push(task);
    }
    made
}

/// From upload to the end of its stage: the number of statements does not grow with the number of videos.
async fn many_are_made_and_go_out_at_once(db: Database) {
    db.account("a").await;
    db.account("b").await;
    let statements = Statements::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(statements.clone()));
    let mut counts = Vec::new();
    for number in [16, 64] {
        statements.seen();
        let tx = db.ledger.gather().await.expect("begin");
        let made = made(&tx, Stage::Edit, number).await;
        let released = tx.release(Stage::Edit, ROOM).await.expect("released");
        tx.commit().await.expect("committed");
        assert_eq!(released.len(), number);
        let mut count = vec![statements.seen()];
        let ids: Vec<TaskId> = released.iter().map(|one| one.entry.task).collect();
        let rows = rows(&db, &made).await;
        assert!(rows.iter().all(|task| task.state == State::Queued && task.queued_at > 0), "{rows:?}");
        // In the order of the entries, and the creators take turns.
        let seqs: Vec<i64> =
            released.iter().map(|one| rows.iter().find(|t| t.id == one.entry.task).unwrap().seq).collect();
        assert!(seqs.is_sorted());
        statements.seen();

        let tx = db.ledger.gather().await.expect("begin");
        tx.read_tasks_ahead(&ids).await.expect("read");
        let mut running = Vec::new();
        for id in &ids {
            let row = tx.task(*id).await.expect("read").expect("a row");
            let lease = leased(&row.task, claim(30, "1-0"), tx.now());
            tx.put_task(&row.task, &lease).await.expect("put");
            tx.patch_video(lease.video, status(Status::Editing)).await.expect("patched");
            running.push(lease);
        }
        tx.commit().await.expect("committed");
        count.push(statements.seen());

        let tx = db.ledger.gather().await.expect("begin");
        tx.read_tasks_ahead(&ids).await.expect("read");
        let videos: Vec<_> = running.iter().map(|task| task.video).collect();
        tx.read_stage_ahead(&videos, Stage::Publish).await.expect("read");
        for old in &running {
            let row = tx.task(old.id).await.expect("read").expect("a row");
            assert_eq!(row.task, *old);
            let token = old.token.expect("a lease");
            let done = old.settle(token, &Outcome::Done, 3, std::time::Duration::ZERO, tx.now()).expect("settled");
            tx.put_task(&row.task, &done).await.expect("put");
            tx.patch_video(old.video, status(Status::Edited)).await.expect("patched");
            assert!(tx.task_of(old.video, Stage::Publish).await.expect("read").is_none());
            let next = Task::new(old.video, Stage::Publish, tx.now());
            tx.insert_task(&subiteya::ledger::TaskRow { task: next, ..row }).await.expect("a task");
        }
        let released = tx.release(Stage::Publish, ROOM).await.expect("released");
        tx.commit().await.expect("committed");
        count.push(statements.seen());
        assert_eq!(released.len(), number);
        for old in &running {
            assert_eq!(db.read(old).await.state, State::Done);
            assert_eq!(db.ledger.video(old.video).await.expect("read").expect("a video").status, Status::Edited);
            assert_eq!(db.ledger.history(old.video).await.expect("read").len(), 1);
        }
        counts.push(count);
    }
    assert_eq!(counts[0], counts[1], "as many statements for 16 as for 64");
    assert!(counts[0].iter().all(|&count| count <= 18), "{counts:?}");
}

async fn rows(db: &Database, tasks: &[Task]) -> Vec<Task> {
    let mut rows = Vec::new();
    for task in tasks {
        rows.push(db.read(task).await);
    }
    rows
}

fn status(status: Status) -> VideoPatch {
    VideoPatch { status: Some(status), ..VideoPatch::default() }
}

/// Where something else waits, an account is paused, or there isn't room for all, the ordered release decides.
async fn what_has_to_take_its_turn_takes_it(db: Database) {
    db.account("a").await;
    db.account("b").await;
    let tx = db.tx().await;
    let pause = Pause { name: Pause::name_of_account("b"), until: None, reason: "a test".into(), set_by: None };
    tx.put_pause(&pause).await.expect("paused");
    tx.commit().await.expect("committed");
    let tx = db.ledger.gather().await.expect("begin");
    let six = made(&tx, Stage::Edit, 6).await;
    let released = tx.release(Stage::Edit, ROOM).await.expect("released");
    tx.commit().await.expect("committed");
    assert_eq!(released.len(), 3, "none of the paused account");
    let waiting: Vec<_> = rows(&db, &six).await.into_iter().filter(|task| task.state == State::Waiting).collect();
    assert_eq!(waiting.len(), 3);
    let tx = db.ledger.gather().await.expect("begin");
    made(&tx, Stage::Edit, 6).await;
    let released = tx.release(Stage::Edit, Room { queued: 5, ..ROOM }).await.expect("released");
    tx.commit().await.expect("committed");
    assert_eq!(released.len(), 2, "no more than there is room for");
}

async fn one_that_moved_meanwhile_undoes_all(db: Database) {
    let (one, other) = (db.task(New::of(Stage::Edit, "a")).await, db.task(New::of(Stage::Edit, "a")).await);
    let tx = db.ledger.gather().await.expect("begin");
    let now = tx.now();
    tx.put_task(&one, &leased(&one, claim(30, "1-0"), now)).await.expect("put");
    // As if somebody had been there before: it does not stand as it is said to.
    let stale = Task { seq: 7, ..other.clone() };
    tx.put_task(&stale, &leased(&other, claim(30, "2-0"), now)).await.expect("found out later");
    assert!(matches!(tx.commit().await, Err(LedgerError::Conflict)));
    assert_eq!(rows(&db, &[one.clone(), other.clone()]).await, [one, other]);
}

async fn what_is_written_behind_is_read(db: Database) {
    let task = db.task(New::of(Stage::Edit, "a")).await;
    let tx = db.ledger.gather().await.expect("begin");
    tx.read_tasks_ahead(&[task.id]).await.expect("read");
    let lease = leased(&task, claim(30, "1-0"), tx.now());
    tx.put_task(&task, &lease).await.expect("put");
    tx.patch_video(task.video, status(Status::Editing)).await.expect("patched");
    tx.patch_video(task.video, VideoPatch { progress: Some(5), ..VideoPatch::default() }).await.expect("patched");
    assert_eq!(tx.task(task.id).await.expect("read").expect("a row").task, lease);
    assert_eq!(tx.tasks_of(task.video).await.expect("read")[0].task, lease, "by another question");
    let video = tx.video(task.video).await.expect("read").expect("a video");
    tx.raise_progress(task.video, 50).await.expect("raised");
    let raised = tx.video(task.video).await.expect("read").expect("a video");
    tx.commit().await.expect("committed");
    assert_eq!((video.status, video.progress), (Status::Editing, 5));
    let stored = db.ledger.video(task.video).await.expect("read").expect("a video");
    assert_eq!(stored, raised);
    assert_eq!((stored.status, stored.progress), (Status::Editing, 50));
}

async fn two_that_want_the_same_tasks_never_wait_for_each_other(db: Database) {
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(db.task(New::of(Stage::Edit, "a")).await.id);
    }
    let backwards: Vec<TaskId> = ids.iter().rev().copied().collect();
    let mut both = Vec::new();
    for ids in [ids, backwards] {
        let ledger = db.another().await;
        both.push(tokio::spawn(async move {
            for round in 0..20 {
                let tx = ledger.gather().await.expect("begin");
                tx.read_tasks_ahead(&ids).await.expect("read");
                for id in &ids {
                    let row = tx.task(*id).await.expect("read").expect("a row");
                    tx.put_task(&row.task, &Task { due_at: round, ..row.task.clone() }).await.expect("put");
                }
                tx.commit().await.expect("no deadlock, and no conflict");
            }
        }));
    }
    for one in both {
        one.await.expect("it goes through");
    }
}
