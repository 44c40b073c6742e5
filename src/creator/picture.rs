//! A creator's picture, fetched for the page that shows it: the page itself loads nothing from elsewhere.

use super::{Creators, known, unavailable};
use crate::ledger::Account;
use crate::tiktok::refusal::Refusal;

pub use crate::tiktok::picture::Picture;

/// TikTok's address of a picture lives two hours, milliseconds.
const ADDRESS_LIFE: i64 = 110 * 60_000;

#[derive(Debug, thiserror::Error)]
pub enum NoPicture {
    #[error("the creator has no picture")]
    None,
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Creators {
    pub async fn picture(&self, account: &Account) -> Result<Picture, NoPicture> {
        let now = self.ledger.now().await.map_err(unavailable)?;
        let known = known(&self.ledger, &account.open_id).await.map_err(unavailable)?;
        let known = match known.filter(|known| now - known.at < ADDRESS_LIFE) {
            Some(known) => known,
            None => self.fresh(account).await?,
        };
        if known.info.creator_avatar_url.is_empty() {
            return Err(NoPicture::None);
        }
        Ok(self.client.picture(&known.info.creator_avatar_url).await?)
    }
}
