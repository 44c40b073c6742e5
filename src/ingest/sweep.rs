//! Bytes that no video names: what a killed process was receiving, or what a lost commit left behind.

use crate::event::VideoId;
use crate::ledger::{Ledger, LedgerError, SystemClock};
use crate::media::{Media, MediaError, video_folder};

/// An upload to which nothing was written for so long has ended: its connection would have been closed before, and what
/// comes after its last byte takes seconds.
const AGE: i64 = 15 * 60 * 1000;

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Media(#[from] MediaError),
}

/// Deletes the folders of videos that stand in no row and to which nothing is written any more. How many there were.
pub async fn sweep(ledger: &Ledger, media: &Media) -> Result<usize, SweepError> {
    sweep_older(ledger, media, AGE).await
}

async fn sweep_older(ledger: &Ledger, media: &Media, age: i64) -> Result<usize, SweepError> {
    let before = SystemClock::now() - age;
    let mut deleted = 0;
    for id in media.folders("videos").await? {
        let Ok(id) = id.parse::<VideoId>() else { continue };
        if id.made_at() > before || ledger.video(id).await?.is_some() {
            continue;
        }
        let folder = video_folder(id);
        if media.last_written(&folder).await?.is_none_or(|written| written <= before) {
            media.delete_folder(&folder).await?;
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
        assert_eq!(sweep_older(&ledger, &media, -1_000).await.unwrap(), 1);
        assert!(!left.exists());
    }
}
