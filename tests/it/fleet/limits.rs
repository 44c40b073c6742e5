//! The limits of posting, as TikTok would count: by the arrival of inits in the sandbox's record, with four publishers, one
//! of them an hour off, kills, restarts and a wiped Redis.
//!
//! In the suite the windows are short, and only "never more" is held. `make limits` runs it with the windows as they are by
//! default for LIMITS_SECONDS (1200), and writes how much of the allowance was used into `docs/figures/limits.md`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use subiteya::sandbox::{Call, Kind};

use super::load;
use crate::support::fleet::{Fleet, faked};
use crate::support::postgres::Postgres;
use crate::support::standin::StandIn;

/// At most so many in so many milliseconds.
type Limit = (usize, i64);

struct Plan {
    /// As streams.toml has them.
    rates: [&'static str; 2],
    all: Limit,
    each: Limit,
    accounts: usize,
    videos: usize,
    lasts: Duration,
    /// Between two troubles.
    pause: Duration,
}

/// What came of it.
struct Seen {
    /// When each began, milliseconds.
    inits: Vec<i64>,
    most: [usize; 2],
}

/// The most that stood in any window.
fn most(times: &[i64], window: i64) -> usize {
    (0..times.len())
        .map(|first| times[first..].iter().take_while(|time| **time - times[first] < window).count())
        .max()
        .unwrap_or(0)
}

async fn inits(fleet: &Fleet) -> Vec<Call> {
    fleet.calls(Kind::Init).await
}

async fn seen(plan: &Plan) -> Seen {
    let toml = format!(
        "[streams.\"video.uploaded\"]\nlimit = \"\"\n[streams.\"video.edited\"]\nlimit = \"{}\"\nlimit_per_account = \"{}\"\nlease = \"3s\"\n",
        plan.rates[0], plan.rates[1]
    );
    let (standin, postgres) = (StandIn::new(), Postgres::start().await);
    let services = [("DATABASE_URL", postgres.url()), ("PATH", standin.path())];
    let mut fleet = Fleet::on(&toml, &services, |options| options.limits.posts_per_day = 1_000).await;
    let creators = load::creators(plan.accounts);
    fleet.accounts(&creators).await;
    for name in ["serve", "edit", "publish", "publish2", "publish3"] {
        fleet.start_again(name);
    }
    let hour = faked("+1h");
    let skewed: Vec<(&str, &str)> = hour.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fleet.start_with("publish4", &skewed);
    fleet.ready().await;
    let accepted = load::upload(&fleet, &creators, 0..plan.videos).await;
    assert_eq!(accepted.len(), plan.videos, "{}", fleet.log("serve"));
    let begun = Instant::now();
    let troubles = ["publish2", "publish4", "redis", "publish", "all"];
    for trouble in troubles.iter().cycle() {
        tokio::time::sleep(plan.pause).await;
        if begun.elapsed() >= plan.lasts {
            break;
        }
        match *trouble {
            "redis" => drop(fleet.redis.command(&["FLUSHALL"]).await),
            "all" => {
                for name in ["publish", "publish2", "publish3", "publish4"] {
                    fleet.kill(name);
                }
                for name in ["publish", "publish2", "publish3"] {
                    fleet.start_again(name);
                }
                fleet.start_with("publish4", &skewed);
            }
            name => {
                fleet.kill(name);
                let env = if name == "publish4" { skewed.as_slice() } else { &[] };
                fleet.start_with(name, env);
            }
        }
    }
    let calls = inits(&fleet).await;
    let mut times: Vec<i64> = calls.iter().map(|call| call.wall_time.timestamp_millis()).collect();
    times.sort_unstable();
    let mut of_each: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for call in &calls {
        of_each.entry(call.open_id.clone().unwrap_or_default()).or_default().push(call.wall_time.timestamp_millis());
    }
    let each = of_each.values_mut().map(|times| {
        times.sort_unstable();
        most(times, plan.each.1)
    });
    let each = each.max().unwrap_or(0);
    let all = most(&times, plan.all.1);
    assert!(all <= plan.all.0, "{all} in a window: {times:?}");
    assert!(each <= plan.each.0, "{each} of one account in a window: {of_each:?}");
    Seen { inits: times, most: [all, each] }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_window_holds_more_than_its_limit_under_kills_restarts_a_wipe_and_a_clock_that_is_off() {
    let plan = Plan {
        rates: ["3/20s", "1/1m"],
        all: (3, 20_000),
        each: (1, 60_000),
        accounts: 8,
        videos: 24,
        lasts: Duration::from_secs(50),
        pause: Duration::from_secs(8),
    };
    let seen = seen(&plan).await;
    assert!(seen.inits.len() >= 4 && seen.most == [3, 1], "it went on: {:?}", seen.inits);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run by `make limits`"]
async fn limits_figures() {
    let seconds = std::env::var("LIMITS_SECONDS").map_or(1200, |text| text.parse().expect("a whole number"));
    let plan = Plan {
        rates: ["3/1m", "1/5m"],
        all: (3, 60_000),
        each: (1, 300_000),
        accounts: 60,
        videos: 300,
        lasts: Duration::from_secs(seconds),
        pause: Duration::from_secs(45),
    };
    let seen = seen(&plan).await;
    let (first, last) = seen.inits.first().zip(seen.inits.last()).expect("inits");
    // From the begin of the first window to the begin of the last, which was not watched to its end.
    let begun = seen.inits.iter().take_while(|&time| last - time >= 30_000).count();
    let lasted = seen.inits[begun] - first;
    let used = begun as f64 / (3.0 * lasted as f64 / 60_000.0) * 100.0;
    let report = format!(
        "# The limits, held and used\n\nWritten by `make limits`: four publishers on PostgreSQL, one of them an hour off; every {} s a kill, a \
         restart of all, or a FLUSHALL. {}\n\n| | |\n|---|--:|\n| inits in {} s, as TikTok's sandbox saw them | {} |\n| most in any 60 s \
         (3 allowed) | {} |\n| most of one account in any 300 s (1 allowed) | {} |\n| of the allowance used | {used:.1} % |\n",
        plan.pause.as_secs(),
        chrono::Utc::now().format("%Y-%m-%d."),
        lasted / 1000,
        begun,
        seen.most[0],
        seen.most[1],
    );
    println!("{report}");
    if let Ok(file) = std::env::var("LIMITS_RESULTS") {
        std::fs::write(&file, &report).expect("written");
    }
}
