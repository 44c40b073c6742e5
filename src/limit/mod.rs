//! Limits as exact sliding windows: governor decides, the ledger's rows remember.
//!
//! A rate of `n` per window is `n` cells, each a governor limiter of one per window with burst 1; a grant takes the
//! cell that has been free longest. So no window of that length ever holds more than `n`, and all `n` can be used. (One
//! GCRA of `n` per window would let 2n − 1 through.) A row holds the times until which its cells are taken, and is
//! moved by compare-and-set in the transaction of the limited act: over any number of processes, across restarts,
//! without a Redis command. A row can also be closed until a time, when TikTok itself says no.

mod cell;
mod forecast;
mod refused;

pub use forecast::{Start, last_start};
pub use refused::{close, close_day, close_newcomers, open_early, withdraw};

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
    /// Every creator who did not post within the day. Only ever closed, by TikTok.
    Newcomers,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Edit => f.write_str("edit"),
            Key::Publish => f.write_str("publish"),
            Key::Creator(open_id) => write!(f, "publish/{open_id}"),
            Key::Newcomers => f.write_str("newcomers"),
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

const DAY: i64 = 24 * 3600 * 1000;
/// TikTok's days are not ours to the second.
const DAY_MARGIN: i64 = 5 * 60 * 1000;
/// As many posts of a creator are remembered; TikTok takes about 15 a day.
const REMEMBERED: usize = 200;

fn window(rate: Rate) -> Duration {
    rate.window.mul_f64(MARGIN)
}

/// How much longer a window is here.
pub fn margin(rate: Rate) -> Duration {
    window(rate).saturating_sub(rate.window)
}

/// Whether all of these are open now. Takes nothing.
pub async fn look(session: &Session, now: i64, asks: &[Ask]) -> Result<Verdict, LedgerError> {
    let mut verdict = Verdict::Open;
    for ask in asks {
        let row = session.limit(&ask.key.to_string()).await?;
        verdict = later(verdict, judge_with(session, &row, ask, now).await?);
    }
    Ok(verdict)
}

/// Until when one of these keys is closed, and why: not merely used up.
pub async fn closings(session: &Session, now: i64, keys: &[Key]) -> Result<Vec<(Key, i64, Reason)>, LedgerError> {
    let mut closed = Vec::new();
    for key in keys {
        let ask = Ask { key: key.clone(), rate: None };
        if let Verdict::Closed { until, reason } = judge(&session.limit_seen(&key.to_string()).await?, &ask, now) {
            closed.push((ask.key, until, reason));
        }
    }
    Ok(closed)
}

/// How many permits could be taken then, if none is taken before; None: as many as one likes.
pub async fn open(session: &Session, now: i64, ask: &Ask) -> Result<Option<usize>, LedgerError> {
    let row = session.limit_seen(&ask.key.to_string()).await?;
    if row.closed_until > now {
        return Ok(Some(0));
    }
    Ok(ask.rate.map(|rate| {
        let cells = fitted(&row.cells, rate);
        cells.iter().filter(|&&taken_until| cell::decide(window(rate), taken_until, now).is_ok()).count()
    }))
}

/// How many permits of the window that ends now are taken, whether TikTok has closed the key or not.
pub async fn taken(session: &Session, now: i64, ask: &Ask) -> Result<usize, LedgerError> {
    let Some(rate) = ask.rate else { return Ok(0) };
    let cells = fitted(&session.limit_seen(&ask.key.to_string()).await?.cells, rate);
    Ok(cells.iter().filter(|&&taken_until| cell::decide(window(rate), taken_until, now).is_err()).count())
}

/// How many permits there will be within that time; None: as many as one likes.
pub async fn open_within(session: &Session, now: i64, within: Duration, ask: &Ask) -> Result<Option<i64>, LedgerError> {
    let then = now + i64::try_from(within.as_millis()).unwrap_or(0);
    let windows = ask.rate.map_or(1, |rate| within.as_millis().div_ceil(window(rate).as_millis().max(1)));
    let open = open(session, then, ask).await?;
    Ok(open.map(|open| i64::try_from(open).unwrap_or(i64::MAX).saturating_mul(i64::try_from(windows).unwrap_or(1))))
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
        verdict = later(verdict, judge_with(tx, &row, ask, tx.now()).await?);
        rows.push(row);
    }
    if verdict == Verdict::Open {
        for (ask, row) in asks.iter().zip(rows) {
            let posts = matches!(ask.key, Key::Creator(_));
            if !posts && ask.rate.is_none() {
                continue;
            }
            let row = if posts { posting(row, tx.now()) } else { row };
            let row = ask.rate.map_or(row.clone(), |rate| granted(row, rate, tx.now()));
            tx.put_limit(&ask.key.to_string(), &row).await?;
        }
    }
    Ok(verdict)
}

/// A rate that was changed while rows remember the old one: what the rows say of themselves (`open_at`, by which the
/// release passes creators over) follows the rate that holds now. Asked at the start of a relay.
pub async fn refit(tx: &Tx, per_creator: Option<Rate>) -> Result<(), LedgerError> {
    for (name, mut row) in tx.limits().await? {
        let Some(rate) = per_creator.filter(|_| name.starts_with("publish/")) else { continue };
        let before = row.open_at;
        row.cells = fitted(&row.cells, rate);
        row.open_at = open_at(&row, tx.now());
        if row.open_at != before {
            tx.put_limit(&name, &row).await?;
        }
    }
    Ok(())
}

/// A creator who did not post within the day may be held up with all others who did not.
async fn judge_with(session: &Session, row: &LimitRow, ask: &Ask, now: i64) -> Result<Verdict, LedgerError> {
    let verdict = judge(row, ask, now);
    if !matches!(ask.key, Key::Creator(_)) || row.posts.iter().any(|&post| post > now - DAY) {
        return Ok(verdict);
    }
    let newcomers = Ask { key: Key::Newcomers, rate: None };
    let row = session.limit(&newcomers.key.to_string()).await?;
    Ok(later(verdict, judge(&row, &newcomers, now)))
}

fn judge(row: &LimitRow, ask: &Ask, now: i64) -> Verdict {
    if row.closed_until > now {
        let reason =
            row.closed.clone().unwrap_or_else(|| Reason::new("closed", format!("the limit {} is closed", ask.key)));
        return Verdict::Closed { until: row.closed_until, reason };
    }
    if let Some(until) = day_full_until(row, now) {
        let text = format!(
            "TikTok took no more than {} posts of this account in 24 hours the last time; it goes on by itself",
            row.posts_of_day(now - DAY).count()
        );
        return Verdict::Closed { until, reason: Reason::new("daily_cap", text) };
    }
    let Some(rate) = ask.rate else { return Verdict::Open };
    let cells = fitted(&row.cells, rate);
    let free = cells.iter().map(|&taken_until| cell::decide(window(rate), taken_until, now));
    match free.filter_map(Result::err).min() {
        Some(until) if cells.iter().all(|&taken| cell::decide(window(rate), taken, now).is_err()) => {
            let text = match &ask.key {
                Key::Edit | Key::Newcomers => {
                    format!("the edit limit of {} in {} s is used up", rate.count, rate.window.as_secs())
                }
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

/// The first time from `now` on at which this row alone would let one through.
pub fn opens_at(row: &LimitRow, rate: Option<Rate>, now: i64) -> i64 {
    let cell = rate.map_or(0, |rate| fitted(&row.cells, rate).into_iter().min().unwrap_or(0));
    now.max(row.closed_until).max(cell).max(day_full_until(row, now).unwrap_or(0))
}

/// How far apart its permits are in the long run: milliseconds.
pub fn apart(rate: Rate) -> i64 {
    i64::try_from(window(rate).as_millis()).unwrap_or(i64::MAX / 4) / i64::from(rate.count.max(1))
}

/// The row after a grant: the cell that has been free longest is taken.
pub fn granted(mut row: LimitRow, rate: Rate, now: i64) -> LimitRow {
    row.cells = fitted(&row.cells, rate);
    if let Some(oldest) = row.cells.iter_mut().min()
        && let Ok(taken_until) = cell::decide(window(rate), *oldest, now)
    {
        *oldest = taken_until;
    }
    row.open_at = open_at(&row, now);
    row
}

/// The row of a creator who posts: TikTok counts it in the day.
fn posting(mut row: LimitRow, now: i64) -> LimitRow {
    row.posts.retain(|&post| post > now - DAY - DAY_MARGIN);
    row.posts.push(now);
    let forgotten = row.posts.len().saturating_sub(REMEMBERED);
    row.posts.drain(..forgotten);
    row.open_at = open_at(&row, now);
    row
}

/// When the next permit is free, as far as the row itself tells.
fn open_at(row: &LimitRow, now: i64) -> i64 {
    let cell = row.cells.iter().copied().min().unwrap_or(0);
    cell.max(day_full_until(row, now).unwrap_or(0))
}

/// Until when a creator has posted as much as TikTok is known to take in a day.
fn day_full_until(row: &LimitRow, now: i64) -> Option<i64> {
    let cap = usize::try_from(row.day_cap.filter(|_| row.day_cap_until > now)?).unwrap_or(0).max(1);
    let since = now - DAY - DAY_MARGIN;
    let today: Vec<i64> = row.posts_of_day(since).collect();
    let leaves = today.len().checked_sub(cap)?;
    today.get(leaves).map(|post| post + DAY + DAY_MARGIN)
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
