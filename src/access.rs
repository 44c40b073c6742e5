//! API keys and sign-in links: what is handed out, and the hash that stays.
//!
//! A key is `sk_` and 256 random bits; a sign-in link's token is 256 random bits too and is good once, for ten minutes.
//! The ledger keeps SHA-256 hashes only, and with so much randomness nothing slower is needed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::ledger::{LedgerError, Role, SessionKind, Tx};

/// How long a sign-in link is good for.
pub const LINK_LIFE_MS: i64 = 10 * 60 * 1000;
/// How long a cookie is good for.
pub const COOKIE_LIFE_MS: i64 = 7 * 24 * 3600 * 1000;

/// A key that was just made: the only time that it is seen.
#[derive(Debug)]
pub struct NewKey {
    pub id: String,
    pub user: String,
    pub role: Role,
    pub key: SecretString,
}

/// Makes an API key. The caller commits, then shows it once.
pub async fn create_key(tx: &Tx, user: &str, role: Role) -> Result<NewKey, LedgerError> {
    let key = format!("sk_{}", random());
    let id = format!("key_{}", uuid::Uuid::now_v7().simple());
    tx.insert_key(&id, user, role, &hash(&key)).await?;
    Ok(NewKey { id, user: user.to_owned(), role, key: key.into() })
}

/// Makes a one-time sign-in token for a key; the page is `/sign-in/{token}`.
pub async fn create_link(tx: &Tx, key_id: &str) -> Result<String, LedgerError> {
    start(tx, SessionKind::Link, key_id, LINK_LIFE_MS).await
}

/// Starts a page session for a key: the cookie's value.
pub async fn create_session(tx: &Tx, key_id: &str) -> Result<String, LedgerError> {
    start(tx, SessionKind::Cookie, key_id, COOKIE_LIFE_MS).await
}

async fn start(tx: &Tx, kind: SessionKind, key_id: &str, life: i64) -> Result<String, LedgerError> {
    let token = random();
    tx.insert_session(kind, &hash(&token), key_id, tx.now() + life).await?;
    Ok(token)
}

/// What the ledger keeps of a key or token: SHA-256, in lower-case hex.
pub fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

pub(crate) fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    #[test]
    fn hashes_are_sha_256_in_hex() {
        assert_eq!(super::hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn no_two_tokens_are_the_same() {
        assert_ne!(super::random(), super::random());
        assert_eq!(super::random().len(), 43);
    }
}
