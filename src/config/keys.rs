//! The keys that seal tokens and upload URLs at rest.
//!
//! `ENCRYPTION_KEY` is 32 bytes, raw or in base64. It is taken whole first, since a raw key may contain a comma, and only
//! then split at commas: several keys, the newest first.

use std::fmt;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

const LENGTH: usize = 32;

/// One key or more, the newest first. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct EncryptionKeys(Vec<Zeroizing<[u8; LENGTH]>>);

/// Says how long what was given is, and never what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 bytes, got {length}{which}")]
pub struct WrongKey {
    length: usize,
    which: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Which(Option<usize>);

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |number| write!(f, " in key {number} of the list"))
    }
}

impl EncryptionKeys {
    /// Reads the bytes of a variable or of a key file.
    pub fn parse(bytes: &[u8]) -> Result<Self, WrongKey> {
        // A raw key may end in a line feed; a line of printable text hasn't got one, its editor added it.
        let line = without_line_end(bytes);
        let is_text = line.iter().all(|byte| byte.is_ascii_graphic());
        let whole = if is_text { one(line) } else { one(bytes).or_else(|_| one(line)) };
        let length = match whole {
            Ok(key) => return Ok(Self(vec![key])),
            Err(length) => length,
        };
        if !line.contains(&b',') {
            return Err(WrongKey { length, which: Which(None) });
        }
        let keys = line.split(|byte| *byte == b',').enumerate().map(|(index, part)| {
            one(part.trim_ascii()).map_err(|length| WrongKey { length, which: Which(Some(index + 1)) })
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// The newest first; there is at least one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8; LENGTH]> {
        self.0.iter().map(|key| &**key)
    }
}

impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKeys({} hidden)", self.0.len())
    }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// One key, or how many bytes it is instead of 32: decoded ones where it is base64 that comes close, else raw ones.
fn one(bytes: &[u8]) -> Result<Zeroizing<[u8; LENGTH]>, usize> {
    if let Ok(key) = <[u8; LENGTH]>::try_from(bytes) {
        return Ok(Zeroizing::new(key));
    }
    // 43 and 44 are the lengths of 32 bytes in base64, and 40 to 48 those that a slip of the hand leaves.
    let looks_encoded = (40..=48).contains(&bytes.len());
    match decode(bytes) {
        Some(decoded) => match <[u8; LENGTH]>::try_from(decoded.as_slice()) {
            Ok(key) => Ok(Zeroizing::new(key)),
            Err(_) if looks_encoded => Err(decoded.len()),
            Err(_) => Err(bytes.len()),
        },
        None => Err(bytes.len()),
    }
}

fn decode(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard = GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    let url_safe = GeneralPurpose::new(&base64::alphabet::URL_SAFE, config);
    standard.decode(bytes).or_else(|_| url_safe.decode(bytes)).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &[u8; 32] = b"0123456789abcdef0123456789abcde,";

    fn base64(bytes: &[u8]) -> String {
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    #[test]
    fn a_key_is_raw_or_base64_and_taken_whole_before_it_is_split() {
        for bytes in [RAW.to_vec(), base64(RAW).into_bytes(), base64(RAW).trim_end_matches('=').as_bytes().to_vec()] {
            let keys = EncryptionKeys::parse(&bytes).expect("a key");
            assert_eq!(keys.iter().collect::<Vec<_>>(), [RAW]);
        }
        let with_line_end = [RAW.as_slice(), b"\n"].concat();
        assert_eq!(EncryptionKeys::parse(&with_line_end).expect("a key").iter().next(), Some(RAW));
    }

    #[test]
    fn several_keys_keep_their_order() {
        let newer = [7u8; 32];
        let list = format!("{},{}\n", base64(&newer), base64(RAW));
        assert_eq!(EncryptionKeys::parse(list.as_bytes()).expect("two").iter().collect::<Vec<_>>(), [&newer, RAW]);
    }

    #[test]
    fn a_key_of_the_wrong_length_says_its_length_and_nothing_else() {
        let text = |bytes: &[u8]| EncryptionKeys::parse(bytes).expect_err("too short").to_string();
        assert_eq!(text(&RAW[..31]), "expected 32 bytes, got 31");
        assert_eq!(text(base64(&RAW[..31]).as_bytes()), "expected 32 bytes, got 31");
        assert_eq!(text(&[&RAW[..31], b"\n"].concat()), "expected 32 bytes, got 31");
        let list = format!("{},short", base64(RAW));
        assert_eq!(text(list.as_bytes()), "expected 32 bytes, got 5 in key 2 of the list");
        assert!(!format!("{:?}", EncryptionKeys::parse(RAW).expect("a key")).contains("012345"));
    }
}
