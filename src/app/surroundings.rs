//! Where a process works: its database, store, Redis and TikTok, without their secrets.

use crate::config::{Config, StoreConfig};

pub(super) struct Surroundings {
    pub(super) database: String,
    pub(super) objects: String,
    pub(super) redis: String,
    pub(super) tiktok: String,
}

impl Surroundings {
    /// What stands for a variable that isn't set is marked: a misspelt one is noticed here first.
    pub(super) fn of(config: &Config) -> Self {
        let marked = |shown: String, name: &str| match config.defaulted.contains(&name) {
            true => format!("{shown} ({name} is not set)"),
            false => shown,
        };
        Self {
            database: marked(config.database.shown(), "DATABASE_URL"),
            objects: marked(store_shown(&config.store), "S3_BUCKET"),
            redis: match &config.redis.url {
                _ if !config.redis.enabled => "disabled (ENABLE_REDIS=false): uploads wait in the ledger".to_owned(),
                Some(url) => url.shown(),
                None => "none".to_owned(),
            },
            tiktok: config.tiktok.as_ref().map_or_else(|| "none".to_owned(), |tiktok| tiktok.api_url.to_string()),
        }
    }

    /// One line, at the start of every process that stays.
    pub(super) fn log(&self, process: &str) {
        let Self { database, objects, redis, tiktok } = self;
        tracing::info!(database, objects, redis, tiktok, "starting: {process}");
    }
}

pub(super) fn store_shown(store: &StoreConfig) -> String {
    match store {
        StoreConfig::Local(folder) => folder.display().to_string(),
        StoreConfig::S3(s3) => match &s3.endpoint {
            Some(endpoint) => format!("S3 bucket {} at {}", s3.bucket, endpoint.as_str().trim_end_matches('/')),
            None => format!("S3 bucket {} at AWS ({})", s3.bucket, s3.region),
        },
    }
}
