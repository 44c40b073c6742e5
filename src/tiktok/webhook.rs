//! Whether a webhook is TikTok's: the header `TikTok-Signature: t=<unix>,s=<hex>`, with
//! s = HMAC-SHA256(client secret, t + `.` + raw body).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How old a signature may be, in seconds; as far ahead, for clocks that differ.
pub const OLDEST: i64 = 5 * 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    #[error("the signature is missing or not of the form t=…,s=…")]
    Malformed,
    #[error("the signature is older than five minutes")]
    Stale,
    #[error("the signature does not match")]
    Mismatch,
}

/// `now` is Unix time in seconds. The comparison takes the same time wherever it fails.
pub fn verify(header: &str, body: &[u8], client_secret: &str, now: i64) -> Result<(), BadSignature> {
    let (mut at, mut signature) = (None, None);
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) => at = Some(value),
            Some(("s", value)) => signature = Some(value),
            Some(_) | None => {}
        }
    }
    let (Some(at), Some(signature)) = (at, signature) else { return Err(BadSignature::Malformed) };
    let signed_at: i64 = at.parse().map_err(|_| BadSignature::Malformed)?;
    let signature = from_hex(signature).ok_or(BadSignature::Malformed)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(client_secret.as_bytes()).map_err(|_| BadSignature::Malformed)?;
    mac.update(at.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.verify_slice(&signature).map_err(|_| BadSignature::Mismatch)?;
    if now.saturating_sub(signed_at).saturating_abs() > OLDEST {
        return Err(BadSignature::Stale);
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(at: i64, body: &str, secret: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{at}.{body}").as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={at},s={hex}")
    }

    #[test]
    fn only_a_fresh_signature_over_this_body_with_this_secret_holds() {
        let header = signed(1_000, "{}", "secret");
        assert_eq!(verify(&header, b"{}", "secret", 1_000), Ok(()));
        assert_eq!(verify(&header, b"{}", "secret", 1_300), Ok(()));
        assert_eq!(verify(&header, b"{}", "secret", 1_301), Err(BadSignature::Stale));
        assert_eq!(verify(&header, b"{ }", "secret", 1_000), Err(BadSignature::Mismatch));
        assert_eq!(verify(&header, b"{}", "other", 1_000), Err(BadSignature::Mismatch));
        assert_eq!(verify(&header.replace("t=1000", "t=1001"), b"{}", "secret", 1_001), Err(BadSignature::Mismatch));
        for bad in ["", "t=1000", "s=00", "t=x,s=00", "t=1000,s=0", "t=1000,s=zz", "t=1000,s=é"] {
            assert_eq!(verify(bad, b"{}", "secret", 1_000), Err(BadSignature::Malformed), "{bad}");
        }
    }
}
