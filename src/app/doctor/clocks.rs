//! Whether this machine, the database and Redis agree on the time.

use super::report::Report;
use crate::ledger::{Ledger, SystemClock};
use crate::stream::Streams;

const PART: &str = "clocks";
/// Leases and limits go by the ledger's clock alone; but a time to post at is a person's, and TikTok signs with its own.
const FAR: i64 = 30_000;

pub(super) async fn look(ledger: Option<&Ledger>, streams: Option<&Streams>, report: &mut Report) {
    let mut compared = false;
    if let Some(ledger) = ledger {
        match ledger.ahead_of_here().await {
            Ok(ahead) => compare("the ledger's clock", ahead, report),
            Err(error) => report.ill(PART, error.to_string(), "see to the database"),
        }
        compared = true;
    }
    // Asked a moment ago: a difference of that moment is none.
    if let Some(time) = streams.and_then(Streams::about).and_then(|server| server.time) {
        compare("Redis' clock", time - SystemClock::now(), report);
        compared = true;
    }
    if compared && report.is_well(PART) {
        report.well(PART, "they agree");
    }
}

fn compare(whose: &str, ahead: i64, report: &mut Report) {
    if ahead.abs() <= FAR {
        return;
    }
    let (seconds, side) = (ahead.abs() / 1000, if ahead > 0 { "ahead of" } else { "behind" });
    report.ill(
        PART,
        format!("{whose} is {seconds} s {side} this machine's"),
        "timedatectl set-ntp true, on whichever is wrong; a ledger on SQLite takes it up at the machine's next boot",
    );
}
