//! The smaller tables: limits, pauses, accounts, publications, keys, history and the rest.

use serde_json::json;
use subiteya::event::{LeaseToken, Stage, VideoId};
use subiteya::ledger::{
    AccountState, LedgerError, LimitRow, Pause, PublicationRow, Role, SessionKind, SystemClock, Tx, Worker,
};
use subiteya::metrics::Number;
use subiteya::outcome::Reason;
use subiteya::task::Task;

use super::database::{Database, New, account};

on_both!(
    a_limit_is_moved_by_compare_and_set,
    a_pause_ends_by_itself_or_by_hand,
    an_account_is_connected_again_by_its_owner_only,
    one_refresh_at_a_time,
    a_publication_is_moved_by_compare_and_set,
    a_request_is_remembered_until_its_key_is_old,
    keys_and_sessions_end,
    history_keeps_its_order,
    dead_entries_are_kept_once,
    usage_adds_up,
    what_processes_count_adds_up,
    what_waits_is_told_by_its_reason,
    workers_come_and_go,
    settings_and_the_clock,
);

async fn committed<T>(tx: Tx, value: T) -> T {
    tx.commit().await.expect("committed");
    value
}

async fn a_limit_is_moved_by_compare_and_set(db: Database) {
    let tx = db.tx().await;
    let none = tx.limit("publish/ünï'\"").await.unwrap();
    assert_eq!(none, LimitRow::default());
    let mut row = none.clone();
    row.cells = vec![1, i64::MAX];
    row.open_at = 1;
    row.closed_until = 7;
    row.closed = Some(Reason::new("spam", "TikTok: 'no' 🙅"));
    tx.put_limit("publish/ünï'\"", &row).await.unwrap();
    tx.commit().await.unwrap();
    let read = db.ledger.limit("publish/ünï'\"").await.unwrap();
    assert_eq!((&read.cells, &read.closed, read.closed_until), (&row.cells, &row.closed, 7));
    let tx = db.tx().await;
    assert!(matches!(tx.put_limit("publish/ünï'\"", &none).await, Err(LedgerError::Conflict)), "as it was before");
    tx.put_limit("publish/ünï'\"", &read).await.unwrap();
    assert_eq!(tx.limits().await.unwrap().len(), 1);
}

async fn a_pause_ends_by_itself_or_by_hand(db: Database) {
    let tx = db.tx().await;
    let pause = |until| Pause { name: "stage/edit".into(), until, reason: "deploy — 5' \"x\"".into(), set_by: None };
    tx.put_pause(&pause(Some(tx.now()))).await.unwrap();
    assert_eq!(tx.paused("stage/edit").await.unwrap(), None, "it is over");
    tx.put_pause(&pause(None)).await.unwrap();
    assert_eq!(tx.paused("stage/edit").await.unwrap(), Some(pause(None)));
    assert_eq!(tx.paused("stage/publish").await.unwrap(), None);
    tx.commit().await.unwrap();
    assert_eq!(db.ledger.pauses().await.unwrap(), [pause(None)]);
    let tx = db.tx().await;
    assert!(tx.remove_pause("stage/edit").await.unwrap());
    assert!(!tx.remove_pause("stage/edit").await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(db.ledger.paused("stage/edit").await.unwrap(), None);
}

async fn an_account_is_connected_again_by_its_owner_only(db: Database) {
    db.account("ada").await;
    let tx = db.tx().await;
    tx.put_brand("ada", &json!({ "effects": ["grade"] })).await.unwrap();
    tx.put_profile("ada", Some("ada_l"), None).await.unwrap();
    tx.put_profile("ada", None, Some("https://a.example/1")).await.unwrap();
    assert!(tx.needs_reconnect("ada", 1, "revoked").await.unwrap());
    tx.put_account(&account("ada", "open_ada")).await.unwrap();
    let read = tx.account("ada").await.unwrap().unwrap();
    assert_eq!((read.state, read.state_reason, read.token_version), (AccountState::Active, None, 2));
    assert_eq!((read.username.as_deref(), read.avatar_url.as_deref()), (Some("ada_l"), Some("https://a.example/1")));
    assert_eq!(read.brand, json!({ "effects": ["grade"] }), "its brand stays");
    assert!(!tx.needs_reconnect("ada", 1, "revoked").await.unwrap(), "an older pair was refused");
    let other = tx.put_account(&account("ada", "open_eve")).await;
    assert!(matches!(other, Err(LedgerError::Conflict)), "another creator's");
    tx.remove_account("ada").await.unwrap();
    assert!(tx.account("ada").await.unwrap().is_none());
    assert_eq!(tx.account_even_removed("ada").await.unwrap().unwrap().tokens.access, "");
    assert!(matches!(tx.remove_account("ada").await, Err(LedgerError::Conflict)));
    tx.put_account(&account("bob", "open_bob")).await.unwrap();
    assert_eq!(tx.accounts(None).await.unwrap().len(), 1);
    assert_eq!(tx.accounts(Some("nobody")).await.unwrap().len(), 0);
}

async fn one_refresh_at_a_time(db: Database) {
    db.account("ada").await;
    let leases: Vec<LeaseToken> = (0..8).map(|_| LeaseToken::new()).collect();
    let won = futures::future::join_all(leases.iter().map(async |&lease| {
        let tx = db.ledger.begin().await.unwrap();
        let won = tx.lease_refresh("ada", 1, lease, tx.now() + 60_000).await.unwrap();
        committed(tx, won.then_some(lease)).await
    }));
    let won: Vec<LeaseToken> = won.await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    let pair = account("ada", "x").tokens;
    let loser = leases.into_iter().find(|lease| *lease != won[0]).unwrap();
    let tx = db.tx().await;
    assert!(matches!(tx.put_tokens("ada", 1, loser, &pair).await, Err(LedgerError::Conflict)));
    tx.release_refresh("ada", loser).await.unwrap();
    tx.put_tokens("ada", 1, won[0], &pair).await.unwrap();
    assert!(!tx.lease_refresh("ada", 1, loser, tx.now() + 1).await.unwrap(), "there is a newer pair");
    assert!(tx.lease_refresh("ada", 2, loser, tx.now() - 1).await.unwrap());
    assert!(tx.lease_refresh("ada", 2, won[0], tx.now() + 1).await.unwrap(), "whose holder has died");
    assert!(tx.rewrap_tokens("ada", 2, "a", "r").await.unwrap());
    assert!(!tx.rewrap_tokens("ada", 1, "a", "r").await.unwrap());
}

async fn a_publication_is_moved_by_compare_and_set(db: Database) {
    let row = PublicationRow {
        video: VideoId::new(),
        account: "ada".into(),
        generation: 0,
        version: 1,
        publish_id: None,
        upload_url: None,
        final_started: false,
        inits: 0,
        record: "{\"step\":\"frozen\"}".into(),
    };
    let tx = db.tx().await;
    tx.insert_publication(&row).await.unwrap();
    tx.commit().await.unwrap();
    let tx = db.tx().await;
    let again = tx.insert_publication(&row).await;
    assert!(matches!(again, Err(LedgerError::Conflict)), "frozen once: {again:?}");
    drop(tx);
    let next = |inits| PublicationRow { inits, publish_id: Some("v_1".into()), final_started: true, ..row.clone() };
    let writers = futures::future::join_all((1..=6).map(|inits| {
        let (ledger, row, next) = (db.ledger.clone(), row.clone(), next(inits));
        async move {
            let tx = ledger.begin().await.unwrap();
            let written = tx.put_publication(&row, &next).await;
            tx.commit().await.unwrap();
            written.is_ok()
        }
    }));
    assert_eq!(writers.await.into_iter().filter(|won| *won).count(), 1);
    let read = db.ledger.publication(row.video).await.unwrap().unwrap();
    assert_eq!((read.version, read.final_started, read.publish_id.as_deref()), (2, true, Some("v_1")));
    let tx = db.tx().await;
    let other = PublicationRow { generation: 1, ..read.clone() };
    assert!(matches!(tx.put_publication(&other, &next(9)).await, Err(LedgerError::Conflict)), "another generation");
}

async fn a_request_is_remembered_until_its_key_is_old(db: Database) {
    let (first, second) = (VideoId::new(), VideoId::new());
    let tx = db.tx().await;
    let since = tx.now() - 1_000;
    assert!(tx.remember_request("ann", "k'1", "f", first, since).await.unwrap());
    assert!(!tx.remember_request("ann", "k'1", "g", second, since).await.unwrap());
    assert!(tx.remember_request("bob", "k'1", "f", second, since).await.unwrap(), "each user for himself");
    let now = committed(tx, since + 1_000).await;
    assert_eq!(db.ledger.idempotent("ann", "k'1", since).await.unwrap(), Some(("f".into(), first)));
    assert_eq!(db.ledger.idempotent("ann", "k'1", now + 1).await.unwrap(), None, "too old");
    let tx = db.tx().await;
    assert!(tx.remember_request("ann", "k'1", "g", second, now + 1).await.unwrap(), "an old key is anybody's again");
    tx.commit().await.unwrap();
    // Two requests with one key at once: the second waits for the first, and is told.
    let both = futures::future::join_all([first, second].map(|video| {
        let ledger = db.ledger.clone();
        async move {
            let tx = ledger.begin().await.unwrap();
            let mine = tx.remember_request("ann", "twice", "f", video, since).await.unwrap();
            committed(tx, mine).await
        }
    }));
    assert_eq!(both.await.into_iter().filter(|mine| *mine).count(), 1);
}

async fn keys_and_sessions_end(db: Database) {
    let tx = db.tx().await;
    tx.insert_key("k1", "ann", Role::Creator, "h1").await.unwrap();
    tx.insert_key("k2", "bob", Role::Viewer, "h2").await.unwrap();
    let later = tx.now() + 60_000;
    tx.insert_session(SessionKind::Link, "link", "k1", later).await.unwrap();
    tx.insert_session(SessionKind::Cookie, "cookie", "k1", later).await.unwrap();
    assert_eq!(tx.take_link("cookie").await.unwrap(), None, "a cookie is no link");
    assert_eq!(tx.take_link("link").await.unwrap().unwrap().user, "ann");
    assert_eq!(tx.take_link("link").await.unwrap(), None, "once");
    let now = committed(tx, later - 60_000).await;
    assert_eq!(db.ledger.key_by_hash("h1").await.unwrap().unwrap().id, "k1");
    assert_eq!(db.ledger.key_by_hash("' or 1=1 --").await.unwrap(), None);
    assert_eq!(db.ledger.key_by_session("cookie", now).await.unwrap().unwrap().role, Role::Creator);
    assert_eq!(db.ledger.key_by_session("cookie", later).await.unwrap(), None, "it is over");
    let tx = db.tx().await;
    let twice = tx.insert_key("k3", "eve", Role::Operator, "h1").await;
    assert!(matches!(twice, Err(LedgerError::Conflict)), "{twice:?}");
    drop(tx);
    let tx = db.tx().await;
    assert!(tx.revoke_key("k1").await.unwrap());
    assert!(!tx.revoke_key("k1").await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(db.ledger.key_by_session("cookie", now).await.unwrap(), None);
    assert_eq!(db.ledger.key_by_hash("h1").await.unwrap(), None);
    assert_eq!(db.ledger.users().await.unwrap(), ["ann", "bob"]);
    assert_eq!(db.ledger.keys().await.unwrap().len(), 2);
}

async fn history_keeps_its_order(db: Database) {
    let video = VideoId::new();
    for number in 0..30 {
        let tx = db.tx().await;
        for half in 0..2 {
            let detail = json!({ "number": number * 2 + half, "text": "NUL \0, '\"\\ and 🎬" });
            tx.note(video, Some(Stage::Edit), "retry", detail).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    let lines = db.ledger.history(video).await.unwrap();
    let numbers: Vec<i64> = lines.iter().map(|line| line.detail["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>(), "also within a millisecond and a transaction");
    assert_eq!(lines[0].detail["text"], "NUL \0, '\"\\ and 🎬");
    assert!(db.ledger.history(VideoId::new()).await.unwrap().is_empty());
}

async fn dead_entries_are_kept_once(db: Database) {
    for entry in ["1-0", "2-0", "1-0"] {
        let tx = db.tx().await;
        tx.bury_entry("video.edited", entry, "{\"task\":\"?\"}", "the field `video` is missing").await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(db.ledger.dead_entry_count("video.edited").await.unwrap(), 2);
    assert_eq!(db.ledger.dead_entry_count("video.uploaded").await.unwrap(), 0);
    assert_eq!(db.ledger.dead_entries(1).await.unwrap().len(), 1);
}

async fn usage_adds_up(db: Database) {
    let adders = (0..8).map(|_| async {
        let tx = db.ledger.begin().await.unwrap();
        for purpose in ["append", "read"] {
            tx.add_usage("2026-11", purpose, "serve", 3).await.unwrap();
        }
        tx.add_usage_of_day("2026-11-30", 6).await.unwrap();
        tx.commit().await.unwrap();
    });
    futures::future::join_all(adders).await;
    let usage = db.ledger.usage("2026-11").await.unwrap();
    assert_eq!(usage.iter().map(|row| row.commands).collect::<Vec<_>>(), [24, 24]);
    assert!(db.ledger.usage("2026-12").await.unwrap().is_empty());
    assert_eq!(db.ledger.usage_by_day("2026-11").await.unwrap(), [("2026-11-30".to_owned(), 48)]);
    assert!(db.ledger.usage_by_day("2026-12").await.unwrap().is_empty());
}

async fn what_processes_count_adds_up(db: Database) {
    let number = |part: &str| Number { name: "ran".into(), labels: r#"{"stage":"edit"}"#.into(), part: part.into() };
    for (sum, bucket) in [(7.25, 1.0), (0.5, 2.0)] {
        let tx = db.tx().await;
        tx.add_counted(&[]).await.unwrap();
        tx.add_counted(&[(number("10"), bucket), (number("sum"), sum)]).await.unwrap();
        tx.commit().await.unwrap();
    }
    let mut counted = db.ledger.counted().await.unwrap();
    counted.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(counted, [(number("10"), 3.0), (number("sum"), 7.75)]);
}

async fn what_waits_is_told_by_its_reason(db: Database) {
    db.account("ada").await;
    let now = db.ledger.now().await.unwrap();
    for place in 0..4 {
        let task = db.task(New::of(Stage::Edit, "ada")).await;
        let wait = (place < 2).then(|| Reason::new("backoff", "later"));
        let due_at = if place == 3 { now - 5_000 } else { now + 600_000 };
        db.put(&task, &Task { due_at, wait, ..task.clone() }).await;
    }
    let parked = db.ledger.parked_by_reason(Stage::Edit, now).await.unwrap();
    assert_eq!(parked, [("backoff".to_owned(), 2), ("scheduled".to_owned(), 1)]);
    assert_eq!(db.ledger.due_since(Stage::Edit, now).await.unwrap(), Some(now - 5_000));
    assert_eq!(db.ledger.due_since(Stage::Publish, now).await.unwrap(), None);
    let counts = db.ledger.account_counts().await.unwrap();
    assert_eq!(counts, [(AccountState::Active, 1), (AccountState::Reconnect, 0)]);
    let tx = db.tx().await;
    let mut held = LimitRow::default();
    (held.open_at, held.closed_until) = (now + 1, now + 1);
    tx.put_limit("publish/open_ada", &held).await.unwrap();
    tx.put_limit("publish", &held).await.unwrap();
    tx.commit().await.unwrap();
    let held = db.ledger.creators_held(now).await.unwrap();
    assert_eq!((held.used_up, held.closed), (1, 1), "a stage's key is no creator");
}

async fn workers_come_and_go(db: Database) {
    let tx = db.tx().await;
    let worker = |name: &str, slots| Worker {
        name: name.into(),
        stage: "edit".into(),
        host: "h".into(),
        pid: 1,
        slots,
        busy: 0,
        started_at: 0,
        seen_at: 0,
    };
    for (name, slots) in [("a", 2), ("b", 4), ("a", 3)] {
        tx.seen(&worker(name, slots)).await.unwrap();
    }
    let now = committed(tx, 0).await + db.ledger.now().await.unwrap();
    assert_eq!(db.ledger.slots(Stage::Edit, now - 60_000).await.unwrap(), 7);
    assert_eq!(db.ledger.slots(Stage::Edit, now + 60_000).await.unwrap(), 0);
    assert_eq!(db.ledger.slots(Stage::Publish, 0).await.unwrap(), 0);
    let tx = db.tx().await;
    tx.worker_left("b").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(db.ledger.workers(0).await.unwrap().len(), 1);
    let tx = db.tx().await;
    tx.forget_workers(now + 60_000).await.unwrap();
    tx.commit().await.unwrap();
    assert!(db.ledger.workers(0).await.unwrap().is_empty());
}

async fn settings_and_the_clock(db: Database) {
    let tx = db.tx().await;
    tx.put_setting("a", "1").await.unwrap();
    tx.put_setting("a", "2").await.unwrap();
    let instance = tx.instance().await.unwrap();
    assert_eq!(tx.instance().await.unwrap(), instance);
    tx.commit().await.unwrap();
    assert_eq!(db.ledger.setting("a").await.unwrap().as_deref(), Some("2"));
    assert_eq!(db.ledger.setting("b").await.unwrap(), None);
    let (first, other) = (db.ledger.now().await.unwrap(), db.another().await.now().await.unwrap());
    assert!(other >= first, "one clock for all processes: {first}, {other}");
    let system = SystemClock::now();
    assert!((system - other).abs() < 60_000, "milliseconds since 1970: {other}, the machine has {system}");
    // Times are kept to the millisecond.
    let task = db.task(New::of(Stage::Edit, "ada")).await;
    assert_eq!(db.read(&task).await.due_at, task.due_at);
}
