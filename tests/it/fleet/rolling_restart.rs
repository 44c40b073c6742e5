//! A rolling restart under load: nothing is counted, nothing is lost, and what was handed back is begun again before
//! anything that had waited behind it.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use subiteya::event::Stage;
use subiteya::ledger::HistoryLine;

use super::load::{self, Verdict};
use crate::support::fleet::{Fleet, LOOSE};
use crate::support::standin::StandIn;

const VIDEOS: usize = 30;
const EDITORS: [&str; 3] = ["edit", "edit2", "edit3"];
/// Slots of all editors.
const SLOTS: usize = 6;

/// From a hand-back to the next start of the same task, and how many others were begun for the first time in between.
struct Delay {
    millis: i64,
    overtaken_by: usize,
}

fn delays(histories: &BTreeMap<String, Vec<HistoryLine>>, stage: Stage) -> Vec<Delay> {
    let lines = |history: &[HistoryLine]| -> Vec<(String, i64)> {
        let of_stage = history.iter().filter(|line| line.stage == Some(stage));
        of_stage.map(|line| (line.event.clone(), line.at)).collect()
    };
    let starts: Vec<i64> = histories
        .values()
        .filter_map(|history| lines(history).into_iter().find(|(event, _)| event == "started"))
        .map(|(_, at)| at)
        .collect();
    let mut delays = Vec::new();
    for history in histories.values() {
        let lines = lines(history);
        for (place, (_, back)) in lines.iter().enumerate().filter(|(_, (event, _))| event == "handed back") {
            let again = lines[place..].iter().find(|(event, _)| event == "started");
            let again = again.expect("it was started again").1;
            let overtaken_by = starts.iter().filter(|at| (back + 1..again).contains(at)).count();
            delays.push(Delay { millis: again - back, overtaken_by });
        }
    }
    delays
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_counts_nothing_and_what_was_handed_back_goes_first() {
    let standin = StandIn::new();
    standin.lasts(1.0);
    let toml = LOOSE.replace("deadline = \"1s\"", "deadline = \"200ms\"").replace("lease = \"3s\"", "lease = \"30s\"");
    let mut fleet = Fleet::with(&toml, |options| options.limits.posts_per_day = 1_000).await;
    fleet.set("PATH", &standin.path());
    let creators = load::creators(VIDEOS);
    fleet.accounts(&creators).await;
    let all: Vec<&str> = ["serve", "serve2"].into_iter().chain(EDITORS).chain(["publish", "publish2"]).collect();
    all.iter().for_each(|name| fleet.start_again(name));
    fleet.ready().await;
    let accepted = load::upload(&fleet, &creators, 0..VIDEOS).await;
    assert_eq!(accepted.len(), VIDEOS);
    for name in EDITORS.into_iter().chain(["publish", "publish2", "serve", "serve2"]) {
        fleet.signal(name, Signal::TERM);
        let status = fleet.ended(name, Duration::from_secs(20)).await;
        assert!(status.success(), "{name}: {status}\n{}", fleet.log(name));
        fleet.start_again(name);
    }
    fleet.ready().await;
    load::until_posted(&fleet, &accepted).await;
    assert_eq!(load::verdict(&fleet, &accepted).await, Verdict::default());
    let ledger = fleet.ledger().await;
    let mut histories = BTreeMap::new();
    for id in accepted.values() {
        histories.insert(id.clone(), ledger.history(id.parse().expect("an id")).await.expect("read"));
    }
    let delays = delays(&histories, Stage::Edit);
    assert!(!delays.is_empty(), "runs were handed back");
    let longest = delays.iter().map(|delay| delay.millis).max().unwrap_or(0);
    println!("{} edits were handed back, and begun again within {longest} ms", delays.len());
    for delay in &delays {
        // A slot that became free at the same moment may have read its next already.
        assert!(delay.overtaken_by <= SLOTS, "{} others, within {} ms", delay.overtaken_by, delay.millis);
    }
}
