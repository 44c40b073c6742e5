//! One turn of ours: three processes on one ledger and one Redis.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use subiteya::ledger::{Ledger, NewAccount, Status, TokenPair};

use crate::servers::{Database, Redis};

/// Accounts whose videos take turns.
pub(crate) const ACCOUNTS: usize = 50;

const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

pub(crate) struct Turn<'a> {
    pub(crate) redis: &'a Redis,
    pub(crate) database: &'a Database,
    pub(crate) at_once: usize,
}

/// What a process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) database: String,
    pub(crate) redis: String,
    pub(crate) at_once: usize,
    pub(crate) videos: usize,
    /// One video at a time with this pause before the next, and each begin is told: for latencies.
    pub(crate) gap_ms: Option<u64>,
}

/// A process of ours; it ends when its input does.
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(role: &str, config: &Config) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["role", role, &serde_json::to_string(config)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let mut process = Self { child, lines };
        process.wait_for("ready")?;
        Ok(process)
    }

    fn say(&mut self, word: &str) -> Result<()> {
        writeln!(self.child.stdin.as_mut().context("its input")?, "{word}")?;
        Ok(())
    }

    /// All lines up to this word.
    fn wait_for(&mut self, word: &str) -> Result<Vec<String>> {
        let mut said = Vec::new();
        for line in self.lines.by_ref() {
            let line = line?;
            if line == word {
                return Ok(said);
            }
            said.push(line);
        }
        bail!("a process ended before it said {word}")
    }

    fn end(mut self) -> Result<Vec<String>> {
        drop(self.child.stdin.take());
        let said = self.lines.by_ref().collect::<Result<Vec<_>, _>>()?;
        ensure!(self.child.wait()?.success(), "a process failed");
        Ok(said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Turn<'_> {
    fn config(&self, videos: usize, gap_ms: Option<u64>) -> Config {
        let (database, redis) = (self.database.url.clone(), self.redis.url());
        Config { database, redis, at_once: self.at_once, videos, gap_ms }
    }

    async fn ledger(&self) -> Result<Ledger> {
        let ledger = Ledger::open(&self.database.url).await?;
        let tx = ledger.begin().await?;
        for account in 0..ACCOUNTS {
            let name = format!("creator{account}");
            let tokens = TokenPair {
                access: String::new(),
                refresh: String::new(),
                access_expires_at: 0,
                refresh_at: i64::MAX / 4,
                refresh_expires_at: None,
            };
            let id = format!("account{account}");
            let new = NewAccount { id, user: "ann".into(), open_id: name.clone(), display_name: name, tokens };
            tx.put_account(&new).await?;
        }
        tx.commit().await?;
        Ok(ledger)
    }

    /// Videos a second, from the first upload until the last one is posted.
    pub(crate) async fn flow(&self, videos: usize) -> Result<f64> {
        let ledger = self.ledger().await?;
        let config = self.config(videos, None);
        let mut edit = Process::start("edit", &config)?;
        let mut publish = Process::start("publish", &config)?;
        let mut produce = Process::start("produce", &config)?;
        let started = Instant::now();
        produce.say("go")?;
        produce.wait_for("uploaded")?;
        if std::env::var_os("FLOW_STEPS").is_some() {
            println!("flow: uploaded after {:.2} s", started.elapsed().as_secs_f64());
        }
        edit.wait_for("all")?;
        publish.wait_for("all")?;
        // The last settlement may still be on its way.
        let wanted = i64::try_from(videos)?;
        loop {
            let counts: HashMap<Status, i64> = ledger.status_counts(0).await?.into_iter().collect();
            if counts.get(&Status::Posted) == Some(&wanted) {
                break;
            }
            ensure!(started.elapsed() < PATIENCE, "the videos don't all end: {counts:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let rate = videos as f64 / started.elapsed().as_secs_f64();
        for process in [produce, edit, publish] {
            process.end()?;
        }
        Ok(rate)
    }

    /// Milliseconds from the commit of an upload, and from the begin of its transaction, to the stage's code.
    pub(crate) async fn latency(&self, videos: usize) -> Result<Latency> {
        let _ledger = self.ledger().await?;
        let config = self.config(videos, Some(20));
        let edit = Process::start("edit", &config)?;
        let publish = Process::start("publish", &config)?;
        let mut produce = Process::start("produce", &config)?;
        produce.say("go")?;
        produce.wait_for("uploaded")?;
        std::thread::sleep(Duration::from_millis(500));
        let times = |said: Vec<String>, word: &str| -> HashMap<String, Vec<f64>> {
            let lines = said.iter().filter_map(|line| line.strip_prefix(word));
            let words = lines.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            words
                .map(|words| (words[0].clone(), words[1..].iter().filter_map(|word| word.parse().ok()).collect()))
                .collect()
        };
        let committed = times(produce.end()?, "committed ");
        let began = times(edit.end()?, "began ");
        publish.end()?;
        let mut latency = Latency::default();
        for (video, times) in &committed {
            let began = began.get(video).and_then(|times| times.first()).context("a video was not begun")?;
            latency.from_begin.push((began - times[0]) / 1000.0);
            latency.from_commit.push((began - times[1]) / 1000.0);
        }
        ensure!(latency.from_commit.len() == videos, "not all uploads were seen");
        Ok(latency)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Latency {
    pub(crate) from_begin: Vec<f64>,
    pub(crate) from_commit: Vec<f64>,
}
