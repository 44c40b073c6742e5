//! Limits as exact sliding windows: governor decides, the ledger's rows remember.
//!
//! A rate of `n` per window is `n` cells, each a governor limiter of one per window with burst 1; a grant takes the
//! cell that has been free longest. So no window of that length ever holds more than `n`, and all `n` can be used. (One
//! GCRA of `n` per window would let 2n − 1 through.) A row holds the times until which its cells are taken, and is
//! moved by compare-and-set in the transaction of the limited act: over any number of processes, across restarts,
//! without a Redis command. A row can also be closed until a time, when TikTok itself says no.

mod cell;
mod forecast;

pub use forecast::{Start, last_start};

use std::fmt;
use std::time::Duration;

use crate::config::Rate;
use crate::ledger::{LedgerError, LimitRow, Session, Tx};
use crate::outcome::Reason;
use crate::torture::{self, Guard};

/// What is limited.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Edit,
    /// Every init of the fleet.
    Publish,
    /// The inits of one creator, by `open_id`.
    Creator(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Edit => f.write_str("edit"),
            Key::Publish => f.write_str("publish"),
            Key::Creator(open_id) => write!(f, "publish/{open_id}"),
        }
    }
}

/// A limit to ask: a key without a rate can still be closed.
#[derive(Debug, Clone)]
pub struct Ask {
    pub key: Key,
    pub rate: Option<Rate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Open,
    /// Not before `until`, because of `reason`.
    Closed {
        until: i64,
        reason: Reason,
    },
}

/// Why work waits whose stage has used up its limit.
pub const STAGE_LIMIT: &str = "stage_limit";

/// TikTok judges by arrival, so each window is a little longer here than there.
const MARGIN: f64 = 1.02;

fn window(rate: Rate) -> Duration {
    rate.window.mul_f64(MARGIN)
}

/// Whether all of these are open now. Takes nothing.
pub async fn look(session: &Session, now: i64, asks: &[Ask]) -> Result<Verdict, LedgerError> {
    let mut verdict = Verdict::Open;
    for ask in asks {
        verdict = later(verdict, judge(&session.limit(&ask.key.to_string()).await?, ask, now));
    }
    Ok(verdict)
}

/// How many permits could be taken now; None: as many as one likes.
pub async fn open(session: &Session, now: i64, ask: &Ask) -> Result<Option<usize>, LedgerError> {
    let row = session.limit(&ask.key.to_string()).await?;
    if row.closed_until > now {
        return Ok(Some(0));
    }
    Ok(ask.rate.map(|rate| {
        let cells = fitted(&row.cells, rate);
        cells.iter().filter(|&&taken_until| cell::decide(window(rate), taken_until, now).is_ok()).count()
    }))
}

/// Takes one permit of each, or of none.
pub async fn take(tx: &Tx, asks: &[Ask]) -> Result<Verdict, LedgerError> {
    if torture::without(Guard::Limits) {
        return Ok(Verdict::Open);
    }
    let mut rows = Vec::with_capacity(asks.len());
    let mut verdict = Verdict::Open;
    for ask in asks {
        let row = tx.limit(&ask.key.to_string()).await?;
        verdict = later(verdict, judge(&row, ask, tx.now()));
        rows.push(row);
    }
    if verdict == Verdict::Open {
        for (ask, row) in asks.iter().zip(rows) {
            let Some(rate) = ask.rate else { continue };
            tx.put_limit(&ask.key.to_string(), &granted(row, rate, tx.now())).await?;
        }
    }
    Ok(verdict)
}

/// A rate that was changed while rows remember the old one: what the rows say of themselves (`open_at`, by which the
/// release passes creators over) follows the rate that holds now. Asked at the start of a relay.
pub async fn refit(tx: &Tx, per_creator: Option<Rate>) -> Result<(), LedgerError> {
    for (name, mut row) in tx.limits().await? {
        let Some(rate) = per_creator.filter(|_| name.starts_with("publish/")) else { continue };
        let cells = fitted(&row.cells, rate);
        let open_at = cells.iter().copied().min().unwrap_or(0);
        if open_at != row.open_at {
            row.open_at = open_at;
            row.cells = cells;
            tx.put_limit(&name, &row).await?;
        }
    }
    Ok(())
}

/// Closes a key until then, because TikTok said so. A later closing time stays.
pub async fn close(tx: &Tx, key: &Key, until: i64, reason: Reason) -> Result<(), LedgerError> {
    let mut row = tx.limit(&key.to_string()).await?;
    if until > row.closed_until {
        row.closed_until = until;
        row.closed = Some(reason);
        tx.put_limit(&key.to_string(), &row).await?;
    }
    Ok(())
}

fn judge(row: &LimitRow, ask: &Ask, now: i64) -> Verdict {
    if row.closed_until > now {
        let reason =
            row.closed.clone().unwrap_or_else(|| Reason::new("closed", format!("the limit {} is closed", ask.key)));
        return Verdict::Closed { until: row.closed_until, reason };
    }
    let Some(rate) = ask.rate else { return Verdict::Open };
    let cells = fitted(&row.cells, rate);
    let free = cells.iter().map(|&taken_until| cell::decide(window(rate), taken_until, now));
    match free.filter_map(Result::err).min() {
        Some(until) if cells.iter().all(|&taken| cell::decide(window(rate), taken, now).is_err()) => {
            let text = match &ask.key {
                Key::Edit => format!("the edit limit of {} in {} s is used up", rate.count, rate.window.as_secs()),
                Key::Publish => {
                    format!("the publish limit of {} in {} s is used up", rate.count, rate.window.as_secs())
                }
                Key::Creator(_) => {
                    format!("the account's limit of {} in {} s is used up", rate.count, rate.window.as_secs())
                }
            };
            let code = if matches!(ask.key, Key::Creator(_)) { "account_limit" } else { STAGE_LIMIT };
            Verdict::Closed { until, reason: Reason::new(code, text) }
        }
        _ => Verdict::Open,
    }
}

/// The row after a grant: the cell that has been free longest is taken.
fn granted(mut row: LimitRow, rate: Rate, now: i64) -> LimitRow {
    row.cells = fitted(&row.cells, rate);
    if let Some(oldest) = row.cells.iter_mut().min()
        && let Ok(taken_until) = cell::decide(window(rate), *oldest, now)
    {
        *oldest = taken_until;
    }
    row.open_at = row.cells.iter().copied().min().unwrap_or(0);
    row
}

/// As many cells as the rate has now: a smaller rate keeps the latest grants, a larger one adds free cells.
fn fitted(cells: &[i64], rate: Rate) -> Vec<i64> {
    let mut cells = cells.to_vec();
    cells.sort_unstable_by(|a, b| b.cmp(a));
    cells.resize(usize::try_from(rate.count).unwrap_or(usize::MAX).max(1), 0);
    cells
}

fn later(a: Verdict, b: Verdict) -> Verdict {
    match (&a, &b) {
        (Verdict::Closed { until: first, .. }, Verdict::Closed { until: second, .. }) => {
            if second > first {
                b
            } else {
                a
            }
        }
        (Verdict::Open, _) => b,
        (Verdict::Closed { .. }, Verdict::Open) => a,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THREE_A_MINUTE: Rate = Rate { count: 3, window: Duration::from_secs(60) };

    fn try_take(row: &mut LimitRow, rate: Rate, now: i64) -> Verdict {
        let ask = Ask { key: Key::Publish, rate: Some(rate) };
        let verdict = judge(row, &ask, now);
        if verdict == Verdict::Open {
            *row = granted(row.clone(), rate, now);
        }
        verdict
    }

    #[test]
    fn three_at_once_and_none_more_before_the_minute_is_over() {
        let mut row = LimitRow::default();
        let start = 1_800_000_000_000;
        for _ in 0..3 {
            assert_eq!(try_take(&mut row, THREE_A_MINUTE, start), Verdict::Open);
        }
        assert!(
            matches!(try_take(&mut row, THREE_A_MINUTE, start + 61_199), Verdict::Closed { until, .. } if until == start + 61_200)
        );
        assert_eq!(try_take(&mut row, THREE_A_MINUTE, start + 61_200), Verdict::Open);
    }

    #[test]
    fn a_closed_key_is_closed_whatever_its_cells_say() {
        let mut row = LimitRow::default();
        row.closed_until = 500;
        row.closed = Some(Reason::new("spam_risk", "TikTok says no"));
        let ask = Ask { key: Key::Creator("c".into()), rate: None };
        assert!(matches!(judge(&row, &ask, 499), Verdict::Closed { until: 500, .. }));
        assert_eq!(judge(&row, &ask, 500), Verdict::Open);
    }

    #[tokio::test]
    async fn a_rate_that_was_raised_opens_its_rows_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        let ledger = crate::ledger::Ledger::open(&url).await.unwrap();
        let key = Key::Creator("c".into());
        let one = Rate { count: 1, ..THREE_A_MINUTE };
        let tx = ledger.begin().await.unwrap();
        take(&tx, &[Ask { key: key.clone(), rate: Some(one) }]).await.unwrap();
        assert!(tx.limit(&key.to_string()).await.unwrap().open_at > tx.now());
        refit(&tx, Some(THREE_A_MINUTE)).await.unwrap();
        assert!(tx.limit(&key.to_string()).await.unwrap().open_at <= tx.now());
        refit(&tx, Some(one)).await.unwrap();
        assert!(tx.limit(&key.to_string()).await.unwrap().open_at > tx.now(), "the grant is not forgotten");
    }

    #[test]
    fn a_rate_that_was_lowered_keeps_the_latest_grants() {
        let mut row = LimitRow::default();
        for _ in 0..3 {
            try_take(&mut row, THREE_A_MINUTE, 1_000_000);
        }
        let one = Rate { count: 1, ..THREE_A_MINUTE };
        assert!(matches!(try_take(&mut row, one, 1_000_001), Verdict::Closed { .. }));
    }

    proptest! {
        #[test]
        fn no_sliding_window_holds_more_than_its_count_and_all_of_it_is_used(
            count in 1u32..6, gaps in prop::collection::vec(0i64..40_000, 1..200)
        ) {
            let rate = Rate { count, window: Duration::from_secs(60) };
            let mut row = LimitRow::default();
            let mut now = 1_800_000_000_000i64;
            let mut grants: Vec<i64> = Vec::new();
            for gap in gaps {
                now += gap;
                let recent = grants.iter().filter(|&&grant| grant > now - 61_200).count();
                match try_take(&mut row, rate, now) {
                    Verdict::Open => { prop_assert!(recent < count as usize); grants.push(now); }
                    Verdict::Closed { until, .. } => {
                        prop_assert_eq!(recent, count as usize);
                        prop_assert!(until > now);
                    }
                }
            }
        }
    }
}
