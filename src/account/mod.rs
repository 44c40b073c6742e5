//! TikTok accounts: their tokens, sealed at rest, and the one refresh at a time that renews them.
//!
//! An access token lives for hours (`expires_in`, never a constant); a refresh token dies with its use. So a refresh is
//! leased in the ledger over the whole fleet, and the new pair is committed before its first use. Who was refused with
//! a token asks for one that is newer than the version it had. A pair that is lost makes the account `RECONNECT`: its
//! posts wait for a person, and fail no video.

mod add;
pub mod connect;
mod remove;
mod rewrap;
mod tokens;

pub use add::{AddError, NewTokens, add};
pub use remove::{Revoked, remove};
pub use rewrap::{Rewrapped, rewrap};
pub use tokens::{Access, Tokens};

use secrecy::SecretString;

use crate::ledger::{Account, TokenPair};
use crate::seal::{Context, KeyRing, SealError, key_id};

const ACCESS: &str = "access_token";
const REFRESH: &str = "refresh_token";
const UPLOAD_URL: &str = "upload_url";
const VERIFIER: &str = "pkce_verifier";

/// A sealed pair whose parts live for so many seconds. The access token is refreshed when three quarters of its life are
/// over; where TikTok named no lifetime, before its first use.
fn pair(now: i64, access: String, refresh: String, (life, refresh_life): (Option<i64>, Option<i64>)) -> TokenPair {
    let after = |seconds: i64| now + seconds.saturating_mul(1000);
    TokenPair {
        access,
        refresh,
        access_expires_at: life.map_or(0, after),
        refresh_at: life.map_or(0, |seconds| now + seconds.saturating_mul(750)),
        refresh_expires_at: refresh_life.map(after),
    }
}

/// Seals and opens what belongs to this installation.
#[derive(Debug)]
pub struct Vault {
    ring: KeyRing,
    instance: String,
}

impl Vault {
    pub fn new(ring: KeyRing, instance: String) -> Self {
        Self { ring, instance }
    }

    /// The key that this process would need for an account's tokens, and has not.
    pub fn lacks(&self, account: &Account) -> Option<String> {
        match self.open(REFRESH, &account.id, &account.tokens.refresh) {
            Err(SealError::UnknownKey(key)) => Some(key),
            Ok(_) | Err(_) => None,
        }
    }

    /// Whether an account's tokens open, and why not.
    pub fn opens(&self, account: &Account) -> Result<(), SealError> {
        self.open(ACCESS, &account.id, &account.tokens.access)?;
        self.open(REFRESH, &account.id, &account.tokens.refresh).map(drop)
    }

    /// Whether some of an account's tokens are under another key than the newest.
    pub fn is_older(&self, account: &Account) -> bool {
        let newest = self.ring.ids().next();
        [&account.tokens.access, &account.tokens.refresh].into_iter().any(|sealed| key_id(sealed) != newest)
    }

    /// The ids of the keys that this process has, newest first.
    pub fn key_ids(&self) -> Vec<&str> {
        self.ring.ids().collect()
    }

    fn context<'a>(&'a self, purpose: &'a str, owner: &'a str) -> Context<'a> {
        Context { purpose, owner, instance: &self.instance }
    }

    fn seal(&self, purpose: &str, owner: &str, plaintext: &str) -> Result<String, SealError> {
        self.ring.seal(self.context(purpose, owner), plaintext)
    }

    fn open(&self, purpose: &str, owner: &str, sealed: &str) -> Result<SecretString, SealError> {
        Ok(self.ring.open(self.context(purpose, owner), sealed)?.plaintext)
    }

    /// An upload URL carries its own token, so it is a secret of its video.
    pub fn seal_upload_url(&self, video: &str, url: &str) -> Result<String, SealError> {
        self.seal(UPLOAD_URL, video, url)
    }

    pub fn open_upload_url(&self, video: &str, sealed: &str) -> Result<SecretString, SealError> {
        self.open(UPLOAD_URL, video, sealed)
    }
}
