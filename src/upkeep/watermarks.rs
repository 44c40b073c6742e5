//! Watermarks' images, which are named by their content and shared by whoever uploads the same.

use crate::ledger::{Ledger, SystemClock};
use crate::media::{Media, watermark_name};

use super::UpkeepError;

/// An image may be uploaded long before a brand names it.
const YOUNG: i64 = 24 * 3600 * 1000;
const PAGE: usize = 1000;

/// Deletes the images that neither an account nor a brand names. How many there were.
pub async fn sweep_watermarks(ledger: &Ledger, media: &Media) -> Result<usize, UpkeepError> {
    sweep_at(ledger, media, SystemClock::now()).await
}

pub(super) async fn sweep_at(ledger: &Ledger, media: &Media, now: i64) -> Result<usize, UpkeepError> {
    let (mut deleted, mut place) = (0, String::new());
    loop {
        let page = media.listed("watermarks", &place, PAGE).await?;
        let old: Vec<_> = page.iter().filter(|listed| listed.written <= now - YOUNG).collect();
        if !old.is_empty() {
            let (named, brands) = (ledger.watermark_keys().await?, ledger.brands_in_use().await?);
            let used = |key: &str| {
                // A staged file's name goes on behind its image's.
                let key = key.split_once('#').map_or(key, |(key, _)| key);
                let name = watermark_name(key).unwrap_or(key);
                named.contains(key) || brands.iter().any(|brand| brand.contains(name))
            };
            for listed in old.into_iter().filter(|listed| !used(&listed.key)) {
                media.delete_listed(listed).await?;
                deleted += 1;
            }
        }
        match page.last() {
            Some(last) if page.len() >= PAGE => place = last.key.clone(),
            Some(_) | None => return Ok(deleted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::watermark_key;

    #[tokio::test]
    async fn an_image_that_no_brand_names_goes_when_it_is_a_day_old() {
        let folder = tempfile::tempdir().unwrap();
        let media = Media::local(&folder.path().join("objects")).unwrap();
        let ledger = Ledger::open(&format!("sqlite://{}", folder.path().join("ledger.db").display())).await.unwrap();
        media.put(&watermark_key("abc"), "an image".into()).await.unwrap();
        assert_eq!(sweep_watermarks(&ledger, &media).await.unwrap(), 0);
        assert_eq!(sweep_at(&ledger, &media, SystemClock::now() + 2 * YOUNG).await.unwrap(), 1);
        assert!(!media.is_there(&watermark_key("abc")).await.unwrap());
    }
}
