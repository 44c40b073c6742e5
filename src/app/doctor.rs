//! `doctor`: each part looked at, and for what is wrong the way to mend it.

use serde_json::json;

use super::embedded::existing_encryption_keys;
use super::{Exit, Failure, Manner, Output, parts};
use crate::config::Config;
use crate::tiktok::audit;

/// One line of the report.
struct Finding {
    part: &'static str,
    well: bool,
    text: String,
}

pub(super) async fn doctor(config: Config, manner: Manner) -> Result<(), Failure> {
    let findings = [
        ledger(&config).await,
        store(&config).await,
        redis(&config).await,
        ffmpeg(&config).await,
        keys(&config),
        tiktok(&config),
    ];
    let ill = findings.iter().filter(|finding| !finding.well).count();
    match manner.output {
        Output::Json => {
            let list: Vec<_> = findings
                .iter()
                .map(|finding| json!({ "part": finding.part, "ok": finding.well, "text": finding.text }))
                .collect();
            println!("{}", json!({ "ok": ill == 0, "findings": list }));
        }
        Output::Table => {
            for finding in &findings {
                println!("{}  {:<10} {}", if finding.well { "ok  " } else { "FAIL" }, finding.part, finding.text);
            }
        }
    }
    if ill == 0 {
        Ok(())
    } else {
        Err(Failure::new(Exit::Failed, format!("{ill} of {} parts need mending", findings.len())))
    }
}

fn finding<T>(part: &'static str, done: Result<T, Failure>, well: impl FnOnce(T) -> String) -> Finding {
    match done {
        Ok(value) => Finding { part, well: true, text: well(value) },
        Err(failure) => Finding { part, well: false, text: failure.message },
    }
}

async fn ledger(config: &Config) -> Finding {
    let shown = config.database.shown();
    finding("database", parts::ledger(config).await, |_| format!("{shown}: reachable, its schema is up to date"))
}

async fn store(config: &Config) -> Finding {
    finding("objects", parts::media(config).await, |_| "reachable".to_owned())
}

async fn redis(config: &Config) -> Finding {
    let part = "redis";
    let Some(url) = &config.redis.url else {
        let text =
            if config.redis.enabled { "not given; `up` starts its own" } else { "disabled (ENABLE_REDIS=false)" };
        return Finding { part, well: true, text: text.to_owned() };
    };
    let asked = async {
        let streams = parts::streams(url).await?;
        streams.close().await;
        if let Some(said) = streams.over_quota() {
            return Err(Failure::unavailable(format!("{}: its command quota is used up: {said}", url.shown())));
        }
        Ok::<_, Failure>(streams.about().cloned().unwrap_or_default())
    };
    match asked.await {
        Err(failure) => Finding { part, well: false, text: failure.message },
        Ok(server) => {
            let evicts = server.evicts() == Some(true);
            let volatile = server.append_only == Some(false);
            let text = match (evicts, volatile) {
                (true, _) => format!(
                    "{}: it evicts keys when it is full; maxmemory-policy noeviction mends that, or eviction switched off in the provider's console",
                    url.shown()
                ),
                (false, true) => format!(
                    "{}: version {}; without append-only file, so a restart empties it and the ledger fills it again",
                    url.shown(),
                    server.version
                ),
                (false, false) if server.version.is_empty() => format!("{}: reachable; tells no version", url.shown()),
                (false, false) => format!("{}: version {}", url.shown(), server.version),
            };
            Finding { part, well: !evicts, text }
        }
    }
}

async fn ffmpeg(config: &Config) -> Finding {
    finding("ffmpeg", parts::tools(config).await, |_| "found, with all that editing needs".to_owned())
}

fn keys(config: &Config) -> Finding {
    let part = "key";
    if config.keys.is_some() {
        return Finding { part, well: true, text: "ENCRYPTION_KEY is set".to_owned() };
    }
    let kept = existing_encryption_keys(&config.data).map_err(Failure::from);
    match kept {
        Ok(Some(_)) => Finding { part, well: true, text: "kept in the data folder".to_owned() },
        Ok(None) => Finding {
            part,
            well: true,
            text: "not set; `up` makes its own, `serve` and `work` need ENCRYPTION_KEY".to_owned(),
        },
        Err(failure) => Finding { part, well: false, text: failure.message },
    }
}

fn tiktok(config: &Config) -> Finding {
    let part = "tiktok";
    match &config.tiktok {
        None => Finding { part, well: true, text: "not set; `up` starts the sandbox".to_owned() },
        Some(tiktok) if tiktok.app.is_none() => Finding {
            part,
            well: false,
            text: "TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET are not set: no account can be connected, no token refreshed".to_owned(),
        },
        Some(tiktok) => Finding { part, well: true, text: format!("{}; {}", tiktok.api_url, audit::NOTICE) },
    }
}
