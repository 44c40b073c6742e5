//! Redis: reached, new enough, and set so that it keeps its streams.

use super::super::patience::Patience;
use super::super::{Judged, parts};
use super::report::Report;
use crate::config::Config;
use crate::stream::{Server, Streams};

const PART: &str = "redis";

/// The connection, if it can be asked more.
pub(super) async fn look(config: &Config, report: &mut Report) -> Option<Streams> {
    if !config.redis.enabled {
        report.well(PART, "disabled (ENABLE_REDIS=false): uploads wait in the ledger");
        return None;
    }
    let Some(url) = &config.redis.url else {
        match report.judged() {
            Judged::Up => report.well(PART, "not given; `up` starts its own"),
            Judged::Fleet => report.ill(
                PART,
                "REDIS_URL is not set, and serve and work need a Redis",
                "set it like REDIS_URL=redis://127.0.0.1:6379, or ENABLE_REDIS=false to do without",
            ),
        }
        return None;
    };
    let streams = match parts::streams(url, Patience::Now).await {
        Ok(streams) => streams,
        Err(failure) => {
            report.failed(PART, failure);
            return None;
        }
    };
    let shown = url.shown();
    if let Some(said) = streams.over_quota() {
        report.ill(
            PART,
            format!("{shown}: its command quota is used up: {said}"),
            "raise the plan, or wait for its next month",
        );
        return None;
    }
    let server = streams.about().cloned().unwrap_or_default();
    let before = report.ills();
    judge(&shown, &server, report);
    if report.ills() == before {
        let version = match server.version.as_str() {
            "" => "reachable; tells no version".to_owned(),
            version => format!("version {version}"),
        };
        report.well(PART, format!("{shown}: {version}"));
    }
    Some(streams)
}

fn judge(shown: &str, server: &Server, report: &mut Report) {
    if server.too_old() == Some(true) {
        report.ill(
            PART,
            format!("{shown}: version {} is too old", server.version),
            "install Redis 7.0 or later, or Valkey",
        );
    }
    if server.replica {
        report.ill(PART, format!("{shown}: it is a replica and takes no writes"), "set REDIS_URL to the primary");
    }
    if server.evicts() == Some(true) {
        report.ill(
            PART,
            format!("{shown}: it evicts keys when it is full ({})", server.eviction.as_deref().unwrap_or_default()),
            "redis-cli CONFIG SET maxmemory-policy noeviction, and in its file; or eviction off in the provider's console",
        );
    }
    if server.cannot_save {
        report.ill(
            PART,
            format!("{shown}: it can't write its data to its disk, and may refuse writes"),
            "see its log, and make room on its disk",
        );
    }
    if server.nearly_full() {
        report.ill(
            PART,
            format!("{shown}: nine tenths of its memory are used; when it is full nothing can be appended"),
            "redis-cli CONFIG SET maxmemory to more, or take away what else lies in it",
        );
    }
    if server.append_only == Some(false) && server.service.is_none() {
        report.doubt(
            PART,
            format!("{shown}: without append-only file, so a restart empties it and the ledger fills it again"),
            "redis-cli CONFIG SET appendonly yes, and in its file",
        );
    }
}
