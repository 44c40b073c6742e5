//! Writes down what was sent to Redis, by month, purpose and process.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::ledger::{Ledger, LedgerError, SystemClock};
use crate::stream::Meter;

/// What a kill can cost: the commands of this long.
const EVERY: Duration = Duration::from_secs(5);

/// Until the stop, and once more after it.
pub(super) async fn run(ledger: Ledger, meter: Meter, process: &'static str, stop: CancellationToken) {
    loop {
        let stopping = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            () = stop.cancelled() => true,
        };
        if let Err(error) = write_down(&ledger, &meter, process).await {
            error.tell("the count of Redis commands could not be written; it is kept and tried again");
        }
        if stopping {
            return;
        }
    }
}

async fn write_down(ledger: &Ledger, meter: &Meter, process: &str) -> Result<(), LedgerError> {
    let counts = meter.take();
    if counts.is_empty() {
        return Ok(());
    }
    let written = async {
        let month = month(SystemClock::now());
        let tx = ledger.begin().await?;
        for (purpose, commands) in &counts {
            let commands = i64::try_from(*commands).unwrap_or(i64::MAX);
            tx.add_usage(&month, purpose.as_str(), process, commands).await?;
        }
        tx.commit().await
    };
    let done = written.await;
    if done.is_err() {
        meter.put_back(counts);
    }
    done
}

/// `2026-11`, in UTC: a plan's month.
fn month(now: i64) -> String {
    chrono::DateTime::from_timestamp_millis(now).unwrap_or_default().format("%Y-%m").to_string()
}
