//! Bytes that no video names: what a killed process was receiving, or what a lost commit left behind.

use crate::event::VideoId;
use crate::ledger::{Ledger, LedgerError, SystemClock};
use crate::media::{Media, MediaError, video_folder};

/// No upload takes so long.
const AGE: i64 = 24 * 3600 * 1000;

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Media(#[from] MediaError),
}

/// Deletes the folders of videos that are a day old and stand in no row. How many there were.
pub async fn sweep(ledger: &Ledger, media: &Media) -> Result<usize, SweepError> {
    sweep_older(ledger, media, AGE).await
}

async fn sweep_older(ledger: &Ledger, media: &Media, age: i64) -> Result<usize, SweepError> {
    let before = SystemClock::now() - age;
    let mut deleted = 0;
    for id in media.folders("videos").await? {
        let Ok(id) = id.parse::<VideoId>() else { continue };
        if id.made_at() <= before && ledger.video(id).await?.is_none() {
            media.delete_folder(&video_folder(id)).await?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_killed_process_was_receiving_is_deleted_when_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let media = Media::local(&folder.path().join("objects")).unwrap();
        let ledger = Ledger::open(&format!("sqlite://{}", folder.path().join("ledger.db").display())).await.unwrap();
        let id = VideoId::new();
        let left = folder.path().join("objects").join(video_folder(id));
        std::fs::create_dir_all(&left).unwrap();
        std::fs::write(left.join("source#1"), "half").unwrap();
        assert_eq!(sweep(&ledger, &media).await.unwrap(), 0);
        assert!(left.exists(), "it may still be coming in");
        assert_eq!(sweep_older(&ledger, &media, 0).await.unwrap(), 1);
        assert!(!left.exists());
    }
}
