//! Where Redis is, and what it may cost.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::problem::Problem;

#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `None`: none was given, which only `up` can do without (it starts its own), or Redis is not enabled.
    pub url: Option<RedisUrl>,
    /// `ENABLE_REDIS`. When false nothing connects to Redis, and work waits in the ledger.
    pub enabled: bool,
    /// The longest blocking read.
    pub block: Duration,
    /// The plan's cap; `None` = not metered. Holds for a Redis given by `REDIS_URL` only.
    pub monthly_commands: Option<u64>,
}

impl RedisConfig {
    /// The cap that holds: none for a Redis that we bring along.
    pub fn metered_commands(&self) -> Option<u64> {
        self.url.as_ref().and(self.monthly_commands)
    }
}

/// A URL that the Redis client understands, and who may have signed the certificate of what answers there.
#[derive(Debug, Clone)]
pub struct RedisUrl {
    /// It may hold a password, so it is never shown.
    url: SecretString,
    /// Empty: whom the system trusts.
    authorities: Vec<CertificateDer<'static>>,
}

/// What the client takes. It would take any other scheme as plain TCP, so these are checked here.
const SCHEMES: [&str; 10] = [
    "redis",
    "rediss",
    "redis-cluster",
    "rediss-cluster",
    "redis+unix",
    "valkey",
    "valkeys",
    "valkey-cluster",
    "valkeys-cluster",
    "valkey+unix",
];

/// Schemes that people try; only these are repeated in the message, since a mistyped value may begin with a secret.
const MISTAKEN: [&str; 8] = ["http", "https", "tcp", "unix", "tls", "postgres", "redis-sentinel", "rediss-sentinel"];

const EXAMPLES: &str = "set it like REDIS_URL=redis://127.0.0.1:6379, \
    REDIS_URL=rediss://default:PASSWORD@name.upstash.io:6379 or REDIS_URL=redis+unix:///run/redis/redis.sock";

impl RedisUrl {
    /// The URL of a Redis that listens on this socket.
    pub fn of_socket(path: &str) -> Self {
        Self { url: format!("redis+unix://{path}").into(), authorities: Vec::new() }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = |what: String| Err(Problem::new("REDIS_URL", format!("{what}; {EXAMPLES}")));
        let Some((scheme, _)) = text.split_once("://") else {
            return wrong("expected a URL that begins with a scheme such as redis:// or rediss://".into());
        };
        if !SCHEMES.contains(&scheme) {
            let got = if MISTAKEN.contains(&scheme) { format!(", got {scheme}://") } else { String::new() };
            return wrong(format!("expected a scheme out of {}{got}", SCHEMES.join(", ")));
        }
        let Ok(url) = Url::parse(text) else {
            return wrong("expected a URL, with the special characters of its password percent-encoded".into());
        };
        if scheme.ends_with("+unix") {
            if url.path().len() < 2 {
                return wrong("expected the absolute path of a socket".into());
            }
        } else if url.host_str().is_none_or(str::is_empty) {
            return wrong("expected a host".into());
        } else if !matches!(url.path(), "" | "/") && url.path()[1..].parse::<u8>().is_err() {
            return wrong("expected nothing or the number of a database behind the host".into());
        }
        Ok(Self { url: text.to_owned().into(), authorities: Vec::new() })
    }

    /// Trusts the certificates in this PEM text, and no others.
    pub(super) fn trusting(mut self, pem: &[u8]) -> Result<Self, Problem> {
        let wrong =
            |text: &str| Problem::new("REDIS_CA", format!("{text}; set it like REDIS_CA_FILE=/etc/ssl/redis-ca.pem"));
        if !self.encrypted() {
            return Err(wrong("is set, but REDIS_URL is not encrypted; expected rediss:// or rediss-cluster://"));
        }
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match read {
            Ok(found) if !found.is_empty() => self.authorities = found,
            _ => return Err(wrong("expected the certificates of authorities in PEM (-----BEGIN CERTIFICATE-----)")),
        }
        let mut roots = rustls::RootCertStore::empty();
        if self.authorities.iter().any(|one| roots.add(one.clone()).is_err()) {
            return Err(wrong("holds a certificate that can't be read; expected X.509 version 3"));
        }
        Ok(self)
    }

    fn encrypted(&self) -> bool {
        let scheme = self.expose().split_once("://").map_or("", |(scheme, _)| scheme);
        matches!(scheme, "rediss" | "rediss-cluster" | "valkeys" | "valkeys-cluster")
    }

    pub fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// The whole URL with its password, for the client alone.
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
    }

    /// What may be shown: scheme, host and port, or the socket's path.
    pub fn shown(&self) -> String {
        let Ok(url) = Url::parse(self.expose()) else { return "redis".to_owned() };
        match (url.scheme(), url.port()) {
            (scheme, _) if scheme.ends_with("+unix") => format!("{scheme}://{}", url.path()),
            (scheme, Some(port)) => format!("{scheme}://{}:{port}", url.host_str().unwrap_or_default()),
            (scheme, None) => format!("{scheme}://{}", url.host_str().unwrap_or_default()),
        }
    }
}
