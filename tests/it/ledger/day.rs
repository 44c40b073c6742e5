//! Hours of posting on a clock that is turned by hand: the real release, the real limits, tasks and ledger; what is played
//! is a relay that looks once a second, workers, and the time that TikTok takes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use subiteya::config::{StageConfig, StagesConfig};
use subiteya::event::{Stage, TaskId};
use subiteya::ledger::Ledger;
use subiteya::limit::{self, Ask, Key, Verdict};
use subiteya::outcome::Outcome;
use subiteya::relay::Dispatch;

use super::database::{Database, New, Raw, Server, claim, leased, open};

const START: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// How often a relay looks.
const TICK: i64 = 1_000;
/// From the lease to the permit, and from there to the last byte.
const ASKING: i64 = 300;
const SENDING: i64 = 4_000;
const WORKERS: usize = 4;

/// What a worker does, and until when.
#[derive(Clone, Copy)]
enum Doing {
    Nothing,
    Asking(TaskId, i64),
    Sending(TaskId, i64),
}

struct World {
    db: Database,
    raw: Raw,
    clock: Arc<AtomicI64>,
    stages: StagesConfig,
    dispatch: Dispatch,
    stage: Stage,
    stream: VecDeque<TaskId>,
    workers: [Doing; WORKERS],
    /// When each was due at first: what is parked is due later.
    due: HashMap<TaskId, i64>,
    /// Who began, when it was due at first, and when that was.
    begun: Vec<(String, i64, i64)>,
}

fn stages() -> StagesConfig {
    let stage = StageConfig {
        concurrency: 1,
        limit: Some("3/1m".parse().expect("a rate")),
        limit_per_account: None,
        attempts: 2,
        backoff: Duration::from_secs(10),
        lease: Duration::from_secs(30),
        stalled_check: Duration::from_secs(300),
        retain: Duration::from_secs(3600),
    };
    StagesConfig {
        publish: StageConfig { limit_per_account: Some("1/5m".parse().expect("a rate")), ..stage.clone() },
        edit: stage,
    }
}

impl World {
    async fn new(server: &mut Server, name: &str, stage: Stage) -> Self {
        let Database { url, ledger } = server.database(name).await;
        drop(ledger);
        let clock = Arc::new(AtomicI64::new(START));
        let ledger: Ledger = open(&url).await.by_clock(clock.clone());
        let db = Database { url, ledger };
        let (raw, stages) = (db.raw().await, stages());
        let dispatch = Dispatch::new(None, stages.clone());
        let workers = [Doing::Nothing; WORKERS];
        Self {
            db,
            raw,
            clock,
            stages,
            dispatch,
            stage,
            stream: VecDeque::new(),
            workers,
            due: HashMap::new(),
            begun: Vec::new(),
        }
    }

    /// So many videos of each of these accounts, due within the first `spread` milliseconds.
    async fn wait(&self, accounts: &[String], each: usize, spread: i64, random: &mut impl rand::Rng) {
        let tx = self.db.tx().await;
        for account in accounts {
            tx.put_account(&super::database::account(account, &format!("open_{account}"))).await.expect("an account");
            for _ in 0..each {
                let due = if spread == 0 { 0 } else { random.random_range(0..spread) };
                New::of(self.stage, account).due(due).insert(&tx).await;
            }
        }
        tx.commit().await.expect("committed");
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn all(&self) -> Ask {
        match self.stage {
            Stage::Edit => Ask { key: Key::Edit, rate: self.stages.edit.limit },
            Stage::Publish | Stage::Confirm => Ask { key: Key::Publish, rate: self.stages.publish.limit },
        }
    }

    fn asks(&self, creator: &str) -> Vec<Ask> {
        let mut asks = vec![self.all()];
        if self.stage == Stage::Publish {
            let rate = self.stages.publish.limit_per_account;
            asks.push(Ask { key: Key::Creator(creator.to_owned()), rate });
        }
        asks
    }

    async fn look(&self) -> Verdict {
        limit::look(&self.db.ledger, self.now(), &[self.all()]).await.expect("looked")
    }

    /// Until that time, or until nothing is left of these accounts.
    async fn run(&mut self, until: i64, done: impl Fn(&[(String, i64, i64)]) -> bool) {
        while self.now() < until && !done(&self.begun) {
            if self.now() % TICK == 0 {
                self.release().await;
            }
            let mut next = self.work().await;
            let relay = self.relay_is_wanted().await.max(self.now() + 1);
            next = next.min((relay + TICK - 1) / TICK * TICK);
            assert!(next > self.now() && next < i64::MAX / 4, "nothing is left to do");
            self.clock.store(next, Ordering::Relaxed);
        }
    }

    async fn release(&mut self) {
        let tx = self.db.tx().await;
        let room = self.dispatch.room_now(&tx, self.stage).await.expect("room");
        let released = tx.release(self.stage, room).await.expect("released");
        tx.commit().await.expect("committed");
        self.stream.extend(released.into_iter().map(|one| one.entry.task));
    }

    /// When a release may find something: not each second of a day is looked at.
    async fn relay_is_wanted(&self) -> i64 {
        let now = self.now();
        if let Verdict::Closed { until, .. } = self.look().await
            && until > now + 2 * TICK
        {
            return until - 2 * TICK;
        }
        let first = |sql: String| async move { self.raw.number(&sql).await };
        // Held up by room alone, which a start may make at any moment.
        let startable = format!(
            "select count(*) from tasks t where t.state = 'waiting' and t.due_at <= {now} and not exists (
                select 1 from limits l where l.name = 'publish/' || t.creator and l.open_at > {now})"
        );
        if first(startable).await > 0 {
            return now + TICK;
        }
        let due = format!("select coalesce(min(due_at), 0) from tasks where state = 'waiting' and due_at > {now}");
        let open =
            format!("select coalesce(min(open_at), 0) from limits where open_at > {now} and name like 'publish/%'");
        let times = [first(due).await, first(open).await, now + HOUR];
        times.into_iter().filter(|&time| time > now).min().unwrap_or(now + TICK)
    }

    /// What the workers do now; when one of them has something to do again.
    async fn work(&mut self) -> i64 {
        let mut next = i64::MAX;
        for worker in 0..WORKERS {
            loop {
                let now = self.now();
                self.workers[worker] = match self.workers[worker] {
                    Doing::Asking(task, until) if until <= now => self.begin(task).await,
                    Doing::Sending(task, until) if until <= now => self.settle(task).await,
                    Doing::Asking(_, until) | Doing::Sending(_, until) => {
                        next = next.min(until);
                        break;
                    }
                    Doing::Nothing => match self.look().await {
                        _ if self.stream.is_empty() => break,
                        Verdict::Closed { until, .. } => {
                            next = next.min(until.min(now + TICK));
                            break;
                        }
                        Verdict::Open => self.take().await,
                    },
                };
            }
        }
        next
    }

    async fn take(&mut self) -> Doing {
        let Some(task) = self.stream.pop_front() else { return Doing::Nothing };
        let tx = self.db.tx().await;
        let row = tx.task(task).await.expect("read").expect("a row");
        self.due.entry(task).or_insert(row.task.due_at);
        let asks = self.asks(&row.creator);
        let verdict = match self.stage {
            Stage::Edit => limit::take(&tx, &asks).await.expect("asked"),
            Stage::Publish | Stage::Confirm => limit::look(&tx, tx.now(), &asks).await.expect("asked"),
        };
        let doing = match verdict {
            Verdict::Closed { until, reason } => {
                let parked = row.task.postpone(until, reason, tx.now()).expect("parked");
                tx.put_task(&row.task, &parked).await.expect("written");
                Doing::Nothing
            }
            Verdict::Open => {
                let running = leased(&row.task, claim(3_600, "1-0"), tx.now());
                tx.put_task(&row.task, &running).await.expect("written");
                if self.stage == Stage::Edit {
                    tx.mark_permitted(task).await.expect("written");
                    self.begun.push((row.account, self.due[&task], tx.now()));
                    Doing::Sending(task, tx.now() + SENDING)
                } else {
                    Doing::Asking(task, tx.now() + ASKING)
                }
            }
        };
        tx.commit().await.expect("committed");
        doing
    }

    /// The permits, and the init.
    async fn begin(&mut self, task: TaskId) -> Doing {
        let tx = self.db.tx().await;
        let row = tx.task(task).await.expect("read").expect("a row");
        let doing = match limit::take(&tx, &self.asks(&row.creator)).await.expect("asked") {
            Verdict::Open => {
                tx.mark_permitted(task).await.expect("written");
                self.begun.push((row.account, self.due[&task], tx.now()));
                Doing::Sending(task, tx.now() + SENDING)
            }
            Verdict::Closed { until, reason } => {
                self.end(&tx, &row.task, &Outcome::Parked { until, reason }).await;
                Doing::Nothing
            }
        };
        tx.commit().await.expect("committed");
        doing
    }

    async fn settle(&self, task: TaskId) -> Doing {
        let tx = self.db.tx().await;
        let row = tx.task(task).await.expect("read").expect("a row");
        self.end(&tx, &row.task, &Outcome::Done).await;
        tx.commit().await.expect("committed");
        Doing::Nothing
    }

    async fn end(&self, tx: &subiteya::ledger::Tx, task: &subiteya::task::Task, outcome: &Outcome) {
        let token = task.token.expect("a lease");
        let ended = task.settle(token, outcome, 2, Duration::ZERO, tx.now()).expect("settled");
        tx.put_task(task, &ended).await.expect("written");
    }
}

fn names(number: usize) -> Vec<String> {
    (0..number).map(|number| format!("a{number:02}")).collect()
}

/// No window of `length` holds more than `most`.
fn hold(times: &[i64], most: usize, length: i64) {
    for some in times.windows(most + 1) {
        assert!(some[most] - some[0] >= length, "{} in {} ms", most + 1, some[most] - some[0]);
    }
}

async fn used(server: &mut Server, name: &str, accounts: usize, hours: i64) {
    let mut world = World::new(server, name, Stage::Publish).await;
    let each = usize::try_from(hours * 12 * 15 / i64::try_from(accounts).expect("few"))
        .expect("few")
        .min(usize::try_from(hours * 12).expect("few"));
    world.wait(&names(accounts), each + 2, 0, &mut rand::rng()).await;
    world.run(START + hours * HOUR, |_| false).await;
    let times: Vec<i64> = world.begun.iter().map(|(_, _, at)| *at).collect();
    hold(&times, 3, MINUTE);
    let mut of_each: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (account, _, at) in &world.begun {
        of_each.entry(account).or_default().push(*at);
    }
    of_each.values().for_each(|times| hold(times, 1, 5 * MINUTE));
    let allowed = (hours * 180).min(hours * 12 * i64::try_from(accounts).expect("few")) as f64;
    let share = times.len() as f64 / allowed;
    println!("{name}: {} of {allowed} in {hours} h: {:.1} %", times.len(), share * 100.0);
    assert!(share >= 0.95, "{:.1} % of the allowance were used", share * 100.0);
}

/// The mean wait of fifty others, in milliseconds.
async fn mean_wait(server: &mut Server, stage: Stage, beside: bool) -> f64 {
    let name = format!("fair_{stage}_{}", if beside { "beside" } else { "alone" });
    let mut world = World::new(server, &name, stage).await;
    let mut random = rand::rngs::StdRng::seed_from_u64(5);
    if beside {
        world.wait(&["large".to_owned()], 1_000, 0, &mut rand::rng()).await;
    }
    let others = 50 * 6;
    world.wait(&names(50), 6, 30_000, &mut random).await;
    let of_others = |begun: &[(String, i64, i64)]| begun.iter().filter(|(account, ..)| account != "large").count();
    world.run(START + 24 * HOUR, |begun| of_others(begun) == others).await;
    let waits = world.begun.iter().filter(|(account, ..)| account != "large").map(|(_, due, at)| at - due);
    waits.sum::<i64>() as f64 / others as f64
}

async fn fair(mut server: Server) {
    for stage in Stage::STREAMED {
        let alone = mean_wait(&mut server, stage, false).await;
        let beside = mean_wait(&mut server, stage, true).await;
        let more = (beside / alone - 1.0) * 100.0;
        println!("{stage}: {:.1} min alone, {:.1} min beside a thousand: {more:+.1} %", alone / 6e4, beside / 6e4);
        assert!(more.abs() <= 5.0, "{stage}: {more:+.1} %");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_videos_of_one_do_not_delay_fifty_others_on_sqlite() {
    fair(Server::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_videos_of_one_do_not_delay_fifty_others_on_postgresql() {
    fair(Server::postgresql().await).await;
}

/// Few accounts are held by their own limits, many by that of all.
#[tokio::test(flavor = "multi_thread")]
async fn with_work_waiting_95_percent_of_the_allowance_are_used_and_no_window_holds_more() {
    let mut server = Server::sqlite();
    used(&mut server, "a_day_of_few", 1, 24).await;
    used(&mut server, "hours_of_many", 40, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run by `make limits`"]
async fn a_whole_day_of_many() {
    used(&mut Server::sqlite(), "a_day_of_many", 40, 24).await;
    used(&mut Server::postgresql().await, "a_day_of_many", 40, 24).await;
}
