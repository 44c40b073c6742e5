//! What was foretold against what came: the real release, lease and limits, under a clock that is moved by hand.

use std::collections::HashMap;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use subiteya::config::{Rate, StageConfig, StagesConfig};
use subiteya::event::{Stage, VideoId};
use subiteya::forecast;
use subiteya::ledger::{Ledger, LedgerError, Pause, Priority, Released, TaskRow, Tx};
use subiteya::limit::{self, Ask, Key, Verdict};
use subiteya::outcome::{Outcome, Reason};
use subiteya::relay::Dispatch;
use subiteya::stage::lease::{self, Taken};
use subiteya::stage::{Admission, Engine, Lease, Run, Stop, Times, Work, settle};

use super::database::{New, Server};
use crate::support::later;

/// What a run takes where the ledger has seen none.
const RUN: i64 = 10_000;
/// How far a forecast may be off, as docs have it.
const BOUND: i64 = 5_000;

/// Publishing without TikTok: the permits are taken, and that is all.
struct Posting(StageConfig);

impl Posting {
    fn asks(&self, creator: &str) -> [Ask; 2] {
        [
            Ask { key: Key::Publish, rate: self.0.limit },
            Ask { key: Key::Creator(creator.to_owned()), rate: self.0.limit_per_account },
        ]
    }
}

impl Work for Posting {
    type Made = ();
    const STAGE: Stage = Stage::Publish;

    async fn look(&self, ledger: &Ledger) -> Result<Admission, LedgerError> {
        let ask = Ask { key: Key::Publish, rate: self.0.limit };
        Ok(limit::look(ledger, ledger.now().await?, &[ask]).await?.into())
    }

    async fn admit(&self, tx: &Tx, task: &TaskRow) -> Result<Admission, LedgerError> {
        Ok(limit::take(tx, &self.asks(&task.creator)).await?.into())
    }

    async fn run(&self, _: &Lease) -> Run<()> {
        Run::Ended(Outcome::Done, None)
    }

    async fn settle(&self, _: &Tx, _: &TaskRow, _: &Outcome, _: Option<()>) -> Result<Vec<Released>, LedgerError> {
        Ok(Vec::new())
    }

    async fn last(&self, _: &Tx, _: &TaskRow, reason: Reason) -> Result<Outcome, LedgerError> {
        Ok(Outcome::Dead(reason))
    }
}

fn stages() -> StagesConfig {
    let stage = StageConfig {
        concurrency: 1,
        limit: Some(Rate { count: 3, window: Duration::from_secs(60) }),
        limit_per_account: None,
        attempts: 2,
        backoff: Duration::from_secs(10),
        lease: Duration::from_secs(30),
        stalled_check: Duration::from_secs(300),
        retain: Duration::from_secs(3600),
    };
    let per_account = Some(Rate { count: 1, window: Duration::from_secs(300) });
    StagesConfig { edit: stage.clone(), publish: StageConfig { limit_per_account: per_account, ..stage } }
}

fn engine(ledger: &Ledger) -> Engine {
    Engine {
        ledger: ledger.clone(),
        dispatch: Dispatch::new(None, stages()),
        config: stages().publish,
        times: Times::default(),
        stop: Stop::default(),
        health: Default::default(),
        acks: Default::default(),
    }
}

/// The next time at which anything may change while nothing can be begun.
async fn next_change(ledger: &Ledger, now: i64) -> Option<i64> {
    let mut times: Vec<i64> = ledger.pauses().await.unwrap().iter().filter_map(|pause| pause.until).collect();
    for (_, row) in ledger.limits().await.unwrap() {
        times.extend([row.open_at, row.closed_until]);
    }
    times.extend(ledger.queue(Stage::Publish).await.unwrap().waiting.iter().map(|one| one.due_at));
    times.into_iter().filter(|&time| time > now).min()
}

/// Plays everything through for real. When each video was begun.
async fn come_true(mut ledger: Ledger, url: &str, number: usize) -> HashMap<VideoId, i64> {
    let (mut began, posting) = (HashMap::new(), Posting(stages().publish));
    let mut now = ledger.now().await.unwrap();
    while began.len() < number {
        ledger = later(url, now).await;
        let engine = engine(&ledger);
        let tx = ledger.begin().await.unwrap();
        tx.release(Stage::Publish, engine.dispatch.room(Stage::Publish)).await.unwrap();
        tx.commit().await.unwrap();
        if let Admission::Closed { until, .. } = posting.look(&ledger).await.unwrap() {
            now = until;
            continue;
        }
        let out = ledger.unread_before(Stage::Publish, i64::MAX).await.unwrap();
        let Some(row) = out.first() else {
            // A relay looks once a second.
            now = next_change(&ledger, now).await.expect("something is still to come") + 500;
            continue;
        };
        let entry = Some(format!("{}-0", row.task.seq));
        if let Taken::Granted(row) = lease::take(&engine, &posting, "w", row.task.id, entry).await.unwrap() {
            began.insert(row.task.video, now);
            assert!(settle::settle(&engine, &posting, &row, Outcome::Done, None).await);
            now += RUN;
        }
    }
    began
}

#[tokio::test]
async fn fifty_videos_of_five_accounts_are_posted_when_it_was_foretold() {
    let mut server = Server::sqlite();
    let db = server.database("forecast").await;
    let mut random = rand::rngs::StdRng::seed_from_u64(11);
    let start = db.ledger.now().await.unwrap();
    for account in 0..5 {
        db.account_of(&format!("a{account}"), &format!("c{account}")).await;
    }
    let tx = db.tx().await;
    let mut videos = Vec::new();
    for number in 0..50 {
        let account = if number < 20 { 0 } else { random.random_range(0..5usize) };
        let (name, creator) = (format!("a{account}"), format!("c{account}"));
        let priority = Priority::from_number(random.random_range(0..3));
        // Some for a time that is still to come.
        let due = if number % 10 == 9 { random.random_range(0..1_800_000) } else { 0 };
        let new = New { creator: Some(&creator), ..New::of(Stage::Publish, &name).priority(priority).due(due) };
        videos.push(new.insert(&tx).await.video);
    }
    tx.put_pause(&Pause {
        name: "account/a1".into(),
        until: Some(start + 400_000),
        reason: String::new(),
        set_by: None,
    })
    .await
    .unwrap();
    let enough = Reason::new("spam_risk_too_many_posts", "enough for now");
    limit::close(&tx, &Key::Creator("c2".into()), start + 900_000, enough).await.unwrap();
    // Somebody has just posted.
    let asks = Posting(stages().publish).asks("c3");
    assert_eq!(limit::take(&tx, &asks).await.unwrap(), Verdict::Open);
    tx.commit().await.unwrap();

    let foretold = forecast::look(&db.ledger, &Dispatch::new(None, stages()), &stages()).await.unwrap();
    let began = come_true(db.ledger.clone(), &db.url, videos.len()).await;
    let mut off: Vec<i64> = Vec::new();
    for video in &videos {
        let foretold = foretold.of(*video).expect("every one is estimated");
        off.push((began[video] - foretold).abs());
    }
    off.sort_unstable();
    eprintln!("off by {} ms at the median, {} ms at most", off[25], off[49]);
    assert!(off[49] <= BOUND, "{off:?}");
    let last = began.values().max().unwrap() - start;
    assert!(last > 20 * 306_000, "one account's twenty take twenty times five minutes: {last}");
}

#[tokio::test]
async fn what_stands_deeper_than_is_looked_is_counted_and_what_nobody_knows_is_not_foretold() {
    let mut server = Server::sqlite();
    let db = server.database("deep").await;
    let raw = db.raw().await;
    for account in ["deep", "lost", "held"] {
        db.account(account).await;
    }
    let tx = db.tx().await;
    let last = {
        let mut last = None;
        for _ in 0..1_200 {
            last = Some(New::of(Stage::Publish, "deep").insert(&tx).await);
        }
        last.unwrap()
    };
    let lost = New::of(Stage::Publish, "lost").insert(&tx).await;
    let held = New::of(Stage::Edit, "held").insert(&tx).await;
    let edited = New::of(Stage::Edit, "deep").priority(Priority::High).insert(&tx).await;
    tx.needs_reconnect("lost", 1, "revoked").await.unwrap();
    tx.put_pause(&Pause { name: "account/held".into(), until: None, reason: String::new(), set_by: None })
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let look = async || forecast::look(&db.ledger, &Dispatch::new(None, stages()), &stages()).await.unwrap();
    let foretold = look().await;
    assert_eq!((foretold.of(lost.video), foretold.of(held.video), foretold.of(last.video)), (None, None, None));
    let soon = foretold.of(edited.video).unwrap() - foretold.at;
    assert!((30_000..600_000).contains(&soon), "edited first, and then before the others of its account: {soon}");
    let end = foretold.end(Stage::Publish, "deep", 1).unwrap();
    let row = db.ledger.queue(Stage::Publish).await.unwrap().waiting.into_iter().find(|one| one.account == "deep");
    let own = subiteya::ledger::Standing { task: last.id, due_at: last.due_at, video: last.video, ..row.unwrap() };
    let places = db.ledger.between(Stage::Publish, &end.last, &own, 20_000).await.unwrap();
    assert_eq!(places, 200, "two lanes, a thousand each are looked at");
    let at = end.behind(places) - foretold.at;
    // All of 1,201 of one account, five minutes and a little apart.
    let due = 1_200 * 306_000;
    assert!((at - due).abs() < due / 100, "{at} {due}");
    assert_eq!(raw.number("select count(*) from tasks where state = 'waiting'").await, 1_203);

    let tx = db.tx().await;
    tx.put_pause(&Pause { name: "stage/publish".into(), until: None, reason: String::new(), set_by: None })
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(look().await.of(edited.video), None, "nobody knows when the stage goes on");
}
