//! Every kind of Redis that the program speaks to, as a test meets it: by its URL, and by raw commands.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;

use super::cluster::Cluster;
use super::redis::{Redis, calls_in};
use super::servers::{fetched, free_port};

pub(crate) enum Service {
    /// On a unix socket, or behind TLS with an authority of the test's own.
    One {
        redis: Box<Redis>,
        tls: Option<Box<Tls>>,
    },
    Cluster(Cluster),
}

/// What a server behind TLS is reached by.
pub(crate) struct Tls {
    pub(crate) port: u16,
    pub(crate) authority: Authority,
}

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// Writes `cert.pem` and `key.pem` for `localhost` and 127.0.0.1, and gives redis-server's options for them.
    fn equip(&self, folder: &Path, port: u16) -> Vec<String> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.subject_alt_names.push(rcgen::SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let (certificate_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate_file, certificate.pem()).expect("written");
        std::fs::write(&key_file, key.serialize_pem()).expect("written");
        let text = |path: &Path| path.display().to_string();
        let words = ["--tls-port", &port.to_string(), "--tls-auth-clients", "no", "--tls-cert-file"].map(str::to_owned);
        let mut words = words.to_vec();
        words.extend([text(&certificate_file), "--tls-key-file".to_owned(), text(&key_file)]);
        words
    }
}

impl Tls {
    pub(crate) fn url(&self) -> String {
        format!("rediss://localhost:{}", self.port)
    }
}

impl Service {
    pub(crate) async fn redis_7_0() -> Self {
        Self::One { redis: Box::new(Redis::start().await), tls: None }
    }

    pub(crate) async fn redis_8_2() -> Self {
        Self::One { redis: Box::new(Redis::of(fetched("redis-server-8.2"), &[]).await), tls: None }
    }

    pub(crate) async fn valkey_9_1() -> Self {
        Self::One { redis: Box::new(Redis::of(fetched("valkey-server-9.1"), &[]).await), tls: None }
    }

    pub(crate) async fn cluster() -> Self {
        Self::Cluster(Cluster::start().await)
    }

    pub(crate) async fn tls() -> Self {
        let (authority, port) = (Authority::new(), free_port());
        let folder = tempfile::tempdir().expect("a folder");
        let options = authority.equip(folder.path(), port);
        let redis = Redis::start_with(&options.iter().map(String::as_str).collect::<Vec<_>>()).await;
        Self::One { redis: Box::new(redis), tls: Some(Box::new(Tls { port, authority })) }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::One { tls: Some(tls), .. } => tls.url(),
            Self::One { redis, tls: None } => redis.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    pub(crate) fn authorities(&self) -> Vec<CertificateDer<'static>> {
        match self {
            Self::One { tls: Some(tls), .. } => vec![tls.authority.der()],
            _ => Vec::new(),
        }
    }

    pub(crate) fn clustered(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Sends one command about this stream to the server that has it, and gives the raw reply.
    pub(crate) async fn about(&self, stream: &str, words: &[&str]) -> String {
        match self {
            Self::One { redis, .. } => redis.command(words).await,
            Self::Cluster(cluster) => cluster.command_at(cluster.owner(stream).await, words).await,
        }
    }

    /// Sends one command to every server.
    pub(crate) async fn everywhere(&self, words: &[&str]) -> Vec<String> {
        match self {
            Self::One { redis, .. } => vec![redis.command(words).await],
            Self::Cluster(cluster) => cluster.command(words).await,
        }
    }

    /// Calls by command over all servers.
    pub(crate) async fn calls(&self) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for text in self.everywhere(&["INFO", "commandstats"]).await {
            for (name, calls) in calls_in(&text) {
                *sum.entry(name).or_default() += calls;
            }
        }
        sum.remove("config|resetstat");
        sum
    }

    pub(crate) async fn reset_calls(&self) {
        self.everywhere(&["CONFIG", "RESETSTAT"]).await;
    }

    pub(crate) async fn blocked(&self) -> usize {
        let blocked = |text: &String| {
            let line = text.lines().find_map(|line| line.strip_prefix("blocked_clients:"))?;
            line.trim().parse::<usize>().ok()
        };
        self.everywhere(&["INFO", "clients"]).await.iter().filter_map(blocked).sum()
    }

    /// The number of pending entries of a stream's group.
    pub(crate) async fn pending(&self, stream: &str, group: &str) -> u64 {
        let reply = self.about(stream, &["XPENDING", stream, group]).await;
        reply.lines().nth(1).and_then(|line| line.strip_prefix(':')?.parse().ok()).unwrap_or(0)
    }
}
