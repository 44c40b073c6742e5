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
use std::time::Duration;

use super::load::{self, Verdict};
use super::watch::{Stretch, Watch, percent};
use crate::support::cluster::Cluster;
use crate::support::fleet::Fleet;
use crate::support::postgres::Postgres;
use crate::support::s3::S3Server;
use crate::support::standin::StandIn;

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

/// How long the fleet is watched while it has nothing to do.
const IDLE: Duration = Duration::from_secs(10);

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
    groups.insert("sandbox, uploader, sampler", vec![std::process::id()]);

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

    let slots = slots(&plan, &postgres, &work);
    let verdict = load::verdict(&fleet, &accepted).await;
    tokio::time::sleep(IDLE).await;
    let begun = watch.sample(&groups).await;
    let ((), activity) = watch.during(tokio::time::sleep(IDLE)).await;
    let idle = Stretch::new(begun, watch.sample(&groups).await, activity);
    let report = report(&plan, [&uploads, &work, &idle], &slots, &verdict);
    println!("{report}");
    if let Ok(file) = std::env::var("FLEET_RESULTS") {
        let file = std::path::PathBuf::from(file);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(&file, &report).expect("written");
    }
    assert_eq!(verdict, Verdict::default());
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

fn report(plan: &Plan, [uploads, work, idle]: [&Stretch; 3], slots: &BTreeMap<&str, f64>, verdict: &Verdict) -> String {
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
    row("· others on this machine", &|s| percent(s.others()));
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
    let cpu = |name: &str| idle.cpu.get(name).map_or(0.0, |cpu| cpu.total() / idle.seconds * 100.0);
    writeln!(
        text,
        "\nIdle, all {} processes together: {:.0} transactions a second in PostgreSQL, which take {:.1} % of a core; {:.2} Redis \
         commands a second; the processes themselves take {:.1} % of a core.",
        plan.serves + plan.editors + plan.publishers,
        idle.transactions / idle.seconds,
        cpu("PostgreSQL"),
        idle.calls.values().fold(0.0, |sum, number| sum + number) / idle.seconds,
        cpu("serve") + cpu("edit") + cpu("publish"),
    )
    .expect("a string takes it");
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
