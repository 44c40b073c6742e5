//! Where we listen, who may call us from elsewhere, and how much may be sent.

use url::Url;

use super::environment::Environment;
use super::layers::Layers;
use super::problem::Problem;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// An address or a name.
    pub host: String,
    /// 0 = any free one.
    pub port: u16,
    /// Origins as browsers send them, without a slash at the end.
    pub allowed_origins: Vec<String>,
    /// Bytes of one upload.
    pub max_upload: u64,
}

impl HttpConfig {
    pub(super) fn load(env: &Environment, layers: &Layers, problems: &mut Vec<Problem>) -> Self {
        let mut section = layers.section(&["http"], problems);
        let mut config = Self {
            host: section.string("host"),
            port: u16::try_from(section.number("port", 0, 65_535)).unwrap_or_default(),
            allowed_origins: section.strings("allowed_origins"),
            max_upload: section.size("max_upload", 1000),
        };
        let mut text = |name: &str| match env.text(name) {
            Ok(value) => value,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let (host, port, origins) = (text("HOST"), text("PORT"), text("SUBITEYA_ALLOWED_ORIGINS"));
        if let Some(host) = host {
            config.host = host;
        }
        if !is_host(&config.host) {
            problems.push(Problem::new(
                "HOST",
                "expected an address or a name to listen on; set it like HOST=127.0.0.1 or HOST=0.0.0.0",
            ));
        }
        match port.map(|port| port.parse::<u16>()) {
            Some(Ok(port)) => config.port = port,
            Some(Err(_)) => {
                problems.push(Problem::new("PORT", "expected a number from 0 to 65535; set it like PORT=3000"));
            }
            None => {}
        }
        if let Some(origins) = origins {
            config.allowed_origins = origins.split(',').map(|origin| origin.trim().to_owned()).collect();
        }
        config.allowed_origins.retain(|origin| !origin.is_empty());
        if !config.allowed_origins.iter().all(|origin| is_origin(origin)) {
            problems.push(Problem::new(
                "SUBITEYA_ALLOWED_ORIGINS",
                "expected origins with commas between them, each a scheme, a host and no path; \
                 set it like SUBITEYA_ALLOWED_ORIGINS=https://studio.example,http://localhost:5173",
            ));
        }
        config
    }
}

fn is_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<std::net::IpAddr>().is_ok()
        || (!host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.'))
}

fn is_origin(origin: &str) -> bool {
    Url::parse(origin).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == origin.to_ascii_lowercase()
    })
}
