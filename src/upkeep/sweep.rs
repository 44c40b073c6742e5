//! Leftovers: what a killed process was receiving, what a worker had half stored, what a lost commit left behind.
//!
//! A page of the store is listed, then the ledger is asked what of it somebody stands for. In this order, since what is
//! written and committed in between is not on the page.

use std::collections::{BTreeSet, HashMap};

use crate::event::VideoId;
use crate::ledger::{Holding, Ledger, SystemClock};
use crate::media::{Media, MediaError, video_of};

use super::UpkeepError;

/// What nothing was written to for so long has ended: an upload's connection would have been closed before, and what
/// comes after its last byte takes seconds.
const QUIET: i64 = 15 * 60 * 1000;
/// The same for an upload in parts, which shows a sign of life only every 5 MiB.
const QUIET_PARTS: i64 = 60 * 60 * 1000;
/// Objects of a page, and pages of a turn.
const PAGE: usize = 1000;
const PAGES: usize = 20;
/// Names the installation to which the objects belong.
const OWNER: &str = "installation";

/// What a turn did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    pub objects: usize,
    pub uploads: usize,
    /// Where the next turn goes on; empty: at the beginning.
    pub place: String,
}

/// Goes on from `place`, for a bounded number of pages.
pub async fn sweep(ledger: &Ledger, media: &Media, place: &str) -> Result<Swept, UpkeepError> {
    sweep_at(ledger, media, place, SystemClock::now()).await
}

/// `now` by the clock that the store's times go by.
pub async fn sweep_at(ledger: &Ledger, media: &Media, place: &str, now: i64) -> Result<Swept, UpkeepError> {
    is_ours(ledger, media).await?;
    let mut swept = Swept { place: place.to_owned(), ..Swept::default() };
    for _ in 0..PAGES {
        let page = media.listed("videos", &swept.place, PAGE).await?;
        let videos = page.iter().filter_map(|listed| video_of(&listed.key)).map(|(id, _)| id);
        let holdings = holdings(ledger, videos).await?;
        for listed in &page {
            if is_leftover(&listed.key, listed.written, QUIET, &holdings, now) {
                media.delete_listed(listed).await?;
                swept.objects += 1;
            }
        }
        match page.last() {
            Some(last) if page.len() >= PAGE => swept.place = last.key.clone(),
            Some(_) | None => {
                swept.place = String::new();
                break;
            }
        }
    }
    let open = media.open_uploads("videos").await?;
    let holdings = holdings(ledger, open.iter().filter_map(|upload| video_of(&upload.key)).map(|(id, _)| id)).await?;
    for upload in &open {
        if is_leftover(&upload.key, upload.begun, QUIET_PARTS, &holdings, now)
            && is_leftover(&upload.key, media.last_part(upload).await?, QUIET_PARTS, &holdings, now)
        {
            media.abort_upload(upload).await?;
            swept.uploads += 1;
        }
    }
    Ok(swept)
}

async fn holdings(
    ledger: &Ledger,
    videos: impl Iterator<Item = VideoId>,
) -> Result<HashMap<VideoId, Holding>, UpkeepError> {
    let videos: Vec<_> = videos.collect::<BTreeSet<_>>().into_iter().collect();
    Ok(ledger.holdings(&videos).await?)
}

/// What no row names and no live lease writes.
fn is_leftover(key: &str, written: i64, quiet: i64, holdings: &HashMap<VideoId, Holding>, now: i64) -> bool {
    let Some((id, name)) = video_of(key) else { return false };
    if written > now - quiet {
        return false;
    }
    match holdings.get(&id) {
        None => id.made_at() <= now - quiet,
        Some(holding) => {
            let live = holding.lease.is_some_and(|lease| name.contains(&lease.to_string()));
            !live && !holding.keys.contains(key)
        }
    }
}

/// An empty database in front of a full bucket would find everything in it a leftover.
async fn is_ours(ledger: &Ledger, media: &Media) -> Result<(), UpkeepError> {
    let ours = match ledger.setting("instance").await? {
        Some(id) => id,
        None => {
            let tx = ledger.begin().await?;
            let id = tx.instance().await?;
            tx.commit().await?;
            id
        }
    };
    // A read is the cheaper one where requests are paid for, and the mark is missing only once.
    let mark = match owner(media).await? {
        Some(mark) => mark,
        None => match media.put(OWNER, ours.clone().into()).await {
            Ok(_) => return Ok(()),
            Err(MediaError::Exists(_)) => owner(media).await?.unwrap_or_default(),
            Err(error) => return Err(error.into()),
        },
    };
    if mark == ours {
        return Ok(());
    }
    Err(UpkeepError::Foreign(mark))
}

/// The installation that has marked a store as its own.
pub async fn owner(media: &Media) -> Result<Option<String>, MediaError> {
    match media.read_all(OWNER).await {
        Ok(id) => Ok(Some(String::from_utf8_lossy(&id).into_owned())),
        Err(MediaError::Missing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LeaseToken;
    use crate::media::{rendition_key, source_key};

    const HOUR: i64 = 3_600_000;

    #[test]
    fn only_what_nobody_stands_for_is_a_leftover() {
        let (with_row, without) = (VideoId::new(), VideoId::new());
        let (live, dead) = (LeaseToken::new(), LeaseToken::new());
        let holding = Holding { keys: [source_key(with_row)].into(), lease: Some(live) };
        let holdings = HashMap::from([(with_row, holding)]);
        let now = SystemClock::now();
        let later = |key: &str| is_leftover(key, now, QUIET, &holdings, now + HOUR);
        assert!(later(&source_key(without)) && later(&format!("{}#1", source_key(without))));
        assert!(!is_leftover(&source_key(without), now + HOUR, QUIET, &holdings, now + HOUR), "it is being written");
        assert!(!is_leftover(&source_key(without), 0, QUIET, &holdings, now), "it has only just begun");
        assert!(!later(&source_key(with_row)) && !later(&rendition_key(with_row, live)));
        assert!(!later(&format!("{}#1", rendition_key(with_row, live))));
        assert!(later(&rendition_key(with_row, dead)) && later(&format!("{}#2", rendition_key(with_row, dead))));
        assert!(!later("watermarks/abc") && !later("videos/other/thing"));
    }

    #[tokio::test]
    async fn a_turn_deletes_what_a_killed_process_left_and_nothing_of_another_installation() {
        let folder = tempfile::tempdir().unwrap();
        let media = Media::local(&folder.path().join("objects")).unwrap();
        let open =
            async |name: &str| Ledger::open(&format!("sqlite://{}", folder.path().join(name).display())).await.unwrap();
        let ledger = open("ledger.db").await;
        let left = folder.path().join("objects").join(crate::media::video_folder(VideoId::new()));
        std::fs::create_dir_all(&left).unwrap();
        std::fs::write(left.join("source#1"), "half").unwrap();
        assert_eq!(sweep(&ledger, &media, "").await.unwrap(), Swept::default());
        assert!(left.exists(), "it may still be coming in");
        let other = open("other.db").await;
        let foreign = sweep_at(&other, &media, "", SystemClock::now() + HOUR).await;
        assert!(matches!(foreign, Err(UpkeepError::Foreign(_))), "{foreign:?}");
        let swept = sweep_at(&ledger, &media, "", SystemClock::now() + HOUR).await.unwrap();
        assert_eq!((swept.objects, left.exists()), (1, false));
    }
}
