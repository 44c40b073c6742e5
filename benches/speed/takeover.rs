//! A worker is killed in the middle of an edit: how long until another one begins it. Defaults; the second worker is up
//! before. Every other round kills right after a renewal, which is the worst moment.

use std::time::{Duration, Instant};

use subiteya::event::Stage;

use crate::Extent;
use crate::report::{Line, at, median};
use crate::support::fleet::{Fleet, LOOSE};
use crate::support::standin::StandIn;

/// By the default configuration.
const LEASE: f64 = 30.0;

pub(crate) async fn run(extent: Extent) -> Vec<Line> {
    // They mostly wait, so they wait together.
    let rounds = (0..extent.of(6, 1)).map(|round| takeover(extent.of("", LOOSE), round));
    let took: Vec<f64> = futures::future::join_all(rounds).await;
    let lease = extent.of(LEASE, 3.0);
    let (middle, worst) = (median(&took), at(&took, 1.0));
    vec![Line {
        what: "takeover after kill -9, defaults, the other worker up".to_owned(),
        anchor: "BullMQ: 575 to 595 s with the old settings, 31 to 55 s with its own".to_owned(),
        ours: format!("{middle:.1} s; longest of {} {worst:.1} s", took.len()),
        reach: format!("≤ lease + 5 s ({:.0} s)", lease + 5.0),
        holds: Some(worst <= lease + 5.0),
    }]
}

async fn takeover(toml: &str, round: u64) -> f64 {
    let standin = StandIn::new();
    standin.hold();
    let mut fleet = Fleet::new(toml).await;
    fleet.set("PATH", &standin.path());
    fleet.start("serve", &["serve"]);
    fleet.start("edit", &["work", "edit"]);
    fleet.ready().await;
    fleet.account("ann").await;
    let clip = StandIn::clip("a clip");
    let id = fleet.try_upload_bytes("ann", "a clip", &[], clip).await.expect("accepted");
    fleet.until(&id, "EDITING").await;
    fleet.start("edit2", &["work", "edit"]);
    let ledger = fleet.ledger().await;
    let lease_until = async || {
        let tasks = ledger.tasks_of(id.parse().expect("an id")).await.expect("read");
        tasks.iter().find(|row| row.task.stage == Stage::Edit).expect("a task").task.lease_until
    };
    let workers = async || {
        let since = ledger.now().await.expect("the time") - 30_000;
        ledger.workers(since).await.expect("read").iter().filter(|worker| worker.stage == "edit").count()
    };
    while workers().await < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = lease_until().await;
    while lease_until().await == before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // 0 s, 2 s, 0 s, 6 s, …: within the third of the lease until the next one.
    let later = if round.is_multiple_of(2) { 0 } else { 2 * round - 1 };
    tokio::time::sleep(Duration::from_secs(later)).await;
    let killed = Instant::now();
    fleet.kill("edit");
    while standin.runs().iter().filter(|(begun, _)| *begun).count() < 2 {
        assert!(killed.elapsed() < Duration::from_secs(120), "nobody takes it over:\n{}", fleet.logs());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    killed.elapsed().as_secs_f64()
}
