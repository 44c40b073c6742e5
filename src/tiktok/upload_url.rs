//! Where bytes may be sent: an [`UploadUrl`] that was checked, and is a secret, since it carries its own token.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::refusal::{Class, Refusal};

/// Checked and secret; `Debug` shows neither host nor token.
#[derive(Debug, Clone)]
pub struct UploadUrl(SecretString);

impl UploadUrl {
    /// In production only https under tiktokapis.com; beside that the configured API's hostname, on any port, and
    /// over plain http only if the API itself is configured so.
    pub fn check(raw: &str, api: &Url) -> Result<Self, Refusal> {
        let refused = |why: &str| {
            let text = format!("TikTok's answer names an upload address that we don't send to: {why}");
            Refusal::ours(Class::Bug, "upload_url_refused", text)
        };
        let url = Url::parse(raw).map_err(|_| refused("it is no URL"))?;
        let Some(host) = url.host_str() else { return Err(refused("it names no host")) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it carries a login"));
        }
        let tiktok = host == "tiktokapis.com" || host.ends_with(".tiktokapis.com");
        let configured = api.host_str() == Some(host);
        match url.scheme() {
            "https" if tiktok || configured => {}
            "http" if configured && api.scheme() == "http" => {}
            "https" => return Err(refused("its host is neither TikTok's nor the configured API's")),
            _ => return Err(refused("it is not https")),
        }
        Ok(Self(SecretString::from(raw)))
    }

    /// Exactly as TikTok gave it, to be sealed or sent to.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The text without what is secret of this URL: its query, and each of its values.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        let Ok(url) = Url::parse(self.expose()) else { return String::new() };
        let mut text = text.replace(url.query().filter(|query| !query.is_empty()).unwrap_or(self.expose()), "…");
        for (_, value) in url.query_pairs().filter(|(_, value)| value.len() > 3) {
            text = text.replace(&*value, "…");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_to_tiktok_or_to_the_configured_api_and_nowhere_else() {
        let production = Url::parse("https://open.tiktokapis.com").unwrap();
        let sandbox = Url::parse("http://127.0.0.1:4000").unwrap();
        let ok = |raw: &str, api: &Url| UploadUrl::check(raw, api).is_ok();
        assert!(ok("https://open-upload.tiktokapis.com/video/?upload_id=1&upload_token=x", &production));
        assert!(ok("https://upload.us.tiktokapis.com/upload/", &production));
        for bad in [
            "http://open-upload.tiktokapis.com/video/",
            "https://tiktokapis.com.evil.example/",
            "https://eviltiktokapis.com/",
            "https://u:p@open-upload.tiktokapis.com/",
            "http://127.0.0.1:4000/",
            "ftp://open-upload.tiktokapis.com/",
            "nonsense",
        ] {
            assert!(!ok(bad, &production), "{bad}");
        }
        assert!(ok("http://127.0.0.1:5999/up?x=1", &sandbox));
        assert!(ok("https://open-upload.tiktokapis.com/video/", &sandbox));
        assert!(!ok("http://127.0.0.2:4000/", &sandbox));
    }

    #[test]
    fn an_upload_url_does_not_show_itself() {
        let api = Url::parse("https://open.tiktokapis.com").unwrap();
        let url = UploadUrl::check("https://open-upload.tiktokapis.com/video/?upload_token=hidden", &api).unwrap();
        assert!(!format!("{url:?}").contains("hidden"));
    }
}
