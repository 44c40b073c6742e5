//! A redis-server of the test's own, on a unix socket in a temporary folder; gone with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process_group};
use subiteya::child::{Contained, Limits, Running, find};
use tokio::net::UnixStream;

use super::resp;

pub(crate) struct Redis {
    folder: tempfile::TempDir,
    server: Running,
    program: PathBuf,
    extra: Vec<String>,
    /// INFOs of the test itself since the counts began.
    asked: AtomicU64,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(extra: &[&str]) -> Self {
        let program = find(&["redis-server", "valkey-server"]).expect("redis-server or valkey-server is installed");
        Self::of(program, extra).await
    }

    /// Of another version, or of another make.
    pub(crate) async fn of(program: PathBuf, extra: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let extra: Vec<String> = extra.iter().map(|&one| one.to_owned()).collect();
        let server = launch(folder.path(), &program, &extra).await;
        Self { folder, server, program, extra, asked: AtomicU64::new(0) }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(crate) async fn kill(&mut self) {
        self.server.kill().await.expect("killed");
        std::fs::remove_file(self.socket()).ok();
    }

    /// SIGSTOP or SIGCONT: a frozen peer whose kernel still takes what is sent.
    pub(crate) fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(self.server.group()).expect("a group");
        kill_process_group(group, signal).expect("it runs");
    }

    /// From now on what it has outlives its process.
    pub(crate) async fn persist(&mut self) {
        self.command(&["CONFIG", "SET", "appendonly", "yes"]).await;
        self.extra.extend(["--appendonly", "yes"].map(str::to_owned));
    }

    /// What a killed one had put on its disk is gone.
    pub(crate) fn forget(&self) {
        std::fs::remove_dir_all(self.folder.path().join("appendonlydir")).ok();
    }

    /// Another one that follows this one.
    pub(crate) async fn replica(&self) -> Self {
        let port = super::servers::free_port().to_string();
        self.command(&["CONFIG", "SET", "port", &port]).await;
        let replica = Self::start().await;
        replica.command(&["REPLICAOF", "127.0.0.1", &port]).await;
        super::eventually("the replica follows", std::time::Duration::from_secs(15), || async {
            replica.command(&["INFO", "replication"]).await.contains("master_link_status:up")
        })
        .await;
        replica
    }

    pub(crate) async fn restart(&mut self) {
        self.server = launch(self.folder.path(), &self.program, &self.extra).await;
    }

    /// With further options.
    pub(crate) async fn restart_with(&mut self, extra: &[&str]) {
        self.extra.extend(extra.iter().map(|&one| one.to_owned()));
        self.restart().await;
    }

    /// Sends one command and gives the raw reply.
    pub(crate) async fn command(&self, words: &[&str]) -> String {
        let reply = ask(&self.socket(), words).await.expect("Redis answers");
        self.asked.fetch_add(u64::from(words.first() == Some(&"INFO")), Ordering::Relaxed);
        reply
    }

    /// A connection that stays: what is authenticated now remains so.
    pub(crate) async fn session(&self) -> UnixStream {
        UnixStream::connect(self.socket()).await.expect("Redis answers")
    }

    /// Calls by command, as the server counts them, without those of [`Self::command`] that count.
    pub(crate) async fn calls(&self) -> BTreeMap<String, u64> {
        let asked = self.asked.load(Ordering::Relaxed);
        let mut calls = calls_in(&self.command(&["INFO", "commandstats"]).await);
        if let Some(infos) = calls.get_mut("info") {
            *infos -= asked;
        }
        calls.retain(|name, calls| *calls > 0 && name != "config|resetstat");
        calls
    }

    pub(crate) async fn reset_calls(&self) {
        self.command(&["CONFIG", "RESETSTAT"]).await;
        self.asked.store(0, Ordering::Relaxed);
    }

    /// The number of pending entries of a stream's group.
    pub(crate) async fn pending(&self, stream: &str, group: &str) -> u64 {
        let reply = self.command(&["XPENDING", stream, group]).await;
        reply.lines().nth(1).and_then(|line| line.strip_prefix(':')?.parse().ok()).unwrap_or(0)
    }
}

/// Calls by command in an answer to `INFO commandstats`, also of those that a cluster's node refused.
pub(crate) fn calls_in(text: &str) -> BTreeMap<String, u64> {
    let number = |rest: &str, name: &str| {
        rest.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok()).unwrap_or(0)
    };
    text.lines()
        .filter_map(|line| {
            let (name, rest) = line.trim().strip_prefix("cmdstat_")?.split_once(':')?;
            Some((name.to_owned(), number(rest, "calls") + number(rest, "rejected_calls")))
        })
        .collect()
}

async fn launch(folder: &Path, program: &Path, extra: &[String]) -> Running {
    let server = Contained::new(program, folder, Limits::default())
        .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no", "--dir", "."])
        .args(extra.to_vec())
        .start()
        .expect("redis-server starts");
    let socket = folder.join("redis.sock");
    super::eventually("redis-server answers", std::time::Duration::from_secs(30), || async {
        ask(&socket, &["PING"]).await.is_some_and(|reply| reply.starts_with("+PONG"))
    })
    .await;
    server
}

async fn ask(socket: &Path, words: &[&str]) -> Option<String> {
    resp::ask(UnixStream::connect(socket).await.ok()?, words).await
}
