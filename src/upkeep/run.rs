//! The loop: every minute a look whether a chore is due.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Retention, UpkeepError, retain, sweep, sweep_watermarks};
use crate::ledger::{Ledger, LedgerError};
use crate::media::Media;

const LOOK: Duration = Duration::from_secs(60);
const MINUTE: i64 = 60_000;
/// Each chore, and how long after its beginning it is due again.
const SWEEP: (&str, i64) = ("sweep", 10 * MINUTE);
const WATERMARKS: (&str, i64) = ("watermarks", 24 * 60 * MINUTE);
const RETENTION: (&str, i64) = ("retention", 2 * MINUTE);

/// Until the stop. No Redis.
pub async fn run(ledger: Ledger, media: Media, retention: Retention, stop: CancellationToken) {
    loop {
        let chores = async {
            tidy(&ledger, &media, &retention).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the stores could not be tidied up; tried again later");
            });
            // Processes that were started together look apart.
            tokio::time::sleep(LOOK.mul_f64(0.75 + 0.5 * rand::random::<f64>())).await;
        };
        tokio::select! {
            () = chores => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn tidy(ledger: &Ledger, media: &Media, retention: &Retention) -> Result<(), UpkeepError> {
    if taken(ledger, RETENTION).await?.is_some() {
        let removed = retain(ledger, media, retention).await?;
        if removed.videos > 0 || removed.sources > 0 || removed.results > 0 {
            tracing::info!(
                videos = removed.videos,
                sources = removed.sources,
                results = removed.results,
                "removed what was kept long enough"
            );
        }
    }
    if let Some(place) = taken(ledger, SWEEP).await? {
        let swept = sweep(ledger, media, &place).await?;
        let tx = ledger.begin().await?;
        tx.chore_came_to(SWEEP.0, &swept.place).await?;
        tx.commit().await?;
        if swept.objects > 0 || swept.uploads > 0 {
            tracing::info!(objects = swept.objects, uploads = swept.uploads, "deleted what nobody stood for");
        }
    }
    if taken(ledger, WATERMARKS).await?.is_some() {
        let images = sweep_watermarks(ledger, media).await?;
        if images > 0 {
            tracing::info!(images, "deleted watermarks that no brand names");
        }
    }
    Ok(())
}

async fn taken(ledger: &Ledger, (name, every): (&str, i64)) -> Result<Option<String>, LedgerError> {
    if !ledger.chore_is_due(name, ledger.now().await?).await? {
        return Ok(None);
    }
    let tx = ledger.begin().await?;
    let place = tx.take_chore(name, tx.now() + every).await?;
    tx.commit().await?;
    Ok(place)
}
