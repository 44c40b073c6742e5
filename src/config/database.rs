//! Where the ledger is.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::lookalike::closest;
use super::problem::Problem;

/// The ledger's database.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// One file, on one host.
    Sqlite(PathBuf),
    /// The URL may hold a password.
    Postgres(SecretString),
}

const EXAMPLES: &str = "set it like DATABASE_URL=sqlite://data/subiteya.db or \
    DATABASE_URL=postgres://user:PASSWORD@host:5432/subiteya, or leave it unset for a file in the data folder";

/// What may stand behind the `?` of a PostgreSQL URL. `schema` is ours, the rest is the driver's, which passes over any
/// other name in silence: a misspelt `sslmode` would then mean no encryption at all.
const PARAMETERS: [&str; 19] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "schema",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
    "ssl-mode",
    "ssl-root-cert",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
];

/// Those of them that a message names.
const USUAL: &str = "sslmode, sslrootcert, sslcert, sslkey, schema, host, application_name and options";

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

impl DatabaseUrl {
    pub(super) fn in_folder(data: &Path) -> Self {
        Self::Sqlite(data.join("subiteya.db"))
    }

    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = |what: &str| Err(Problem::new("DATABASE_URL", format!("{what}; {EXAMPLES}")));
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let (path, parameters) = path.split_once('?').unwrap_or((path, ""));
            return match path {
                _ if !matches!(parameters, "" | "mode=rwc") => {
                    wrong("expected nothing behind the file's path: a ledger on SQLite takes no parameters")
                }
                "" | "/" => wrong("expected the path of a file behind sqlite://"),
                ":memory:" => wrong("expected a file: a ledger in memory would be lost with its process"),
                path => Ok(Self::Sqlite(PathBuf::from(path))),
            };
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return wrong("expected sqlite:// or postgres://");
        }
        let Ok(url) = Url::parse(text) else {
            return wrong("expected a URL, with the special characters of its password percent-encoded");
        };
        let socket = url.query_pairs().any(|(name, _)| name == "host");
        if !socket && url.host_str().is_none_or(str::is_empty) {
            return wrong("expected a host");
        }
        if url.path().trim_matches('/').is_empty() {
            return wrong("expected the name of a database behind the host");
        }
        check_parameters(&url)?;
        Ok(Self::Postgres(text.to_owned().into()))
    }

    /// What may be shown: the file, or host, port and database.
    pub fn shown(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Postgres(url) => Url::parse(url.expose_secret()).map_or("postgres".to_owned(), |url| {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("postgres://{}{port}{}", url.host_str().unwrap_or_default(), url.path())
            }),
        }
    }
}

/// A value is not repeated: one of them may be a password.
fn check_parameters(url: &Url) -> Result<(), Problem> {
    for (name, value) in url.query_pairs() {
        let known = PARAMETERS.contains(&&*name) || (name.starts_with("options[") && name.ends_with(']'));
        if !known {
            let meant = closest(&name, PARAMETERS).map(|near| format!(" (is {near} meant?)")).unwrap_or_default();
            let text = format!(
                "the parameter {name:?} is not known{meant}; expected {USUAL}, as in ?sslmode=verify-full; correct it, \
                 or take it out"
            );
            return Err(Problem::new("DATABASE_URL", text));
        }
        if matches!(&*name, "sslmode" | "ssl-mode") && !SSL_MODES.contains(&&*value) {
            let meant = closest(&value, SSL_MODES).map(|near| format!(" (is {near} meant?)")).unwrap_or_default();
            let text = format!(
                "the value of sslmode is not known{meant}; expected {}, as in ?sslmode=verify-full",
                SSL_MODES.join(", ")
            );
            return Err(Problem::new("DATABASE_URL", text));
        }
    }
    Ok(())
}
