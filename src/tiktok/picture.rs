//! A creator's picture: from TikTok's own hosts only, small, and nothing but a picture.

use bytes::Bytes;
use url::Url;

use super::client::Client;
use super::refusal::{Class, Refusal};

/// Bytes.
const LARGEST: usize = 1 << 20;
/// Where TikTok keeps pictures. Beside these the configured API's own host.
const HOSTS: [&str; 8] = [
    "tiktokcdn.com",
    "tiktokcdn-us.com",
    "tiktokcdn-eu.com",
    "tiktok.com",
    "tiktokapis.com",
    "tiktokv.com",
    "ibyteimg.com",
    "muscdn.com",
];

/// Bytes that begin like a picture of this type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub content_type: &'static str,
    pub bytes: Bytes,
}

impl Client {
    /// Without a token: the address is all that it takes.
    pub async fn picture(&self, address: &str) -> Result<Picture, Refusal> {
        let refused = |why: &str| Refusal::ours(Class::Transient, "picture_refused", format!("the picture {why}"));
        let url = allowed(address, &self.config().api_url).ok_or_else(|| refused("is at no address of TikTok's"))?;
        let bytes = self.small(url, LARGEST).await?;
        let content_type = kind(&bytes).ok_or_else(|| refused("is no PNG, JPEG, WebP or GIF"))?;
        Ok(Picture { content_type, bytes })
    }
}

fn allowed(address: &str, api: &Url) -> Option<Url> {
    let url = Url::parse(address).ok()?;
    let host = url.host_str()?;
    let of = |name: &str| host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    let configured = api.host_str() == Some(host);
    let plain = url.username().is_empty() && url.password().is_none();
    let fits = match url.scheme() {
        "https" => configured || HOSTS.into_iter().any(of),
        "http" => configured && api.scheme() == "http",
        _ => false,
    };
    (plain && fits).then_some(url)
}

/// By its first bytes; what a server calls it counts for nothing.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_from_tiktok_or_the_configured_api() {
        let production = Url::parse("https://open.tiktokapis.com").unwrap();
        let sandbox = Url::parse("http://127.0.0.1:4000").unwrap();
        assert!(allowed("https://p16-sign-va.tiktokcdn.com/a~c5_720x720.jpeg?x=1", &production).is_some());
        assert!(allowed("http://127.0.0.1:4000/sandbox/creators/1/avatar", &sandbox).is_some());
        for bad in [
            "http://p16-sign-va.tiktokcdn.com/a.jpeg",
            "https://eviltiktokcdn.com/a.jpeg",
            "https://tiktokcdn.com.evil.example/",
            "https://u:p@p16.tiktokcdn.com/a.jpeg",
            "http://169.254.169.254/latest/meta-data",
            "http://127.0.0.1:4000/",
            "file:///etc/passwd",
            "",
        ] {
            assert!(allowed(bad, &production).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_picture_begins_like_one() {
        assert_eq!(kind(b"\x89PNG\r\n\x1a\n"), Some("image/png"));
        assert_eq!(kind(b"RIFF\x00\x00\x00\x00WEBPVP8 "), Some("image/webp"));
        for other in [&b"<svg xmlns=\"http://www.w3.org/2000/svg\">"[..], b"<html>", b"", b"RIFF"] {
            assert_eq!(kind(other), None);
        }
    }
}
