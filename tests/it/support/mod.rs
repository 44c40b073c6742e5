//! What the tests stand on: a Redis and a ledger of their own, and a way to wait for a condition.

pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod disk;
pub(crate) mod fleet;
pub(crate) mod kinds;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod resp;
pub(crate) mod s3;
pub(crate) mod servers;
pub(crate) mod stage;
pub(crate) mod standin;
pub(crate) mod upstash;
pub(crate) mod usage;

use std::time::Duration;

use subiteya::ledger::Ledger;
use tokio::time::Instant;

/// Waits until the condition holds; panics with `what` when it takes too long.
pub(crate) async fn eventually<F, Fut>(what: &str, within: Duration, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + within;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The ledger in a SQLite file, from now on at this time of its clock.
pub(crate) async fn later(url: &str, time: i64) -> Ledger {
    let open = async || Ledger::open(url).await.expect("the ledger");
    let tx = open().await.begin().await.expect("a transaction");
    let clock = tx.setting("clock").await.expect("read").expect("a clock");
    let (boot, offset) = clock.split_once('/').expect("an offset");
    let offset = offset.parse::<i64>().expect("a number") + time - tx.now();
    tx.put_setting("clock", &format!("{boot}/{offset}")).await.expect("written");
    tx.commit().await.expect("committed");
    open().await
}
