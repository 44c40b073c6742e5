//! Which TikTok, and as which of its apps.

use secrecy::SecretString;
use url::Url;

use super::environment::Environment;
use super::problem::Problem;
use super::web_url;

#[derive(Debug, Clone)]
pub struct TikTokConfig {
    /// The API's base. Its host is also where upload URLs may point, besides TikTok's own.
    pub api_url: Url,
    /// The authorize page's base.
    pub auth_url: Url,
    /// Needed to connect accounts and to refresh their tokens.
    pub app: Option<TikTokApp>,
}

#[derive(Debug, Clone)]
pub struct TikTokApp {
    pub client_key: String,
    pub client_secret: SecretString,
}

const API_URL: &str = "https://open.tiktokapis.com";
const AUTH_URL: &str = "https://www.tiktok.com";

impl TikTokConfig {
    /// `None` where nothing about TikTok is set.
    pub(super) fn load(env: &Environment, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut text = |name: &str| match env.text(name) {
            Ok(value) => value,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let (api_url, auth_url) = (text("TIKTOK_API_URL"), text("TIKTOK_AUTH_URL"));
        let (client_key, client_secret) = (text("TIKTOK_CLIENT_KEY"), text("TIKTOK_CLIENT_SECRET"));
        let set = api_url.is_some() || auth_url.is_some() || client_key.is_some() || client_secret.is_some();

        let mut url = |name: &str, value: Option<String>, default: &str| {
            let value = value.unwrap_or_else(|| default.to_owned());
            web_url(name, &value, default).map_err(|problem| problems.push(problem)).ok()
        };
        let api_url = url("TIKTOK_API_URL", api_url, API_URL);
        let auth_url = url("TIKTOK_AUTH_URL", auth_url, AUTH_URL);
        let app = match (client_key, client_secret) {
            (Some(client_key), Some(client_secret)) => {
                Some(TikTokApp { client_key, client_secret: client_secret.into() })
            }
            (None, None) => None,
            (Some(_), None) => missing("TIKTOK_CLIENT_SECRET", "TIKTOK_CLIENT_KEY", problems),
            (None, Some(_)) => missing("TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_SECRET", problems),
        };
        let (api_url, auth_url) = (api_url?, auth_url?);
        set.then_some(Self { api_url, auth_url, app })
    }

    /// TikTok itself, with no app.
    pub(crate) fn default_urls() -> Option<Self> {
        Some(Self { api_url: Url::parse(API_URL).ok()?, auth_url: Url::parse(AUTH_URL).ok()?, app: None })
    }
}

fn missing(name: &str, other: &str, problems: &mut Vec<Problem>) -> Option<TikTokApp> {
    problems.push(Problem::new(
        name,
        format!("is missing, and {other} is set; the two belong together: set {name} or {name}_FILE as the developer portal shows it"),
    ));
    None
}
