//! What a browser is sent to, and PKCE in TikTok's own form.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

/// What this product asks an account for.
pub const SCOPES: &[&str] = &["user.info.basic", "video.publish"];

/// The PKCE secret of one login. Kept until the code is exchanged.
#[derive(Debug, Clone)]
pub struct Verifier(SecretString);

impl Verifier {
    /// 64 unreserved characters, 244 random bits.
    #[expect(clippy::new_without_default, reason = "every call gives another secret")]
    pub fn new() -> Self {
        Self(SecretString::from(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())))
    }

    pub fn from_text(text: String) -> Self {
        Self(SecretString::from(text))
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Lower-case hex of SHA-256, not RFC 7636's base64url: TikTok's desktop login wants it so.
    pub fn challenge(&self) -> String {
        Sha256::digest(self.expose().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The page at which a person agrees. `auth` is the base (`TIKTOK_AUTH_URL`).
pub fn authorize_url(auth: &Url, client_key: &str, redirect_uri: &str, state: &str, verifier: &Verifier) -> Url {
    const PATH: &str = "/v2/auth/authorize/";
    let mut url = auth.clone();
    let base = auth.path().trim_end_matches('/').to_owned();
    let path = if base.ends_with(PATH.trim_end_matches('/')) { format!("{base}/") } else { format!("{base}{PATH}") };
    url.set_path(&path);
    url.query_pairs_mut()
        .append_pair("client_key", client_key)
        .append_pair("response_type", "code")
        .append_pair("scope", &SCOPES.join(","))
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("state", state)
        .append_pair("code_challenge", &verifier.challenge())
        .append_pair("code_challenge_method", "S256");
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_tiktoks_vector() {
        let verifier = Verifier::from_text("abcdefghijklmnopqrstuvwxyz0123456789-._~ABCDEFG".to_owned());
        assert_eq!(verifier.challenge(), "4c3a770bec0fa3768a0cad4183eba43fbf2767d622a940f64e8443f7a1e86875");
        let length = Verifier::new().expose().len();
        assert!((43..=128).contains(&length));
    }

    #[test]
    fn the_authorize_page_is_asked_with_tiktoks_names() {
        let verifier = Verifier::new();
        for base in ["https://www.tiktok.com", "https://www.tiktok.com/", "https://www.tiktok.com/v2/auth/authorize/"] {
            let url = authorize_url(&Url::parse(base).unwrap(), "key", "http://127.0.0.1:9/callback/", "st", &verifier);
            assert!(url.as_str().starts_with("https://www.tiktok.com/v2/auth/authorize/?client_key=key&"), "{url}");
            assert!(url.as_str().contains("scope=user.info.basic%2Cvideo.publish"), "{url}");
        }
    }
}
