//! BullMQ beside ours, by Node. npm fetches it into the target folder at the first full run.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::servers::{Database, Redis, ran};

/// The versions that the anchors were taken with.
const PACKAGES: [&str; 3] = ["bullmq@6.7.0", "ioredis@6.0.0", "pg@8"];

#[derive(Debug, Deserialize)]
pub(crate) struct Theirs {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Videos a second through their two stages; with a database, with the rows that ours writes.
pub(crate) fn flow(redis: &Redis, database: Option<&Database>, videos: usize, at_once: usize) -> Result<f64> {
    #[derive(Deserialize)]
    struct Said {
        rate: f64,
    }
    let mut script = script("flow", redis)?;
    script.env("VIDEOS", videos.to_string()).env("AT_ONCE", at_once.to_string());
    if let Some(database) = database {
        script.env("PGHOST", database.folder.path()).env("PGUSER", "postgres").env("PGDATABASE", "postgres");
    }
    Ok(said::<Said>(script)?.rate)
}

pub(crate) fn latency(redis: &Redis, times: usize) -> Result<Theirs> {
    let mut script = script("latency", redis)?;
    script.env("VIDEOS", times.to_string());
    said(script)
}

fn script(what: &str, redis: &Redis) -> Result<Command> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/flow/peers/bullmq.cjs");
    let mut node = Command::new("node");
    node.arg(file).arg(what).env("NODE_PATH", packages()?).env("REDIS_SOCKET", &redis.socket);
    Ok(node)
}

fn said<T: serde::de::DeserializeOwned>(mut script: Command) -> Result<T> {
    let output = script.output().context("node is not installed; FLOW_OURS_ONLY=1 does without")?;
    ensure!(output.status.success(), "BullMQ: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).with_context(|| format!("BullMQ said {text:?}"))
}

fn packages() -> Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../tools/peers");
    if !folder.join("node_modules/pg").is_dir() {
        std::fs::create_dir_all(&folder)?;
        let npm = ["install", "--no-audit", "--no-fund", "--prefix", "."];
        ran(Command::new("npm").current_dir(&folder).args(npm).args(PACKAGES))?;
    }
    Ok(folder.join("node_modules"))
}
