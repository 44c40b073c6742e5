//! Secrets at rest: tokens and upload URLs, sealed with XChaCha20-Poly1305.
//!
//! The data: a [`KeyRing`] of 32-byte keys, newest first, and sealed text of the form
//! `v1:<key id>:<base64url(nonce ‖ ciphertext)>`. A secret is bound to its [`Context`]: sealed text that is copied to another
//! account, another purpose or another installation does not open.
//!
//! How it moves: `seal` uses the newest key; `open` takes whichever key the text names, and says when that is not the
//! newest, so that the caller seals it again.

mod ring;

pub use ring::KeyRing;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::SecretString;
use zeroize::Zeroizing;

const PRODUCT: &str = "subiteya";
const VERSION: &str = "v1";
const NONCE: usize = 24;

/// What a secret belongs to. All three are part of what is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// `access_token`, `refresh_token`, `upload_url`, …
    pub purpose: &'a str,
    /// The account's or video's id.
    pub owner: &'a str,
    /// The installation's id.
    pub instance: &'a str,
}

/// An opened secret. `stale`: an older key sealed it; seal it again.
#[derive(Debug, Clone)]
pub struct Opened {
    pub plaintext: SecretString,
    pub stale: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("this is no sealed text")]
    Malformed,
    #[error("sealed under the key {0}, which is not in ENCRYPTION_KEY")]
    UnknownKey(String),
    #[error("the sealed text does not open: it was changed, or belongs to something else")]
    Refused,
}

impl KeyRing {
    /// Seals under the newest key.
    pub fn seal(&self, context: Context<'_>, plaintext: &str) -> Result<String, SealError> {
        let key = self.newest();
        let nonce = XNonce::generate();
        let aad = bound_to(&key.id, context);
        let payload = Payload { msg: plaintext.as_bytes(), aad: &aad };
        let sealed = XChaCha20Poly1305::new((&*key.bytes).into()).encrypt(&nonce, payload);
        let mut body = nonce.to_vec();
        body.extend(sealed.map_err(|_| SealError::Refused)?);
        Ok(format!("{VERSION}:{}:{}", key.id, URL_SAFE_NO_PAD.encode(body)))
    }

    pub fn open(&self, context: Context<'_>, sealed: &str) -> Result<Opened, SealError> {
        let id = key_id(sealed).ok_or(SealError::Malformed)?;
        let body = sealed.rsplit(':').next().ok_or(SealError::Malformed)?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| SealError::Malformed)?;
        let (nonce, body) = body.split_at_checked(NONCE).ok_or(SealError::Malformed)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| SealError::Malformed)?;
        let key = self.find(id).ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let aad = bound_to(&key.id, context);
        let payload = Payload { msg: body, aad: &aad };
        let opened = XChaCha20Poly1305::new((&*key.bytes).into()).decrypt(&nonce, payload);
        let plaintext = Zeroizing::new(opened.map_err(|_| SealError::Refused)?);
        let text = std::str::from_utf8(&plaintext).map_err(|_| SealError::Refused)?;
        Ok(Opened { plaintext: SecretString::from(text), stale: key.id != self.newest().id })
    }
}

/// The key that a sealed text names; `None` if it is no sealed text.
pub fn key_id(sealed: &str) -> Option<&str> {
    let mut parts = sealed.split(':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(VERSION), Some(id), Some(_), None) => Some(id),
        _ => None,
    }
}

/// Each part with its length before it, so that no two contexts read alike.
fn bound_to(key_id: &str, context: Context<'_>) -> Vec<u8> {
    let mut aad = Vec::new();
    for part in [PRODUCT, VERSION, key_id, context.purpose, context.owner, context.instance] {
        aad.extend((part.len() as u64).to_be_bytes());
        aad.extend(part.as_bytes());
    }
    aad
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::config::EncryptionKeys;

    fn ring(text: &str) -> Result<KeyRing, crate::config::WrongKey> {
        EncryptionKeys::parse(text.as_bytes()).map(|keys| KeyRing::of(&keys))
    }

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";
    const HERE: Context<'static> = Context { purpose: "access_token", owner: "conn_1", instance: "i1" };

    #[test]
    fn what_is_sealed_opens_in_its_own_context_only() {
        let ring = ring(OLD).unwrap();
        let sealed = ring.seal(HERE, "act.secret").unwrap();
        assert!(sealed.starts_with("v1:") && !sealed.contains("act.secret"));
        let opened = ring.open(HERE, &sealed).unwrap();
        assert_eq!(opened.plaintext.expose_secret(), "act.secret");
        assert!(!opened.stale && !format!("{opened:?}").contains("act.secret"));
        for other in [
            Context { purpose: "refresh_token", ..HERE },
            Context { owner: "conn_2", ..HERE },
            Context { instance: "i2", ..HERE },
            Context { purpose: "access_tokenc", owner: "onn_1", ..HERE },
        ] {
            assert_eq!(ring.open(other, &sealed).unwrap_err(), SealError::Refused);
        }
        assert_ne!(ring.seal(HERE, "act.secret").unwrap(), sealed);
    }

    #[test]
    fn a_changed_text_a_swapped_id_and_a_wrong_key_are_refused() {
        let old = ring(OLD).unwrap();
        let both = ring(&format!("{NEW},{OLD}")).unwrap();
        let sealed = old.seal(HERE, "x").unwrap();
        let swapped = sealed.replace(key_id(&sealed).unwrap(), &both.newest().id);
        assert_eq!(both.open(HERE, &swapped).unwrap_err(), SealError::Refused);
        let other = ring(NEW).unwrap();
        assert!(matches!(other.open(HERE, &sealed).unwrap_err(), SealError::UnknownKey(_)));
        let mut changed = sealed.clone().into_bytes();
        let at = changed.len() - 5;
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(old.open(HERE, std::str::from_utf8(&changed).unwrap()).unwrap_err(), SealError::Refused);
        for bad in ["", "v1", "v1:a", "v1:a:b:c", "v2:a:b", "plain", &format!("v1:{}:AA", old.newest().id)] {
            assert_eq!(old.open(HERE, bad).unwrap_err(), SealError::Malformed, "{bad}");
        }
    }

    #[test]
    fn after_a_rotation_old_texts_open_and_say_that_they_are_stale() {
        let sealed = ring(OLD).unwrap().seal(HERE, "x").unwrap();
        let ring = ring(&format!("{NEW},{OLD}")).unwrap();
        assert!(ring.open(HERE, &sealed).unwrap().stale);
        assert!(!ring.open(HERE, &ring.seal(HERE, "x").unwrap()).unwrap().stale);
    }
}
