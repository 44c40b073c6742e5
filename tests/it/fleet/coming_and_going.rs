//! Workers that are added and taken away under load, gently and not, lose and double nothing.

use std::time::Duration;

use rustix::process::Signal;

use super::load;
use crate::support::fleet::{Fleet, LOOSE};
use crate::support::postgres::Postgres;
use crate::support::standin::StandIn;

const VIDEOS: usize = 40;
/// `+` starts one, `-` asks it to end, `!` kills it.
const CHANGES: [(char, &str); 16] = [
    ('+', "edit2"),
    ('+', "publish2"),
    ('!', "edit"),
    ('-', "publish"),
    ('+', "edit3"),
    ('+', "publish3"),
    ('-', "edit2"),
    ('!', "publish2"),
    ('+', "edit"),
    ('+', "serve2"),
    ('!', "edit3"),
    ('-', "publish3"),
    ('+', "publish"),
    ('+', "edit4"),
    ('!', "publish"),
    ('+', "publish4"),
];

async fn coming_and_going(services: &[(&str, String)]) {
    let standin = StandIn::new();
    standin.lasts(0.3);
    let mut fleet = Fleet::on(LOOSE, services, |options| options.limits.posts_per_day = 1_000).await;
    fleet.set("PATH", &standin.path());
    let creators = load::creators(VIDEOS);
    fleet.accounts(&creators).await;
    for name in ["serve", "edit", "publish"] {
        fleet.start_again(name);
    }
    fleet.ready().await;
    let accepted = load::upload(&fleet, &creators, 0..VIDEOS).await;
    assert_eq!(accepted.len(), VIDEOS);
    let mut posted = 0;
    for (change, name) in CHANGES {
        match change {
            '+' => fleet.start_again(name),
            '-' => {
                fleet.signal(name, Signal::TERM);
                assert!(fleet.ended(name, Duration::from_secs(20)).await.success(), "{}", fleet.log(name));
            }
            _ => fleet.kill(name),
        }
        // Another two are posted, so that each change meets a fleet at work; or those at work all died.
        posted = (posted + 2).min(VIDEOS);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
        while fleet.sandbox.posts().len() < posted && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    load::until_posted(&fleet, &accepted).await;
    let verdict = load::verdict(&fleet, &accepted).await;
    assert_eq!(load::Verdict { takeovers: 0, ..verdict }, load::Verdict::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_come_and_go_on_sqlite_lose_and_double_nothing() {
    coming_and_going(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_come_and_go_on_postgresql_lose_and_double_nothing() {
    let postgres = Postgres::start().await;
    coming_and_going(&[("DATABASE_URL", postgres.url())]).await;
}
