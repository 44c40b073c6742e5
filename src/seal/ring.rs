//! The keys: `ENCRYPTION_KEY` as text to a ring, newest first.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const LENGTH: usize = 32;

pub(super) struct Key {
    pub(super) id: String,
    pub(super) bytes: Zeroizing<[u8; LENGTH]>,
}

/// At least one key. `Debug` shows ids only.
pub struct KeyRing {
    newest: Key,
    older: Vec<Key>,
}

/// Says what is wrong without showing the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    #[error("expected a key of 32 bytes, raw or base64, got nothing; `openssl rand -base64 32` makes one")]
    Empty,
    #[error("{which}expected 32 bytes, raw or base64, got {got}; `openssl rand -base64 32` makes one")]
    Length { which: String, got: String },
    #[error("key {0} stands in the list twice")]
    Twice(usize),
}

impl KeyRing {
    /// The text is taken whole first (a raw key may hold commas), then split at commas.
    pub fn from_text(text: &str) -> Result<Self, BadKeys> {
        // A key file ends in a newline; a raw key of 32 bytes may end in a blank.
        let text = text.trim_end_matches(['\n', '\r']);
        if text.trim().is_empty() {
            return Err(BadKeys::Empty);
        }
        if let Ok(newest) = key(text) {
            return Ok(Self { newest, older: Vec::new() });
        }
        let parts: Vec<&str> = text.split(',').collect();
        let mut keys: Vec<Key> = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let which = if parts.len() == 1 { String::new() } else { format!("key {} of {}: ", at + 1, parts.len()) };
            let key = key(part).or_else(|_| key(part.trim())).map_err(|got| BadKeys::Length { which, got })?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(BadKeys::Twice(at + 1));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let newest = keys.next().ok_or(BadKeys::Empty)?;
        Ok(Self { newest, older: keys.collect() })
    }

    /// The newest key's id is the first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.newest).chain(&self.older).map(|key| key.id.as_str())
    }

    pub(super) fn newest(&self) -> &Key {
        &self.newest
    }

    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        std::iter::once(&self.newest).chain(&self.older).find(|key| key.id == id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// One key, or how long it is.
fn key(text: &str) -> Result<Key, String> {
    if let Ok(bytes) = <[u8; LENGTH]>::try_from(text.as_bytes()) {
        return Ok(named(Zeroizing::new(bytes)));
    }
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = [&alphabet::STANDARD, &alphabet::URL_SAFE]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
        .map(Zeroizing::new);
    let Some(decoded) = decoded else { return Err(bytes(text.len())) };
    match <[u8; LENGTH]>::try_from(decoded.as_slice()) {
        Ok(raw) => Ok(named(Zeroizing::new(raw))),
        Err(_) => Err(format!("{} (or {} from base64)", bytes(text.len()), bytes(decoded.len()))),
    }
}

fn bytes(count: usize) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// The id tells keys apart and gives nothing of them away.
fn named(bytes: Zeroizing<[u8; LENGTH]>) -> Key {
    let mut hash = Sha256::new();
    hash.update(b"subiteya key id");
    hash.update(bytes.as_slice());
    let id = hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Key { id, bytes }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    const RAW: &str = "0123456789abcdef0123456789abcdef";

    fn count(text: &str) -> usize {
        KeyRing::from_text(text).unwrap().ids().count()
    }

    #[test]
    fn a_key_is_32_bytes_raw_or_base64_and_several_are_split_at_commas() {
        let other = [0xfbu8; 32];
        assert_eq!(count(RAW), 1);
        assert_eq!(count(&format!("{RAW}\n")), 1);
        assert_eq!(count("0123456789,bcdef0123456789,bcdef"), 1);
        assert_eq!(count(&format!("{},{RAW}", STANDARD.encode(other))), 2);
        let std = KeyRing::from_text(&STANDARD.encode(other)).unwrap();
        let url = KeyRing::from_text(&URL_SAFE_NO_PAD.encode(other)).unwrap();
        assert!(std.ids().eq(url.ids()));
    }

    #[test]
    fn a_bad_key_is_described_and_not_shown() {
        let short = &RAW[..31];
        let error = KeyRing::from_text(short).unwrap_err().to_string();
        assert!(error.contains("expected 32 bytes") && error.contains("got 31 bytes"), "{error}");
        assert!(!error.contains(short));
        let second = KeyRing::from_text(&format!("{RAW},{short}")).unwrap_err().to_string();
        assert!(second.starts_with("key 2 of 2: "), "{second}");
        assert_eq!(KeyRing::from_text("").unwrap_err(), BadKeys::Empty);
        assert_eq!(KeyRing::from_text(&format!("{RAW},{RAW}")).unwrap_err(), BadKeys::Twice(2));
    }
}
