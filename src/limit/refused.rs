//! What TikTok's refusals do to the limits: they close keys, and teach how much a day holds. An operator opens early.

use super::{DAY, DAY_MARGIN, Key, open_at};
use crate::ledger::{LedgerError, Tx};
use crate::outcome::Reason;

/// The least that a full day closes for: TikTok may have counted what we don't know of.
const HOUR: i64 = 3600 * 1000;
/// How long a number of posts a day is believed. A creator who posts by hand makes ours smaller for that day only.
const BELIEVED: i64 = 7 * DAY;

/// Closes a key until then, because TikTok said so. A later closing time stays. Whether this is the one that holds.
pub async fn close(tx: &Tx, key: &Key, until: i64, reason: Reason) -> Result<bool, LedgerError> {
    let mut row = tx.limit(&key.to_string()).await?;
    if until <= row.closed_until {
        return Ok(false);
    }
    // The same again, only later, is no news.
    let news = row.closed_until <= tx.now() || row.closed.as_ref().map(|closed| &closed.code) != Some(&reason.code);
    row.closed_until = until;
    row.closed = Some(reason);
    tx.put_limit(&key.to_string(), &row).await?;
    Ok(news)
}

/// TikTok takes no more posts of this creator today. As many as it took are what a day holds from now on; the creator is
/// closed until the oldest of them is a day old, and until `latest` at most. Until when.
pub async fn close_day(tx: &Tx, creator: &str, latest: i64, reason: Reason) -> Result<i64, LedgerError> {
    let key = Key::Creator(creator.to_owned());
    let now = tx.now();
    let mut row = tx.limit(&key.to_string()).await?;
    let today: Vec<i64> = row.posts_of_day(now - DAY).collect();
    let mut until = latest;
    if let Some(oldest) = today.first() {
        row.day_cap = i64::try_from(today.len()).ok();
        row.day_cap_until = now + BELIEVED;
        row.open_at = open_at(&row, now);
        until = (oldest + DAY + DAY_MARGIN).max(now + HOUR).min(latest);
        tx.put_limit(&key.to_string(), &row).await?;
    }
    close(tx, &key, until, reason).await?;
    Ok(until)
}

/// TikTok takes posts of no more creators today: those whom it has counted go on, this one and all others wait until
/// the first of them leaves the day, and until `latest` at most. Until when, and whether that is news.
pub async fn close_newcomers(tx: &Tx, creator: &str, latest: i64, reason: Reason) -> Result<(i64, bool), LedgerError> {
    let now = tx.now();
    // Whom TikTok refuses for this, it has not counted, whatever we believe.
    let key = Key::Creator(creator.to_owned());
    let mut row = tx.limit(&key.to_string()).await?;
    if !row.posts.is_empty() {
        row.posts.clear();
        row.open_at = open_at(&row, now);
        tx.put_limit(&key.to_string(), &row).await?;
    }
    let first = tx.last_posts(now - DAY).await?.into_iter().min();
    let until = first.map_or(latest, |first| (first + DAY + DAY_MARGIN).max(now + HOUR).min(latest));
    let news = close(tx, &Key::Newcomers, until, reason).await?;
    Ok((until, news))
}

/// The init that took its permit at that time was refused, so it is no post.
pub async fn withdraw(tx: &Tx, creator: &str, at: i64) -> Result<(), LedgerError> {
    let key = Key::Creator(creator.to_owned());
    let mut row = tx.limit(&key.to_string()).await?;
    let Some(place) = row.posts.iter().position(|&post| post == at) else { return Ok(()) };
    row.posts.remove(place);
    row.open_at = open_at(&row, tx.now());
    tx.put_limit(&key.to_string(), &row).await
}

/// An operator opens what TikTok has closed, and what was learnt from it is forgotten. Our own limits hold. Why it was
/// closed, if it was.
pub async fn open_early(tx: &Tx, key: &Key) -> Result<Option<Reason>, LedgerError> {
    let mut row = tx.limit(&key.to_string()).await?;
    let closed = row.closed.take().filter(|_| row.closed_until > tx.now());
    if row.closed_until == 0 && row.day_cap.is_none() {
        return Ok(None);
    }
    let learnt = row.day_cap.take().map(|_| Reason::new("daily_cap", "as many posts as TikTok takes in a day"));
    row.closed_until = 0;
    row.day_cap_until = 0;
    row.open_at = open_at(&row, tx.now());
    tx.put_limit(&key.to_string(), &row).await?;
    Ok(closed.or(learnt))
}
