//! What was kept as long as `retain` says goes: source and captions by `video.uploaded`'s, rendition and thumbnail by
//! `video.edited`'s, rows and history when both are over. What waits for a person's decision stays.

use std::time::Duration;

use crate::config::StagesConfig;
use crate::event::Stage;
use crate::ledger::{Bytes, Ledger, SystemClock};
use crate::media::{Media, video_folder};
use crate::stage::millis;

use super::UpkeepError;

/// Videos of a batch: one short transaction.
const BATCH: i64 = 100;
/// Batches of a turn, of each kind.
const BATCHES: usize = 50;
/// As long as an `Idempotency-Key` is remembered.
const REQUEST_LIFE: i64 = 24 * 3600 * 1000;
/// How long the streams' samples are kept.
const SAMPLES: i64 = 7 * 24 * 3600 * 1000;
/// Months of Redis usage that are kept, this one among them.
const MONTHS: u32 = 13;

/// How long things stay after their video ended.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub source: Duration,
    pub result: Duration,
}

impl Retention {
    pub fn of(stages: &StagesConfig) -> Self {
        Self { source: stages.edit.retain, result: stages.publish.retain }
    }

    fn rows(&self) -> Duration {
        self.source.max(self.result)
    }
}

/// What a turn removed, in videos.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    pub sources: usize,
    pub results: usize,
    pub videos: u64,
}

/// One turn. A crash anywhere in it leaves what the next turn, or the sweep, removes.
pub async fn retain(ledger: &Ledger, media: &Media, retention: &Retention) -> Result<Removed, UpkeepError> {
    let mut removed = Removed::default();
    for _ in 0..BATCHES {
        let sources = give_up(ledger, media, Bytes::Source, retention.source).await?;
        let results = give_up(ledger, media, Bytes::Result, retention.result).await?;
        let videos = remove_rows(ledger, media, retention.rows()).await?;
        removed.sources += sources;
        removed.results += results;
        removed.videos += videos;
        if (sources, results, videos) == (0, 0, 0) {
            break;
        }
    }
    forget(ledger, retention).await?;
    Ok(removed)
}

async fn give_up(ledger: &Ledger, media: &Media, bytes: Bytes, keep: Duration) -> Result<usize, UpkeepError> {
    let tx = ledger.begin().await?;
    let (videos, keys) = tx.give_up(bytes, tx.now() - millis(keep), BATCH).await?;
    tx.commit().await?;
    for key in keys {
        media.delete(&key).await?;
    }
    Ok(videos)
}

/// Whatever still lies in the folder goes before the rows that say whose it was.
async fn remove_rows(ledger: &Ledger, media: &Media, keep: Duration) -> Result<u64, UpkeepError> {
    let before = ledger.now().await? - millis(keep);
    let videos = ledger.rows_to_remove(before, BATCH).await?;
    for &video in &videos {
        media.delete_folder(&video_folder(video)).await?;
    }
    if videos.is_empty() {
        return Ok(0);
    }
    let tx = ledger.begin().await?;
    let removed = tx.remove_videos(&videos, before).await?;
    tx.commit().await?;
    Ok(removed)
}

/// What isn't a video's.
async fn forget(ledger: &Ledger, retention: &Retention) -> Result<(), UpkeepError> {
    let tx = ledger.begin().await?;
    tx.forget_requests(tx.now() - REQUEST_LIFE).await?;
    tx.forget_sessions().await?;
    tx.forget_connects().await?;
    tx.forget_brands(tx.now() - millis(retention.rows())).await?;
    for (stage, keep) in [(Stage::Edit, retention.source), (Stage::Publish, retention.result)] {
        if let Some(stream) = stage.stream() {
            tx.forget_dead_entries(stream, tx.now() - millis(keep)).await?;
        }
    }
    tx.forget_samples(tx.now() - SAMPLES).await?;
    if let Some(month) = first_month(SystemClock::now()) {
        tx.forget_usage(&month).await?;
    }
    Ok(tx.commit().await?)
}

/// The oldest month whose usage is kept.
fn first_month(now: i64) -> Option<String> {
    let today = chrono::DateTime::from_timestamp_millis(now)?.date_naive();
    let first = today.checked_sub_months(chrono::Months::new(MONTHS - 1))?;
    Some(first.format("%Y-%m").to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn usage_is_kept_for_a_year_and_the_month_that_runs() {
        let at = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
        assert_eq!(super::first_month(at("2026-11-30T23:00:00Z")).as_deref(), Some("2025-11"));
        assert_eq!(super::first_month(at("2027-01-01T00:00:00Z")).as_deref(), Some("2026-01"));
    }
}
