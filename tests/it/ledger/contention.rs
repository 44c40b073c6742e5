//! Many processes at one ledger: nothing is done twice, nothing is lost, nobody waits for ever.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use subiteya::config::Rate;
use subiteya::event::{Stage, TaskId};
use subiteya::ledger::{Ledger, LedgerError, Room, Status, TaskRow, Tx, VideoPatch};
use subiteya::limit::{self, Ask, Key, Verdict};
use subiteya::outcome::{Outcome, Reason};
use subiteya::task::{Leased, Task};

use super::database::{Database, New, claim};

on_both!(
    ten_relays_release_each_task_once,
    no_window_holds_more_than_its_limit,
    nobody_waits_for_ever,
    of_two_that_start_at_once_both_have_one_instance,
);

/// Ledgers of as many processes.
async fn processes(db: &Database, number: usize) -> Vec<Ledger> {
    let mut all = Vec::new();
    for _ in 0..number {
        all.push(db.another().await);
    }
    all
}

async fn ten_relays_release_each_task_once(db: Database) {
    const TASKS: usize = 300;
    for stage in Stage::STREAMED {
        for account in 0..5 {
            let name = format!("a{account}");
            db.account(&name).await;
            let tx = db.tx().await;
            for _ in 0..TASKS / 5 {
                New::of(stage, &name).insert(&tx).await;
            }
            tx.commit().await.unwrap();
        }
    }
    let room = Room { queued: 40, per_creator: None, at_once: None, permits: None };
    let relays = processes(&db, 10).await;
    let released = relays.iter().enumerate().map(|(number, ledger)| async move {
        let stage = Stage::STREAMED[number % 2];
        let (mut mine, mut idle) = (Vec::new(), 0);
        while idle < 20 {
            let tx = ledger.begin().await?;
            let released = tx.release(stage, room).await?;
            tx.commit().await?;
            idle = if released.is_empty() { idle + 1 } else { 0 };
            for one in released {
                // A worker takes it at once, which makes room for the next.
                let tx = ledger.begin().await?;
                let row = tx.task(one.entry.task).await?.expect("a row").task;
                let Ok(Leased::Granted(running)) = row.lease(claim(30, "1-0"), tx.now()) else { panic!("{row:?}") };
                tx.put_task(&row, &running).await?;
                tx.commit().await?;
                mine.push(one.entry.task);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, LedgerError>(mine)
    });
    let released: Vec<TaskId> = try_join_all(released).await.unwrap().into_iter().flatten().collect();
    assert_eq!(released.len(), 2 * TASKS);
    assert_eq!(released.iter().collect::<HashSet<_>>().len(), 2 * TASKS, "none twice");
    let raw = db.raw().await;
    assert_eq!(raw.number("select count(distinct seq) from tasks").await, 2 * TASKS as i64);
    assert_eq!(raw.number("select max(seq) from tasks").await, 2 * TASKS as i64, "no number is skipped");
    let pass = "select cast(sum(pass) as bigint) from turns where stage = 'edit' and priority = 1";
    assert_eq!(raw.number(pass).await, 10 * TASKS as i64, "each release has moved its turn on");
}

async fn no_window_holds_more_than_its_limit(db: Database) {
    let rate = Rate { count: 3, window: Duration::from_secs(3600) };
    let asks = [
        Ask { key: Key::Publish, rate: Some(Rate { count: 5, ..rate }) },
        Ask { key: Key::Creator("ada".into()), rate: Some(rate) },
    ];
    let takers = processes(&db, 8).await;
    let granted = takers.iter().map(|ledger| async {
        let mut granted = 0;
        let mut tries = 0;
        while tries < 6 {
            let tx = ledger.begin().await.unwrap();
            match limit::take(&tx, &asks).await {
                Ok(verdict) => {
                    tries += 1;
                    tx.commit().await.unwrap();
                    granted += usize::from(verdict == Verdict::Open);
                }
                // The first to ask made the row.
                Err(LedgerError::Conflict) => {}
                Err(error) => panic!("{error}"),
            }
        }
        granted
    });
    assert_eq!(join_all(granted).await.into_iter().sum::<usize>(), 3);
    let row = db.ledger.limit("publish").await.unwrap();
    let now = db.ledger.now().await.unwrap();
    assert_eq!(row.cells.iter().filter(|&&cell| cell > now).count(), 3, "of each or of none");
}

/// Everything that writes, at the same few videos: PostgreSQL finds a deadlock after a second and ends one of the two.
async fn nobody_waits_for_ever(db: Database) {
    db.account("ada").await;
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let task = db.task(New::of(Stage::Publish, "ada")).await;
        let tx = db.tx().await;
        let row = tx.task(task.id).await.unwrap().unwrap();
        let confirm = Task::new(task.video, Stage::Confirm, tx.now());
        tx.insert_task(&TaskRow { task: confirm.clone(), ..row }).await.unwrap();
        tx.commit().await.unwrap();
        tasks.push((task, confirm));
    }
    let rounds = if db.is_sqlite() { 15 } else { 60 };
    let all = processes(&db, 8).await;
    let done = all.iter().enumerate().map(|(number, ledger)| {
        let tasks = &tasks;
        async move {
            for round in 0..rounds {
                let (publish, confirm) = &tasks[(round * 5 + number) % tasks.len()];
                match act(ledger, number, publish, confirm).await {
                    Ok(()) | Err(LedgerError::Conflict) => {}
                    Err(error) => panic!("process {number}: {error}"),
                }
            }
        }
    });
    tokio::time::timeout(Duration::from_secs(60), join_all(done)).await.expect("nobody waits for ever");
}

async fn act(ledger: &Ledger, number: usize, publish: &Task, confirm: &Task) -> Result<(), LedgerError> {
    let room = Room { queued: 9, per_creator: Some(1), at_once: None, permits: None };
    let tx = ledger.begin().await?;
    match number {
        0 | 1 => drop(tx.release(Stage::Publish, room).await?),
        // A worker: lease, then settle, with limits between.
        2..=4 => {
            let (task, other) = if number == 4 { (confirm, publish) } else { (publish, confirm) };
            let row = tx.task(task.id).await?.expect("a row").task;
            let Ok(Leased::Granted(running)) = row.lease(claim(1, "1-0"), tx.now()) else { return Ok(()) };
            let asks =
                [Ask { key: Key::Publish, rate: None }, Ask { key: Key::Creator("open_ada".into()), rate: None }];
            limit::take(&tx, &asks).await?;
            tx.put_task(&row, &running).await?;
            tx.patch_video(task.video, VideoPatch { progress: Some(1), ..VideoPatch::default() }).await?;
            tx.commit().await?;
            return settle(ledger, &running, other).await;
        }
        // An operator: the video, then its tasks.
        5 => {
            tx.video(publish.video).await?;
            for row in tx.tasks_of(publish.video).await? {
                if let Ok(canceled) = row.task.cancel() {
                    tx.put_task(&row.task, &canceled).await?;
                } else if let Ok(again) = row.task.replay(tx.now()) {
                    tx.put_task(&row.task, &again).await?;
                }
            }
            tx.patch_video(publish.video, VideoPatch { status: Some(Status::Edited), ..VideoPatch::default() }).await?;
            tx.release(Stage::Publish, room).await?;
        }
        // An account that is connected again.
        6 => {
            tx.put_account(&super::database::account("ada", "open_ada")).await?;
            for row in tx.waiting_at_tiktok("ada").await? {
                if let Ok(awake) = row.task.wake(tx.now()) {
                    tx.put_task(&row.task, &awake).await?;
                }
            }
        }
        _ => doubt(&tx).await?,
    }
    tx.commit().await
}

async fn settle(ledger: &Ledger, running: &Task, other: &Task) -> Result<(), LedgerError> {
    let tx = ledger.begin().await?;
    let row = tx.task(running.id).await?.expect("a row").task;
    let until = tx.now();
    let outcome = Outcome::Parked { until, reason: Reason::new("again", "once more") };
    let Some(token) = running.token else { return Ok(()) };
    let Ok(settled) = row.settle(token, &outcome, 2, Duration::ZERO, tx.now()) else { return Ok(()) };
    tx.put_task(&row, &settled).await?;
    tx.patch_video(row.video, VideoPatch { progress: Some(2), ..VideoPatch::default() }).await?;
    let other = tx.task_of(other.video, other.stage).await?.expect("a row").task;
    if let Ok(again) = other.replay(tx.now()) {
        tx.put_task(&other, &again).await?;
    }
    let mut limit = tx.limit("publish/open_ada").await?;
    limit.closed_until = tx.now();
    tx.put_limit("publish/open_ada", &limit).await?;
    tx.release(Stage::Publish, Room { queued: 9, per_creator: None, at_once: None, permits: None }).await?;
    tx.commit().await
}

async fn doubt(tx: &Tx) -> Result<(), LedgerError> {
    for row in tx.unread_before(Stage::Publish, tx.now()).await? {
        let Some(row) = tx.task(row.task.id).await? else { continue };
        if let Ok(waiting) = row.task.doubt(tx.now()) {
            tx.put_task(&row.task, &waiting).await?;
        }
    }
    tx.release(Stage::Publish, Room { queued: 9, per_creator: None, at_once: None, permits: None }).await?;
    Ok(())
}

async fn of_two_that_start_at_once_both_have_one_instance(db: Database) {
    let all = processes(&db, 5).await;
    let instances = join_all(all.iter().map(|ledger| async {
        let tx = ledger.begin().await.unwrap();
        let instance = tx.instance().await.unwrap();
        tx.commit().await.unwrap();
        instance
    }));
    assert_eq!(instances.await.into_iter().collect::<HashSet<_>>().len(), 1);
}
