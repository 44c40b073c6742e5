//! Writes down what was sent to Redis, by month, purpose and process, and tells the budget of the sum. With it goes what
//! this process has counted besides (`metrics`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::budget::{self, Budget};
use crate::ledger::{Ledger, LedgerError, SystemClock};
use crate::metrics::metrics;
use crate::stream::Meter;

/// What a kill can cost: the commands of this long.
const EVERY: Duration = Duration::from_secs(5);

/// What is counted, and against what.
pub(super) struct Metering {
    pub(super) ledger: Ledger,
    /// None: without Redis nothing is sent.
    pub(super) meter: Option<Meter>,
    pub(super) budget: Budget,
    pub(super) cap: Option<u64>,
}

/// Until the stop, and once more after it.
pub(super) async fn run(metering: Metering, process: &'static str, stop: CancellationToken) {
    let Metering { ledger, meter, budget, cap } = &metering;
    loop {
        let stopping = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            () = stop.cancelled() => true,
        };
        if let Err(error) = write_down(ledger, meter.as_ref(), process).await {
            error.tell("what was counted could not be written; it is kept and tried again");
        }
        if let Some(cap) = *cap
            && let Err(error) = weigh(ledger, budget, cap).await
        {
            error.tell("the count of Redis commands could not be read; tried again");
        }
        if stopping {
            return;
        }
    }
}

async fn write_down(ledger: &Ledger, meter: Option<&Meter>, process: &str) -> Result<(), LedgerError> {
    let counts = meter.map(Meter::take).unwrap_or_default();
    let grown = metrics().unwritten();
    if counts.is_empty() && grown.is_empty() {
        return Ok(());
    }
    let written = async {
        let now = now();
        let month = budget::month(now);
        let tx = ledger.begin().await?;
        for (purpose, commands) in &counts {
            let commands = i64::try_from(*commands).unwrap_or(i64::MAX);
            tx.add_usage(&month, purpose.as_str(), process, commands).await?;
        }
        if !counts.is_empty() {
            let all = i64::try_from(counts.values().sum::<u64>()).unwrap_or(i64::MAX);
            tx.add_usage_of_day(&budget::day(now), all).await?;
        }
        tx.add_counted(&grown).await?;
        tx.commit().await
    };
    let done = written.await;
    match (&done, meter) {
        (Ok(()), _) => metrics().written(grown),
        (Err(_), Some(meter)) => meter.put_back(counts),
        (Err(_), None) => {}
    }
    done
}

/// What all processes have sent this month, against the cap.
async fn weigh(ledger: &Ledger, budget: &Budget, cap: u64) -> Result<(), LedgerError> {
    let now = now();
    let commands = ledger.usage(&budget::month(now)).await?.into_iter().map(|row| row.commands).sum::<i64>();
    budget.see(u64::try_from(commands).unwrap_or(0), cap, budget::elapsed(now));
    Ok(())
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(SystemClock::now()).unwrap_or_default()
}
