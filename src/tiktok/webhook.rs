//! Whether a webhook is TikTok's: the header `TikTok-Signature: t=<unix>,s=<hex>`, with
//! s = HMAC-SHA256(client secret, t + `.` + raw body). And what it says.

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
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

/// What an event is about, as far as it concerns us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Something became of a post.
    Post,
    /// A person took the app's permission away.
    AuthorizationRemoved,
    Other,
}

impl Topic {
    pub fn of(event: &str) -> Self {
        match event {
            "authorization.removed" => Self::AuthorizationRemoved,
            event if event.starts_with("post.publish.") => Self::Post,
            _ => Self::Other,
        }
    }
}

/// An event, as far as we read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub event: String,
    pub open_id: Option<String>,
    pub publish_id: Option<String>,
    /// Milliseconds, by TikTok's clock; 0 where it does not say.
    pub happened_at: i64,
}

impl Notice {
    /// None: it is no event.
    pub fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            event: String,
            #[serde(default)]
            user_openid: Option<String>,
            #[serde(default)]
            create_time: Option<i64>,
            #[serde(default)]
            content: serde_json::Value,
        }
        let body: Body = serde_json::from_slice(body).ok()?;
        // JSON in a string; an object would say the same.
        let content = match body.content {
            serde_json::Value::String(text) => serde_json::from_str(&text).unwrap_or_default(),
            other => other,
        };
        let text = |text: &str| text.replace('\0', "");
        let publish_id = content.get("publish_id").and_then(|id| id.as_str()).map(text);
        Some(Self {
            event: text(&body.event),
            open_id: body.user_openid.as_deref().map(text).filter(|id| !id.is_empty()),
            publish_id: publish_id.filter(|id| !id.is_empty()),
            happened_at: body.create_time.unwrap_or(0).saturating_mul(1000),
        })
    }

    pub fn topic(&self) -> Topic {
        Topic::of(&self.event)
    }
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
    fn an_event_is_read_with_its_content_in_a_string() {
        let body = br#"{"client_key":"k","event":"post.publish.complete","create_time":1615338610,"user_openid":"o1",
            "content":"{\"publish_id\":\"v_pub_file~v2-1.7\",\"publish_type\":\"DIRECT_PUBLISH\"}"}"#;
        let notice = Notice::read(body).unwrap();
        assert_eq!(notice.publish_id.as_deref(), Some("v_pub_file~v2-1.7"));
        assert_eq!((notice.open_id.as_deref(), notice.happened_at), (Some("o1"), 1_615_338_610_000));
        assert_eq!(notice.topic(), Topic::Post);
        let bare = Notice::read(br#"{"event":"moon.phase","content":7}"#).unwrap();
        assert_eq!((bare.topic(), bare.publish_id, bare.open_id), (Topic::Other, None, None));
        for bad in [&b"[]"[..], b"{}", b"{\"event\":7}", b"nothing"] {
            assert_eq!(Notice::read(bad), None);
        }
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
