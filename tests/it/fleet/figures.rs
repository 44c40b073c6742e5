//! What a fleet on real services carries, and what it runs into first. Takes minutes; `make fleet` runs it and writes
//! what it prints into `docs/figures/fleet.md`:
//!
//! ```sh
//! FLEET_VIDEOS=2000 FLEET_EDIT=10 FLEET_PUBLISH=4 FLEET_SERVE=2 make fleet
//! ```
//!
//! Two stretches, so that each shows its own bound: first all videos are uploaded while no worker runs, then the workers
//! are started and work off the backlog.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use super::load::{self, Verdict};
use crate::support::cluster::Cluster;
use crate::support::fleet::Fleet;
use crate::support::postgres::Postgres;
use crate::support::s3::S3Server;
use crate::support::standin::StandIn;
use crate::support::usage::{Cpu, Processes, machine};

const NO_LIMITS: &str = r#"
[streams."video.uploaded"]
limit = ""
[streams."video.edited"]
limit = ""
limit_per_account = ""
concurrency = 2
"#;
/// Slots of a worker of either stage, as above and by default.
const SLOTS: usize = 2;

struct Plan {
    videos: usize,
    accounts: usize,
    serves: usize,
    editors: usize,
    publishers: usize,
}

impl Plan {
    fn from_environment() -> Self {
        let number = |name: &str, default: usize| {
            std::env::var(name).ok().map_or(default, |text| text.parse().expect("a whole number"))
        };
        Self {
            videos: number("FLEET_VIDEOS", 2000),
            accounts: number("FLEET_ACCOUNTS", 100),
            serves: number("FLEET_SERVE", 2),
            editors: number("FLEET_EDIT", 10),
            publishers: number("FLEET_PUBLISH", 4),
        }
    }

    fn names(role: &str, number: usize) -> Vec<String> {
        (1..=number).map(|number| if number == 1 { role.to_owned() } else { format!("{role}{number}") }).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run by `make fleet`"]
async fn fleet_figures() {
    let plan = Plan::from_environment();
    let standin = StandIn::new();
    let (postgres, s3, cluster) = (Postgres::start().await, S3Server::start().await, Cluster::start().await);
    let mut services = s3.variables().to_vec();
    services.extend([("DATABASE_URL", postgres.url()), ("REDIS_URL", cluster.url()), ("PATH", standin.path())]);
    let mut fleet = Fleet::on(NO_LIMITS, &services, |options| {
        options.limits.init_per_minute = 100_000;
        options.limits.creator_info_per_minute = 100_000;
        options.limits.status_per_minute = 100_000;
        options.limits.posts_per_day = 100_000;
        options.keep_videos = false;
    })
    .await;
    let creators = load::creators(plan.accounts);
    fleet.accounts(&creators).await;
    let mut groups: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for name in Plan::names("serve", plan.serves) {
        fleet.start_again(&name);
        groups.entry("serve").or_default().push(fleet.pid(&name));
    }
    fleet.ready().await;
    groups.insert("PostgreSQL", vec![postgres.pid()]);
    groups.insert("Redis Cluster", cluster.pids().collect());
    groups.insert("SeaweedFS", vec![s3.pid()]);
    groups.insert("sandbox and uploader", vec![std::process::id()]);

    let watch = Watch { postgres: &postgres, cluster: &cluster };
    let begun = watch.sample(&groups).await;
    let (accepted, mut activity) = watch.during(load::upload(&fleet, &creators, 0..plan.videos)).await;
    let uploads = Stretch::new(begun, watch.sample(&groups).await, std::mem::take(&mut activity));
    assert_eq!(accepted.len(), plan.videos, "uploads were refused:\n{}", fleet.log("serve"));

    for (role, number) in [("edit", plan.editors), ("publish", plan.publishers)] {
        for name in Plan::names(role, number) {
            fleet.start_again(&name);
            groups.entry(role).or_default().push(fleet.pid(&name));
        }
    }
    let begun = watch.sample(&groups).await;
    let ((), activity) = watch.during(load::until_posted(&fleet, &accepted)).await;
    let work = Stretch::new(begun, watch.sample(&groups).await, activity);

    let verdict = load::verdict(&fleet, &accepted).await;
    let report = report(&plan, &uploads, &work, &slots(&plan, &postgres, &work), &verdict);
    println!("{report}");
    if let Ok(file) = std::env::var("FLEET_RESULTS") {
        std::fs::write(&file, &report).expect("written");
    }
    assert_eq!(verdict, Verdict::default());
}

/// Takes the samples.
struct Watch<'a> {
    postgres: &'a Postgres,
    cluster: &'a Cluster,
}

struct Sample {
    at: Instant,
    cpu: BTreeMap<String, Cpu>,
    machine: (f64, f64),
    /// Of each node: calls and microseconds, by command.
    redis: Vec<BTreeMap<String, (f64, f64)>>,
    transactions: f64,
}

/// What was seen of PostgreSQL's backends, every half a second.
#[derive(Default)]
struct Activity {
    samples: f64,
    /// Backends, added up over the samples, by what they were at.
    backends: BTreeMap<String, f64>,
    /// Samples in which a backend waited for a lock of another one.
    waited: f64,
    most_connections: f64,
}

impl Watch<'_> {
    async fn sample(&self, groups: &BTreeMap<&str, Vec<u32>>) -> Sample {
        let processes = Processes::now();
        let add = |total: Cpu, one: Cpu| Cpu { own: total.own + one.own, children: total.children + one.children };
        let cpu = groups.iter().map(|(name, pids)| {
            ((*name).to_owned(), pids.iter().map(|pid| processes.cpu(*pid)).fold(Cpu::default(), add))
        });
        let transactions = "select xact_commit + xact_rollback from pg_stat_database where datname = 'subiteya'";
        Sample {
            at: Instant::now(),
            cpu: cpu.collect(),
            machine: machine(),
            redis: self.cluster.command(&["INFO", "commandstats"]).await.iter().map(|text| commands(text)).collect(),
            transactions: self.postgres.sql("postgres", transactions).parse().expect("a number"),
        }
    }

    async fn during<T>(&self, what: impl Future<Output = T>) -> (T, Activity) {
        let mut activity = Activity::default();
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return (done, activity),
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
            let sql = "select case when state = 'active' then coalesce('waits for ' || wait_event_type, 'computes')
                       else state end, count(*) from pg_stat_activity where datname = 'subiteya' group by 1";
            let shown = tokio::task::block_in_place(|| self.postgres.sql("postgres", sql));
            activity.samples += 1.0;
            let mut connections = 0.0;
            for (state, number) in shown.lines().filter_map(|line| line.split_once('|')) {
                let number: f64 = number.parse().expect("a number");
                *activity.backends.entry(state.to_owned()).or_default() += number;
                activity.waited += f64::from(u8::from(state == "waits for Lock"));
                connections += number;
            }
            activity.most_connections = activity.most_connections.max(connections);
        }
    }
}

fn commands(commandstats: &str) -> BTreeMap<String, (f64, f64)> {
    let line = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let (calls, rest) = rest.split_once(",usec=")?;
        Some((name.to_owned(), (calls.parse().ok()?, rest.split(',').next()?.parse().ok()?)))
    };
    commandstats.lines().filter_map(line).collect()
}

/// Everything between two samples.
struct Stretch {
    seconds: f64,
    cpu: BTreeMap<String, Cpu>,
    /// Share of the machine's CPU time that was used, by whomever.
    machine: f64,
    cores: f64,
    calls: BTreeMap<String, f64>,
    /// Share of its time that the busiest node spent in commands.
    redis: f64,
    transactions: f64,
    activity: Activity,
}

impl Stretch {
    fn new(begun: Sample, ended: Sample, activity: Activity) -> Self {
        let seconds = (ended.at - begun.at).as_secs_f64();
        let cpu = ended.cpu.iter().map(|(name, after)| {
            let before = begun.cpu.get(name).copied().unwrap_or_default();
            (name.clone(), *after - before)
        });
        let had = ended.machine.1 - begun.machine.1;
        let mut calls: BTreeMap<String, f64> = BTreeMap::new();
        let mut busiest = 0.0_f64;
        for (after, before) in ended.redis.iter().zip(&begun.redis) {
            let mut busy = 0.0;
            for (name, (number, usec)) in after {
                let (number_before, usec_before) = before.get(name).copied().unwrap_or_default();
                busy += usec - usec_before;
                *calls.entry(name.clone()).or_default() += number - number_before;
            }
            busiest = busiest.max(busy / 1e6 / seconds);
        }
        calls.retain(|name, number| *number > 0.0 && name != "info");
        Self {
            seconds,
            cpu: cpu.collect(),
            machine: (ended.machine.0 - begun.machine.0) / had,
            cores: (had / seconds).round(),
            calls,
            redis: busiest,
            transactions: ended.transactions - begun.transactions,
            activity,
        }
    }

    /// Of all CPU time that the machine had.
    fn share(&self, cpu: f64) -> f64 {
        cpu / self.seconds / self.cores
    }

    fn largest(&self) -> (&str, f64) {
        let shares = self.cpu.iter().map(|(name, cpu)| (name.as_str(), self.share(cpu.total())));
        shares.max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or_default()
    }

    /// What stood in the way first, named from the shares.
    fn bottleneck(&self, slots: &BTreeMap<&str, f64>) -> String {
        if self.machine > 0.9 {
            let (name, share) = self.largest();
            let all = percent(self.machine);
            return format!("the machine's CPU ({all} used), most of it by {name} ({} of all)", percent(share));
        }
        let lock = self.activity.waited / self.activity.samples.max(1.0);
        let mut shares =
            vec![("a row lock in PostgreSQL".to_owned(), lock), ("a node of Redis".to_owned(), self.redis)];
        shares.extend(slots.iter().map(|(stage, share)| (format!("the slots of {stage}"), *share)));
        let most = shares.into_iter().max_by(|one, other| one.1.total_cmp(&other.1));
        most.map_or_else(String::new, |(name, share)| format!("{name} ({} of the time)", percent(share)))
    }
}

/// The share of their time that the slots of each stage were taken, by the ledger's history.
fn slots(plan: &Plan, postgres: &Postgres, work: &Stretch) -> BTreeMap<&'static str, f64> {
    let mut shares = BTreeMap::new();
    for (stage, workers) in [("edit", plan.editors), ("publish", plan.publishers)] {
        let sql = format!(
            "select coalesce(sum(case when event in ('started', 'taken over') then -at else at end), 0) from history
             where stage = '{stage}' and event in ('started', 'taken over', 'done', 'retry', 'parked', 'failed', 'handed back')"
        );
        let busy: f64 = postgres.sql("subiteya", &sql).parse().expect("a number");
        shares.insert(stage, busy / 1000.0 / work.seconds / (workers * SLOTS) as f64);
    }
    shares
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn report(plan: &Plan, uploads: &Stretch, work: &Stretch, slots: &BTreeMap<&str, f64>, verdict: &Verdict) -> String {
    let mut text = String::new();
    let videos = plan.videos as f64;
    let mut line = |line: String| writeln!(text, "{line}").expect("a string takes it");
    line("# A fleet on PostgreSQL, S3 and a Redis Cluster\n".to_owned());
    line(
        "Written by `make fleet`; FFmpeg is stood in for by a copy, TikTok by the sandbox, all on one machine.\n"
            .to_owned(),
    );
    line(origin());
    line(format!(
        "{} videos of {} accounts; {} serve, {} work edit, {} work publish with {SLOTS} slots each; no limits.\n",
        plan.videos, plan.accounts, plan.serves, plan.editors, plan.publishers
    ));
    line(format!(
        "**{} lost, {} double**, {} of other bytes, {} rules of TikTok's broken; {} attempts and {} takeovers counted.\n",
        verdict.lost.len(),
        verdict.double.len(),
        verdict.other_bytes.len(),
        verdict.rules_broken,
        verdict.attempts,
        verdict.takeovers
    ));
    line("| | uploading, no worker running | working off the backlog |\n|---|---|---|".to_owned());
    let mut row = |name: &str, show: &dyn Fn(&Stretch) -> String| {
        line(format!("| {name} | {} | {} |", show(uploads), show(work)));
    };
    row("seconds", &|s| format!("{:.1}", s.seconds));
    row("**videos a second**", &|s| format!("**{:.1}**", videos / s.seconds));
    row("CPU of the machine", &|s| format!("{} of {} cores", percent(s.machine), s.cores));
    for name in work.cpu.keys() {
        row(&format!("· {name}"), &|s| match s.cpu.get(name) {
            None => "–".to_owned(),
            Some(cpu) => {
                let each = cpu.total() * 1000.0 / videos;
                format!("{}, {each:.1} ms a video", percent(s.share(cpu.total())))
            }
        });
    }
    for (name, what) in [("edit", "shells and the stand-in"), ("serve", "shells and the stand-in")] {
        row(&format!("· of {name}: {what}"), &|s| {
            s.cpu.get(name).map_or("–".to_owned(), |cpu| percent(s.share(cpu.children)))
        });
    }
    for (stage, share) in slots {
        row(&format!("slots of {stage} taken"), &|s| {
            if std::ptr::eq(s, work) { percent(*share) } else { "–".to_owned() }
        });
    }
    row("PostgreSQL: transactions a video", &|s| format!("{:.1}", s.transactions / videos));
    row("· connections at most", &|s| format!("{:.0}", s.activity.most_connections));
    row("· time with a backend waiting for a lock", &|s| percent(s.activity.waited / s.activity.samples.max(1.0)));
    for state in work.activity.backends.keys() {
        row(&format!("· backends: {state}"), &|s| {
            let sum = s.activity.backends.get(state).copied().unwrap_or(0.0);
            format!("{:.2}", sum / s.activity.samples.max(1.0))
        });
    }
    row("Redis: busiest node in commands", &|s| format!("{:.1} %", s.redis * 100.0));
    row("· commands a video", &|s| format!("{:.2}", s.calls.values().sum::<f64>() / videos));
    for name in work.calls.keys() {
        row(&format!("· {name}"), &|s| format!("{:.3}", s.calls.get(name).copied().unwrap_or(0.0) / videos));
    }
    row("**first bottleneck**", &|s| {
        if std::ptr::eq(s, work) { s.bottleneck(slots) } else { s.bottleneck(&BTreeMap::new()) }
    });
    text
}

/// Commit, build and machine.
fn origin() -> String {
    let told = |program: &str, args: &[&str]| {
        let output = std::process::Command::new(program).args(args).output();
        output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 20;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let changed = if told("git", &["status", "--porcelain"]).is_empty() { "" } else { " with changes" };
    format!(
        "Commit {}{changed}, {build} build, {}; {model}, {cores} cores, {memory} GiB.\n",
        told("git", &["rev-parse", "--short", "HEAD"]),
        chrono::Utc::now().format("%Y-%m-%d"),
    )
}
