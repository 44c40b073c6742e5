//! The tasks' rows: every move is a conditional write.

use std::time::Duration;

use subiteya::event::{LeaseToken, Stage, VideoId};
use subiteya::ledger::{LedgerError, StageCounts, Status, VideoPatch};
use subiteya::outcome::{Outcome, Reason};
use subiteya::task::{POISON, Refused, State, Task};

use super::database::{Database, New, claim, leased};

on_both!(
    every_move_is_written_once,
    a_stale_token_moves_nothing,
    of_eight_takers_one_wins,
    a_worker_that_dies_each_time_is_poison,
    each_question_finds_its_tasks,
    counts_by_where_they_stand,
    streams_are_trimmed_behind_what_lives,
    a_permit_belongs_to_one_run,
    a_video_remembers_what_its_steps_say,
);

const LATER: i64 = 60_000;

fn reason() -> Reason {
    Reason::new("rate_limit", "TikTok says: \"later\" — 'please' 🙏 %_\\")
}

type Move = Box<dyn Fn(&Task) -> Result<Task, Refused> + Send + Sync>;

/// All moves, one after the other, each from where the one before ended.
fn moves(now: i64) -> Vec<(&'static str, Move)> {
    let lease = |secs| Duration::from_secs(secs);
    let token = LeaseToken::new();
    let take = move |task: &Task, entry: &str, until: i64| {
        Ok(Task { token: Some(token), lease_until: until, ..leased(task, claim(30, entry), now) })
    };
    let settle = move |task: &Task, outcome: Outcome| task.settle(token, &outcome, 5, lease(1), now);
    vec![
        ("release", Box::new(move |task| task.release(1, now))),
        ("lease", Box::new(move |task| take(task, "1-0", now + 30_000))),
        ("renew", Box::new(move |task| task.renew(token, lease(40), now))),
        ("hand back", Box::new(move |task| task.hand_back(token))),
        ("release again", Box::new(move |task| task.release(2, now))),
        ("doubt", Box::new(move |task| task.doubt(now))),
        ("a third release", Box::new(move |task| task.release(3, now))),
        ("postpone", Box::new(move |task| task.postpone(now + LATER, reason(), now))),
        ("wake", Box::new(move |task| task.wake(now))),
        ("a fourth release", Box::new(move |task| task.release(4, now))),
        ("a lease that ends at once", Box::new(move |task| take(task, "2-0", now - 1))),
        ("free", Box::new(move |task| task.free(now))),
        ("a fifth release", Box::new(move |task| task.release(5, now))),
        ("another lease", Box::new(move |task| take(task, "3-0", now + 1_000))),
        ("retry", Box::new(move |task| settle(task, Outcome::Retry(reason())))),
        ("when its pause is over", Box::new(move |task| Ok(Task { due_at: now, ..task.clone() }))),
        ("a sixth release", Box::new(move |task| task.release(6, now))),
        ("a third lease", Box::new(move |task| take(task, "4-0", now + 1_000))),
        ("park", Box::new(move |task| settle(task, Outcome::Parked { until: now, reason: reason() }))),
        ("a seventh release", Box::new(move |task| task.release(7, now))),
        ("a fourth lease", Box::new(move |task| take(task, "5-0", now + 1_000))),
        ("done", Box::new(move |task| settle(task, Outcome::Done))),
        ("replay", Box::new(move |task| task.replay(now))),
        ("cancel", Box::new(move |task| task.cancel())),
    ]
}

async fn every_move_is_written_once(db: Database) {
    let mut task = db.task(New::of(Stage::Publish, "ada")).await;
    let now = db.ledger.now().await.unwrap();
    for (name, step) in moves(now) {
        let next = step(&task).unwrap_or_else(|refused| panic!("{name}: {refused}"));
        db.put(&task, &next).await;
        assert_eq!(db.read(&task).await, next, "{name} is read as it was written");
        // Where the guard's columns have not moved there is nothing that a stale writer could undo.
        let guard = |task: &Task| (task.state, task.seq, task.lease_until, task.token);
        if guard(&task) != guard(&next) {
            let tx = db.tx().await;
            let again = tx.put_task(&task, &next).await;
            assert!(matches!(again, Err(LedgerError::Conflict)), "{name}, from a row that is no more: {again:?}");
        }
        task = next;
    }
}

async fn a_stale_token_moves_nothing(db: Database) {
    let task = db.task(New::of(Stage::Edit, "ada")).await;
    let now = db.ledger.now().await.unwrap();
    let dead = Task { lease_until: now - 1, ..leased(&task, claim(30, "1-0"), now) };
    db.put(&task, &dead).await;
    let heir = leased(&dead, claim(30, "1-0"), now);
    db.put(&dead, &heir).await;
    assert_eq!(heir.takeovers, 1);
    let (stale, read) = (dead.token.unwrap(), db.read(&task).await);
    assert_eq!(read.renew(stale, Duration::from_secs(30), now), Err(Refused::LeaseGone));
    assert_eq!(read.settle(stale, &Outcome::Done, 2, Duration::ZERO, now), Err(Refused::LeaseGone));
    assert_eq!(read.hand_back(stale), Err(Refused::LeaseGone));
    // Also one who decided before the takeover and writes after it.
    let settled = dead.settle(stale, &Outcome::Done, 2, Duration::ZERO, now).unwrap();
    let tx = db.tx().await;
    assert!(matches!(tx.put_task(&dead, &settled).await, Err(LedgerError::Conflict)));
    drop(tx);
    assert_eq!(db.read(&task).await, heir);
}

async fn of_eight_takers_one_wins(db: Database) {
    for _ in 0..5 {
        let task = db.task(New::of(Stage::Edit, "ada")).await;
        let takers = futures::future::join_all((0..8).map(|_| async {
            let ledger = db.ledger.clone();
            let tx = ledger.begin().await.unwrap();
            let row = tx.task(task.id).await.unwrap().unwrap().task;
            let Ok(subiteya::task::Leased::Granted(mine)) = row.lease(claim(30, "1-0"), tx.now()) else { return None };
            tx.put_task(&row, &mine).await.unwrap();
            tx.commit().await.unwrap();
            mine.token
        }));
        let won: Vec<_> = takers.await.into_iter().flatten().collect();
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(db.read(&task).await.token, Some(won[0]));
    }
}

async fn a_worker_that_dies_each_time_is_poison(db: Database) {
    let mut task = db.task(New::of(Stage::Edit, "ada")).await;
    let now = db.ledger.now().await.unwrap();
    for _ in 0..POISON {
        let dead = Task { lease_until: now - 1, ..leased(&task, claim(30, "1-0"), now) };
        db.put(&task, &dead).await;
        task = db.read(&task).await;
    }
    assert!(matches!(task.lease(claim(30, "1-0"), now), Ok(subiteya::task::Leased::Poisoned(_))));
}

async fn each_question_finds_its_tasks(db: Database) {
    let new = New::of(Stage::Edit, "ada");
    let (due, parked) = (db.task(new).await, db.task(new.due(LATER)).await);
    let (lost, passer, stalled, ended) =
        (db.task(new).await, db.task(new).await, db.task(new).await, db.task(new).await);
    let now = db.ledger.now().await.unwrap() + 1;
    let queued = Task { queued_at: now - 20_000, ..lost.release(1, now).unwrap() };
    db.put(&lost, &queued).await;
    let running = |task: &Task, seq, entry| Task {
        seq,
        queued_at: now - 9_000,
        started_at: Some(now - 8_000),
        ..leased(task, claim(30, entry), now)
    };
    db.put(&passer, &running(&passer, 2, "22-1")).await;
    db.put(&stalled, &Task { lease_until: now - 1, ..running(&stalled, 3, "33-0") }).await;
    let done = Task { state: State::Done, token: None, lease_until: 0, ..running(&ended, 4, "44-0") };
    db.put(&ended, &done).await;
    let ledger = &db.ledger;
    let ids = |rows: Vec<subiteya::ledger::TaskRow>| rows.into_iter().map(|row| row.task.id).collect::<Vec<_>>();
    assert_eq!(ids(ledger.due(Stage::Edit, now, 9).await.unwrap()), [due.id]);
    assert_eq!(ids(ledger.due(Stage::Edit, now + 2 * LATER, 9).await.unwrap()), [due.id, parked.id]);
    assert_eq!(ids(ledger.stalled(Stage::Edit, now, 9).await.unwrap()), [stalled.id]);
    assert_eq!(ids(ledger.running(Stage::Edit, 1).await.unwrap()).len(), 1);
    assert_eq!(ids(ledger.overtaken(Stage::Edit, now, 5_000).await.unwrap()), [lost.id]);
    assert!(ledger.overtaken(Stage::Edit, now, 12_000).await.unwrap().is_empty(), "a margin not yet over");
    assert_eq!(ids(ledger.unread_before(Stage::Edit, now - 19_000).await.unwrap()), [lost.id]);
    assert!(ledger.unread_before(Stage::Edit, now - 21_000).await.unwrap().is_empty());
    assert!(ledger.queued_before(Stage::Edit, now).await.unwrap());
    assert!(ledger.anything_out(Stage::Edit).await.unwrap());
    assert!(!ledger.anything_out(Stage::Publish).await.unwrap(), "each stage for itself");
    assert!(ledger.due(Stage::Confirm, now + LATER * 2, 9).await.unwrap().is_empty());
    let under = ledger.task_under(Stage::Edit, "33-0").await.unwrap();
    assert_eq!(under.map(|row| row.task.id), Some(stalled.id));
    assert!(ledger.task_under(Stage::Edit, "33-1").await.unwrap().is_none());
    let open = ids(ledger.open_tasks(&[due.video, ended.video, stalled.video]).await.unwrap());
    assert!(open.len() == 2 && open.contains(&due.id) && open.contains(&stalled.id), "{open:?}");
    assert_eq!(ids(ledger.tasks_of(due.video).await.unwrap()), [due.id]);
    let of = |video: VideoId, stage| async move { ledger.task_of(video, stage).await.unwrap().map(|row| row.task.id) };
    assert_eq!(of(due.video, Stage::Edit).await, Some(due.id));
    assert_eq!(of(due.video, Stage::Publish).await, None);
    let at_tiktok = db.task(New::of(Stage::Confirm, "ada").due(LATER)).await;
    db.task(New::of(Stage::Confirm, "bob").due(LATER)).await;
    assert_eq!(ids(ledger.waiting_at_tiktok("ada").await.unwrap()), [at_tiktok.id]);
    let tx = db.tx().await;
    assert_eq!(ids(tx.waiting_at_tiktok("ada").await.unwrap()), [at_tiktok.id]);
}

async fn counts_by_where_they_stand(db: Database) {
    let new = New::of(Stage::Publish, "ada");
    let now = db.ledger.now().await.unwrap() + 1_000;
    let states = [State::Queued, State::Running, State::Dead, State::Review, State::Done, State::Canceled];
    for (number, state) in states.into_iter().enumerate() {
        for _ in 0..=number {
            let task = db.task(new).await;
            db.put(&task, &Task { state, ..task.clone() }).await;
        }
    }
    for due in [0, 0, LATER, LATER, LATER] {
        db.task(new.due(due)).await;
    }
    let counts = db.ledger.stage_counts(Stage::Publish, now).await.unwrap();
    assert_eq!(counts, StageCounts { waiting: 2, parked: 3, queued: 1, running: 2, dead: 3, review: 4 });
    assert_eq!(db.ledger.stage_counts(Stage::Edit, now).await.unwrap(), StageCounts::default());
}

async fn streams_are_trimmed_behind_what_lives(db: Database) {
    let bound = || async { db.ledger.trim_bound(Stage::Edit, db.ledger.now().await.unwrap(), 1_000).await.unwrap() };
    assert_eq!(bound().await, None);
    let now = db.ledger.now().await.unwrap();
    let new = New::of(Stage::Edit, "ada");
    for (seq, entry, started) in [(1, "1000-0", now - 5_000), (2, "2000-3", now - 5_000), (3, "3000-0", now)] {
        let task = db.task(new).await;
        let ran = Task { seq, started_at: Some(started), ..leased(&task, claim(30, entry), now) };
        db.put(&task, &ran).await;
        db.put(&ran, &Task { state: State::Done, token: None, lease_until: 0, ..ran.clone() }).await;
    }
    // Put back after its run: it has no entry, and hides none.
    let again = db.task(new).await;
    db.put(&again, &Task { seq: 9, started_at: Some(now - 9_000), ..again.clone() }).await;
    assert_eq!(bound().await.as_deref(), Some("2000-0"), "the last that was started a while ago");
    let live = db.task(new).await;
    db.put(&live, &leased(&live, claim(30, "1500-7"), now)).await;
    assert_eq!(bound().await.as_deref(), Some("1500-0"), "the oldest that runs");
}

async fn a_permit_belongs_to_one_run(db: Database) {
    let permitted = || async { db.raw().await.number("select permitted from tasks").await };
    let task = db.task(New::of(Stage::Edit, "ada")).await;
    let now = db.ledger.now().await.unwrap();
    let running = leased(&task, claim(30, "1-0"), now);
    db.put(&task, &running).await;
    let tx = db.tx().await;
    tx.mark_permitted(task.id).await.unwrap();
    tx.commit().await.unwrap();
    let renewed = running.renew(running.token.unwrap(), Duration::from_secs(60), now).unwrap();
    db.put(&running, &renewed).await;
    assert_eq!(permitted().await, 1, "a renewal keeps it");
    db.put(&renewed, &renewed.hand_back(renewed.token.unwrap()).unwrap()).await;
    assert_eq!(permitted().await, 0);
}

async fn a_video_remembers_what_its_steps_say(db: Database) {
    let task = db.task(New { title: "🎬 \"quoted\" it's 100%_\\ ünïcode", ..New::of(Stage::Edit, "ada") }).await;
    let read = || async { db.ledger.video(task.video).await.unwrap().unwrap() };
    assert_eq!(read().await.title, "🎬 \"quoted\" it's 100%_\\ ünïcode");
    assert_eq!((read().await.source_size, read().await.brand.is_some()), (5_000_000_000, true));
    let tx = db.tx().await;
    for percent in [40, 20] {
        tx.raise_progress(task.video, percent).await.unwrap();
    }
    let patch = VideoPatch {
        status: Some(Status::Failed),
        post_ids: Some(vec!["7".into()]),
        post_url: Some("https://tiktok.example/@ann/video/7".into()),
        reason: Some(Some(reason())),
        publish_at: Some(Some(1_999_999_999_999)),
        ..VideoPatch::default()
    };
    tx.patch_video(task.video, patch).await.unwrap();
    tx.commit().await.unwrap();
    let video = read().await;
    assert_eq!((video.progress, video.status, video.publish_at), (40, Status::Failed, Some(1_999_999_999_999)));
    assert_eq!((video.reason, video.post_ids), (Some(reason()), vec!["7".to_owned()]));
    assert!(video.ended_at.is_some(), "it has ended");
    let tx = db.tx().await;
    let back = VideoPatch { status: Some(Status::Edited), reason: Some(None), ..VideoPatch::default() };
    tx.patch_video(task.video, back).await.unwrap();
    let missing = tx.patch_video(VideoId::new(), VideoPatch::default()).await;
    assert!(matches!(missing, Err(LedgerError::Conflict)));
    tx.commit().await.unwrap();
    assert_eq!((read().await.ended_at, read().await.reason), (None, None));
}
