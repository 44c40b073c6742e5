//! The ordered release: what goes out, and in which order.

use rand::{Rng, RngExt, SeedableRng};
use subiteya::event::{Stage, TaskId};
use subiteya::ledger::{Pause, Priority, PublicationRow, Room, interleave};
use subiteya::outcome::Reason;
use subiteya::task::{State, Task};

use super::database::{Database, New, Raw, claim, leased};

on_both!(
    priorities_go_six_three_one,
    creators_take_turns,
    who_was_served_longest_ago_goes_first,
    no_more_than_there_is_room,
    whoever_is_closed_is_passed_over,
    a_limit_counts_what_is_out_over_all_priorities,
    as_the_plain_statement_of_the_rule_has_it,
);

fn room(queued: i64) -> Room {
    Room { queued, per_creator: None, at_once: None, permits: None }
}

async fn priorities_go_six_three_one(db: Database) {
    for (account, priority) in [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)] {
        for _ in 0..20 {
            db.task(New::of(Stage::Edit, account).priority(priority)).await;
        }
    }
    let out = db.release(Stage::Edit, room(10)).await;
    let of = |name| out.iter().filter(|account| **account == name).count();
    assert_eq!([of("high"), of("normal"), of("low")], [6, 3, 1]);
    // One at a time the shares are the same.
    let mut one_by_one = Vec::new();
    for more in 11..=20 {
        one_by_one.extend(db.release(Stage::Edit, room(more)).await);
    }
    let of = |name| one_by_one.iter().filter(|account| **account == name).count();
    assert_eq!([of("high"), of("normal"), of("low")], [6, 3, 1]);
}

async fn creators_take_turns(db: Database) {
    for (account, tasks) in [("many", 9), ("two", 2), ("one", 1)] {
        for _ in 0..tasks {
            db.task(New::of(Stage::Edit, account)).await;
        }
    }
    let out = db.release(Stage::Edit, room(6)).await;
    assert_eq!(out, ["many", "two", "one", "many", "two", "many"]);
}

async fn who_was_served_longest_ago_goes_first(db: Database) {
    for account in ["a", "b", "c"] {
        for _ in 0..3 {
            db.task(New::of(Stage::Edit, account)).await;
        }
    }
    let mut out = Vec::new();
    for more in 1..=7 {
        out.extend(db.release(Stage::Edit, room(more)).await);
    }
    assert_eq!(out, ["a", "b", "c", "a", "b", "c", "a"]);
    db.task(New::of(Stage::Edit, "new")).await;
    assert_eq!(db.release(Stage::Edit, room(8)).await, ["new"], "who was never served is next");
}

async fn no_more_than_there_is_room(db: Database) {
    for _ in 0..5 {
        db.task(New::of(Stage::Edit, "a")).await;
    }
    db.task(New::of(Stage::Edit, "a").due(60_000)).await;
    assert_eq!(db.release(Stage::Edit, room(3)).await.len(), 3);
    assert_eq!(db.release(Stage::Edit, room(3)).await.len(), 0);
    assert_eq!(db.release(Stage::Publish, room(3)).await.len(), 0, "each stage for itself");
    assert_eq!(db.release(Stage::Edit, room(9)).await.len(), 2, "what is not due stays");
    let tx = db.tx().await;
    tx.put_pause(&Pause { name: "stage/edit".into(), until: None, reason: String::new(), set_by: None }).await.unwrap();
    tx.commit().await.unwrap();
    db.task(New::of(Stage::Edit, "a")).await;
    assert_eq!(db.release(Stage::Edit, room(9)).await.len(), 0, "a paused stage releases nothing");
}

async fn close(db: &Database, creator: &str) {
    let tx = db.tx().await;
    let mut row = tx.limit(&format!("publish/{creator}")).await.unwrap();
    row.closed_until = tx.now() + 60_000;
    row.closed = Some(Reason::new("spam", "no"));
    tx.put_limit(&format!("publish/{creator}"), &row).await.unwrap();
    tx.commit().await.unwrap();
}

/// A task that was released before and has its publish id.
async fn resuming(db: &Database, new: New<'_>) -> Task {
    let task = db.task(new).await;
    let again = Task { seq: 1, ..task.clone() };
    db.put(&task, &again).await;
    let tx = db.tx().await;
    tx.insert_publication(&publication(&again)).await.unwrap();
    tx.commit().await.unwrap();
    again
}

fn publication(task: &Task) -> PublicationRow {
    PublicationRow {
        video: task.video,
        account: "ada".into(),
        generation: 1,
        version: 1,
        publish_id: Some("v_pub_1".into()),
        upload_url: None,
        final_started: false,
        inits: 1,
        record: "{}".into(),
    }
}

async fn whoever_is_closed_is_passed_over(db: Database) {
    for account in ["closed", "paused", "lost", "open"] {
        db.account(account).await;
        for _ in 0..3 {
            db.task(New::of(Stage::Publish, account)).await;
        }
    }
    resuming(&db, New::of(Stage::Publish, "closed")).await;
    resuming(&db, New::of(Stage::Publish, "paused")).await;
    resuming(&db, New::of(Stage::Publish, "lost")).await;
    close(&db, "open_closed").await;
    let tx = db.tx().await;
    tx.put_pause(&Pause {
        name: "account/paused".into(),
        until: Some(tx.now() + 60_000),
        reason: "so".into(),
        set_by: None,
    })
    .await
    .unwrap();
    assert!(tx.needs_reconnect("lost", 1, "revoked").await.unwrap());
    tx.commit().await.unwrap();
    let mut out = db.release(Stage::Publish, room(99)).await;
    out.sort();
    assert_eq!(out, ["closed", "open", "open", "open"], "of the closed one only what resumes");
}

async fn a_limit_counts_what_is_out_over_all_priorities(db: Database) {
    // Two accounts of one creator are one creator.
    db.account_of("first", "ada").await;
    db.account_of("second", "ada").await;
    let new = |account, priority| New { creator: Some("ada"), ..New::of(Stage::Publish, account).priority(priority) };
    db.task(new("first", Priority::Low)).await;
    db.task(new("second", Priority::High)).await;
    db.task(new("first", Priority::Normal)).await;
    let running = db.task(new("first", Priority::High)).await;
    let now = db.ledger.now().await.unwrap();
    db.put(&running, &leased(&running, claim(30, "1-0"), now)).await;
    let three = Room { queued: 9, per_creator: Some(3), at_once: None, permits: None };
    let mut out = db.release(Stage::Publish, three).await;
    out.sort();
    assert_eq!(out, ["first", "second"], "one runs, so two of the three may go: the higher priorities");
    assert_eq!(db.release(Stage::Publish, three).await.len(), 0);
    let tx = db.tx().await;
    tx.mark_permitted(running.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(db.release(Stage::Publish, three).await.len(), 1, "what has its permit counts no more");
}

/// The rule, said once more as one plain statement over all tasks that wait: slow, and therefore only here.
const RULE: &str = "
    with due as (
        select t.id, t.priority, t.creator, t.due_at, case when r.publish_id is null then 0 else 1 end as resumes,
            case when exists (select 1 from limits l where l.name = 'publish/' || t.creator
                and (l.closed_until > $1 or l.open_at > $1 and $2 < 1000000)) then 1 else 0 end as closed
        from tasks t join accounts a on a.id = t.account_id and a.state = 'ACTIVE'
        left join publications r on r.video_id = t.video_id
        where t.stage = 'publish' and t.state = 'waiting' and t.due_at <= $1 and not exists (select 1 from pauses p
            where p.name = 'account/' || t.account_id and coalesce(p.until_at, $1 + 1) > $1)
    ), open as (
        select d.*, row_number() over (partition by d.creator, d.closed, d.resumes order by d.priority, d.due_at, d.id) as of_creator from due d
    ), may as (
        select o.* from open o where o.resumes = 1 or o.closed = 0 and o.of_creator <= $2 - (select count(*) from tasks x
            where x.stage = 'publish' and x.creator = o.creator and x.state in ('queued', 'running') and x.permitted = 0)
    ), turns as (
        select m.*, row_number() over (partition by m.priority, m.creator, m.resumes order by m.due_at, m.id) as nth,
            coalesce((select max(s.seq) from tasks s where s.stage = 'publish' and s.creator = m.creator), 0) as served from may m
    )
    select id, priority, resumes from turns
    order by resumes desc, priority, case when resumes = 1 then 0 else nth end, case when resumes = 1 then 0 else served end, due_at, id";

async fn ruled(db: &Database, raw: &Raw, room: Room) -> Vec<TaskId> {
    let now = db.ledger.now().await.unwrap();
    let per_creator = room.per_creator.unwrap_or(1_000_000);
    let rows = raw.all(RULE, vec![now.into(), per_creator.into()]).await;
    let (mut resuming, mut limited) = (Vec::new(), Vec::new());
    for row in rows {
        let (id, priority): (String, i64) = (row.try_get("", "id").unwrap(), row.try_get("", "priority").unwrap());
        let resumes = row.try_get::<i32>("", "resumes").unwrap() == 1;
        let due = subiteya::ledger::Releasable { task: id.parse().unwrap(), priority: priority as usize, resumes };
        if resumes { resuming.push(due) } else { limited.push(due) }
    }
    let mut passes = [0; 3];
    for row in raw.all("select priority, pass from turns where stage = 'publish'", vec![]).await {
        let priority: i64 = row.try_get("", "priority").unwrap();
        passes[priority as usize] = row.try_get("", "pass").unwrap();
    }
    let out = raw.number("select count(*) from tasks where stage = 'publish' and state = 'queued'").await;
    let free = usize::try_from(room.queued - out).unwrap_or(0);
    let mut chosen = interleave(&mut passes, &resuming, free);
    chosen.extend(interleave(&mut passes, &limited, free - chosen.len()));
    chosen
}

async fn as_the_plain_statement_of_the_rule_has_it(db: Database) {
    let raw = db.raw().await;
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    for account in 0..7 {
        // The last two are one creator's.
        db.account_of(&format!("a{account}"), &format!("c{}", account.min(5))).await;
    }
    for round in 0..12 {
        let tx = db.tx().await;
        let mut made = Vec::new();
        for _ in 0..25 {
            let account = random.random_range(0..7usize);
            let (name, creator) = (format!("a{account}"), format!("c{}", account.min(5)));
            let priority = Priority::from_number(random.random_range(0..3));
            let due = if random.random_bool(0.2) { 60_000 } else { -random.random_range(0..5_000) };
            let new = New { creator: Some(&creator), ..New::of(Stage::Publish, &name).priority(priority).due(due) };
            made.push(new.insert(&tx).await);
        }
        for task in &made {
            change(&tx, task, &mut random).await;
        }
        tx.commit().await.unwrap();
        if round == 4 {
            close(&db, "c1").await;
        }
        if round == 6 {
            let tx = db.tx().await;
            tx.put_pause(&Pause { name: "account/a2".into(), until: None, reason: String::new(), set_by: None })
                .await
                .unwrap();
            tx.needs_reconnect("a3", 1, "revoked").await.unwrap();
            tx.commit().await.unwrap();
        }
        let per_creator = [None, Some(1), Some(3), Some(20)][random.random_range(0..4)];
        let out = raw.number("select count(*) from tasks where stage = 'publish' and state = 'queued'").await;
        let room = Room { queued: out + random.random_range(1..40), per_creator, at_once: None, permits: None };
        let ruled = ruled(&db, &raw, room).await;
        let tx = db.tx().await;
        let released = tx.release(Stage::Publish, room).await.unwrap();
        tx.commit().await.unwrap();
        let released: Vec<TaskId> = released.into_iter().map(|one| one.entry.task).collect();
        assert_eq!(released, ruled, "round {round}, {room:?}");
    }
}

/// Some run, some have ended, some come back with their publish id.
async fn change(tx: &subiteya::ledger::Tx, task: &Task, random: &mut impl Rng) {
    let now = tx.now();
    let new = match random.random_range(0..10) {
        0 => leased(&Task { due_at: now, ..task.clone() }, claim(30, "1-0"), now),
        1 => Task { state: State::Done, ..task.clone() },
        2 => {
            tx.insert_publication(&publication(task)).await.unwrap();
            Task { seq: 1, ..task.clone() }
        }
        _ => return,
    };
    tx.put_task(task, &new).await.unwrap();
    if new.state == State::Running && random.random_bool(0.5) {
        tx.mark_permitted(task.id).await.unwrap();
    }
}
