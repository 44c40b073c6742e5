//! Everything that can be set, as one value that is known to be sound.
//!
//! Four layers, each over the one before: `streams.toml` as compiled in ([`DEFAULTS`], which documents every key), the
//! operator's file, the environment, flags. [`Config::load`] lays them over each other, checks everything before
//! anything connects, and gives either a [`Config`] or every [`Problem`] there is. Secrets are of types that never show
//! themselves; a problem names the variable and what was expected, and never repeats a value that may be secret.

mod chunks;
mod database;
mod duration;
mod environment;
mod http;
mod keys;
mod layers;
mod lookalike;
mod problem;
mod rate;
mod redis;
mod role;
mod size;
mod stage;
mod store;
mod tiktok;
mod traces;

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

pub use self::chunks::ChunkConfig;
pub use self::database::DatabaseUrl;
pub use self::duration::{NotADuration, Written};
pub use self::environment::Environment;
pub use self::http::HttpConfig;
pub use self::keys::{EncryptionKeys, WrongKey};
pub use self::layers::DEFAULTS;
use self::layers::Layers;
pub use self::problem::Problem;
pub use self::rate::{NotARate, Rate};
pub use self::redis::{RedisConfig, RedisUrl};
pub use self::role::Role;
pub use self::stage::{EditConfig, StageConfig, StagesConfig};
pub use self::store::{S3Config, StoreConfig};
pub use self::tiktok::{TikTokApp, TikTokConfig};
pub use self::traces::TracesConfig;

/// How a process is to run.
#[derive(Debug, Clone)]
pub struct Config {
    pub role: Role,
    /// The folder of everything embedded. `up` makes it.
    pub data: PathBuf,
    pub redis: RedisConfig,
    pub stages: StagesConfig,
    pub edit: EditConfig,
    pub chunks: ChunkConfig,
    pub database: DatabaseUrl,
    pub store: StoreConfig,
    /// `None`, for `up` and `doctor` alone: nothing about TikTok was set, so `up` takes the sandbox that it starts.
    pub tiktok: Option<TikTokConfig>,
    /// `None` where it wasn't given and the role can do without: `up` keeps its own in the data folder, and `keys`,
    /// `accounts` and `doctor` look there.
    pub keys: Option<EncryptionKeys>,
    pub http: HttpConfig,
    /// How long running work may go on after SIGTERM before it is handed back.
    pub shutdown: Duration,
    pub log: LogConfig,
    /// `None`: nobody asks for traces.
    pub traces: Option<TracesConfig>,
    /// What is probably not as it was meant, and no reason not to start.
    pub doubts: Vec<Problem>,
    /// Variables that were not set, and that have a default on this machine.
    pub defaulted: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// In tracing's filter syntax.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Reads and checks everything. Touches nothing but the files that it is told to read.
    pub fn load(role: Role, env: &Environment) -> Result<Self, Vec<Problem>> {
        let problems = &mut Vec::new();
        let data = data_folder(env).map_err(|problem| problems.push(problem)).unwrap_or_default();
        let layers = layers(env, problems);
        let redis = redis(role, env, &layers, problems);
        let keys = keys(role, &redis, env, problems);
        let database = keep(env.text("DATABASE_URL"), problems)
            .and_then(|text| DatabaseUrl::parse(&text).map_err(|problem| problems.push(problem)).ok())
            .unwrap_or_else(|| DatabaseUrl::in_folder(&data));
        let tiktok = TikTokConfig::load(env, problems);
        let config = Self {
            role,
            redis,
            stages: StagesConfig::load(&layers, problems),
            edit: EditConfig::load(&layers, problems),
            chunks: ChunkConfig::load(&layers, problems),
            database,
            store: StoreConfig::load(env, &data, problems),
            tiktok: if matches!(role, Role::Up | Role::Doctor) {
                tiktok
            } else {
                tiktok.or_else(TikTokConfig::default_urls)
            },
            keys,
            http: HttpConfig::load(env, &layers, problems),
            shutdown: layers.section(&["shutdown"], problems).duration("deadline", Duration::ZERO, HOUR),
            log: log(env, &layers, problems),
            traces: TracesConfig::load(env, problems),
            data,
            doubts: doubts(role, env),
            defaulted: ["DATABASE_URL", "S3_BUCKET"].into_iter().filter(|name| !env.has(name)).collect(),
        };
        if problems.is_empty() { Ok(config) } else { Err(std::mem::take(problems)) }
    }
}

/// Somebody who tries `up` out may well have AWS' variables set for something else.
fn doubts(role: Role, env: &Environment) -> Vec<Problem> {
    let keeps_objects = matches!(role, Role::Serve | Role::Work | Role::Doctor);
    let store = keeps_objects.then(|| store::without_a_bucket(env)).flatten();
    store.into_iter().chain(lookalike::misspelt(env)).collect()
}

/// The folder of everything embedded, also for the CLI, which finds its API key there.
pub(crate) fn data_folder(env: &Environment) -> Result<PathBuf, Problem> {
    Ok(env.path("SUBITEYA_DATA")?.unwrap_or_else(|| PathBuf::from("data")))
}

const HOUR: Duration = Duration::from_secs(3600);

fn keep<T>(read: Result<Option<T>, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    read.map_err(|problem| problems.push(problem)).ok().flatten()
}

/// A file that was named has to be there; the one in the working directory need not.
fn layers(env: &Environment, problems: &mut Vec<Problem>) -> Layers {
    let named = keep(env.path("SUBITEYA_STREAMS"), problems);
    let path = named.clone().unwrap_or_else(|| PathBuf::from("streams.toml"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Layers::load(Some((Path::new(&path), &text)), problems),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Layers::load(None, problems),
        Err(error) => {
            let text = format!("expected a file that can be read, got {} ({error})", path.display());
            problems.push(Problem::new("SUBITEYA_STREAMS", text));
            Layers::load(None, problems)
        }
    }
}

fn redis(role: Role, env: &Environment, layers: &Layers, problems: &mut Vec<Problem>) -> RedisConfig {
    let enabled = match keep(env.text("ENABLE_REDIS"), problems).map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("true" | "1" | "yes" | "on") => true,
        Some("false" | "0" | "no" | "off") => false,
        Some(_) => {
            problems.push(Problem::new("ENABLE_REDIS", "expected true or false; set it like ENABLE_REDIS=false"));
            true
        }
    };
    let known = problems.len();
    let url = keep(env.text("REDIS_URL"), problems);
    let missing = url.is_none() && known == problems.len();
    if missing && enabled && role.needs_redis() {
        problems.push(Problem::new(
            "REDIS_URL",
            "is not set, and this command needs a Redis; set it like REDIS_URL=redis://127.0.0.1:6379, \
             set ENABLE_REDIS=false to do without, or run `subiteya up`, which starts its own",
        ));
    }
    let url = url.and_then(|text| keep(RedisUrl::parse(&text).map(Some), problems));
    let authorities = keep(env.bytes("REDIS_CA"), problems);
    let url = match (url, authorities) {
        (Some(url), Some(pem)) => keep(url.trusting(&pem).map(Some), problems),
        (url, _) => url,
    };
    let mut section = layers.section(&["redis"], problems);
    let monthly = section.number("monthly_commands", 0, i64::MAX.unsigned_abs());
    RedisConfig {
        url,
        enabled,
        block: section.duration("block", Duration::from_millis(1), HOUR),
        monthly_commands: (monthly > 0).then_some(monthly),
    }
}

const KEY_EXAMPLE: &str = "make one with `openssl rand -base64 32` and set ENCRYPTION_KEY or ENCRYPTION_KEY_FILE";

fn keys(role: Role, redis: &RedisConfig, env: &Environment, problems: &mut Vec<Problem>) -> Option<EncryptionKeys> {
    let known = problems.len();
    let bytes = keep(env.bytes("ENCRYPTION_KEY"), problems).map(zeroize::Zeroizing::new);
    let Some(bytes) = bytes else {
        let disabled_worker = role == Role::Work && !redis.enabled;
        if role.needs_key() && !disabled_worker && known == problems.len() {
            problems.push(Problem::new(
                "ENCRYPTION_KEY",
                format!("is not set; expected 32 bytes, raw or in base64; {KEY_EXAMPLE}"),
            ));
        }
        return None;
    };
    match EncryptionKeys::parse(&bytes) {
        Ok(keys) => Some(keys),
        Err(wrong) => {
            problems.push(Problem::new("ENCRYPTION_KEY", format!("{wrong}, raw or in base64; {KEY_EXAMPLE}")));
            None
        }
    }
}

fn log(env: &Environment, layers: &Layers, problems: &mut Vec<Problem>) -> LogConfig {
    let mut section = layers.section(&["log"], problems);
    let (mut filter, mut format) = (section.string("filter"), section.string("format"));
    if let Some(text) = keep(env.text("RUST_LOG"), problems) {
        filter = text;
    }
    if let Some(text) = keep(env.text("LOG_FORMAT"), problems) {
        format = text;
    }
    if tracing_subscriber::EnvFilter::try_new(&filter).is_err() {
        let expected = "expected a level or a filter; set it like RUST_LOG=info or RUST_LOG=subiteya=debug,info";
        problems.push(Problem::new("RUST_LOG", expected));
    }
    let format = match format.as_str() {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => {
            problems.push(Problem::new("LOG_FORMAT", "expected text or json; set it like LOG_FORMAT=json"));
            LogFormat::Text
        }
    };
    LogConfig { filter, format }
}

/// A base URL: http or https, a host, no credentials, and nothing behind its path.
pub(crate) fn web_url(name: &str, text: &str, example: &str) -> Result<Url, Problem> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty()))
        .filter(|url| url.query().is_none() && url.fragment().is_none())
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| {
            Problem::new(
                name,
                format!("expected an http:// or https:// URL without credentials; set it like {name}={example}"),
            )
        })
}
