//! The processes that are measured: the built program on a Redis, a database and a folder of its own, and the sandbox,
//! which runs in here so that its work is not counted as theirs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::multipart::{Form, Part};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use subiteya::child::{Contained, Limits, Running, find};
use subiteya::sandbox::{CreatorSpec, Options, Sandbox};
use tempfile::TempDir;

/// Nothing takes longer, on a slow machine either.
const PATIENCE: Duration = Duration::from_secs(900);

pub(crate) struct Fleet {
    folder: TempDir,
    sandbox: Sandbox,
    http: reqwest::Client,
    key: String,
    port: u16,
    serve: Option<Child>,
    _redis: Running,
}

/// One video to be.
pub(crate) struct Upload<'a> {
    pub(crate) account: &'a str,
    pub(crate) clip: &'a Path,
    pub(crate) brand: &'a Value,
    pub(crate) captions: bool,
}

impl Fleet {
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let program =
            find(&["redis-server", "valkey-server"]).context("redis-server or valkey-server is not installed")?;
        let redis = Contained::new(&program, folder.path(), Limits::default())
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"])
            .start()?;
        let mut options = Options::new(folder.path().join("sandbox"), "key", "secret");
        options.fsync = false;
        options.processing = Duration::ZERO;
        options.moderation = Duration::ZERO;
        options.limits.posting_users = None;
        let sandbox = Sandbox::start(options).await?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut fleet = Self { folder, sandbox, http, key: String::new(), port, serve: None, _redis: redis };
        fleet.configure(1)?;
        let made = fleet.run(&["keys", "create", "--user", "me", "--output", "json"], "")?;
        let made: Value = serde_json::from_str(&made)?;
        fleet.key = made["key"].as_str().context("a key")?.to_owned();
        fleet.serve = Some(fleet.spawn(&["serve"])?);
        let deadline = Instant::now() + PATIENCE;
        while !fleet.http.get(fleet.url("/readyz")).send().await.is_ok_and(|answer| answer.status().is_success()) {
            ensure!(Instant::now() < deadline, "serve is not ready; its log: {}", fleet.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(fleet)
    }

    /// No limits, so that what is measured is the worker.
    pub(crate) fn configure(&self, concurrency: usize) -> Result<()> {
        let toml = format!(
            "[streams.\"video.uploaded\"]\nlimit = \"\"\nconcurrency = {concurrency}\n\
             [streams.\"video.edited\"]\nlimit = \"\"\nlimit_per_account = \"\"\nconcurrency = {concurrency}\n"
        );
        Ok(std::fs::write(self.folder.path().join("streams.toml"), toml)?)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_subiteya"));
        let redis = format!("redis+unix://{}", self.socket().display());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("SUBITEYA_DATA", self.data())
            .env("PORT", self.port.to_string())
            .env("REDIS_URL", redis)
            .env("ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef")
            .env("TIKTOK_API_URL", self.sandbox.base_url())
            .env("TIKTOK_AUTH_URL", self.sandbox.base_url())
            .env("TIKTOK_CLIENT_KEY", "key")
            .env("TIKTOK_CLIENT_SECRET", "secret");
        command
    }

    fn run(&self, args: &[&str], stdin: &str) -> Result<String> {
        use std::io::Write;
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("stdin")?.write_all(stdin.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    pub(crate) fn serve_id(&self) -> u32 {
        self.serve.as_ref().map_or(0, Child::id)
    }

    /// A worker that has begun to read.
    pub(crate) async fn worker(&self, stage: &str) -> Result<Child> {
        let child = self.spawn(&["work", stage])?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let health = self.get("/api/monitor/queue-health").await?;
            if health["workers"].as_array().context("workers")?.iter().any(|worker| worker["stage"] == stage) {
                return Ok(child);
            }
            ensure!(Instant::now() < deadline, "work {stage} does not start; its log: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn spawn(&self, args: &[&str]) -> Result<Child> {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        Ok(self.command(args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A creator at TikTok, as the account of the same name.
    pub(crate) async fn account(&self, name: &str) -> Result<()> {
        let tokens = self.sandbox.grant(&CreatorSpec::named(name)).await?;
        let pair = json!({ "access_token": tokens.access_token, "refresh_token": tokens.refresh_token,
            "expires_in": tokens.expires_in, "refresh_expires_in": tokens.refresh_expires_in });
        let args =
            ["accounts", "add", "--id", name, "--open-id", &tokens.open_id, "--display-name", name, "--user", "me"];
        self.run(&args, &pair.to_string()).map(drop)
    }

    pub(crate) async fn put_watermark(&self, account: &str, image: &Path) -> Result<()> {
        let request = self.http.put(self.url(&format!("/api/accounts/{account}/brand/watermark")));
        let request = request.bearer_auth(&self.key).header("content-type", "image/png").body(std::fs::read(image)?);
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "the watermark: {}", answer.text().await?);
        Ok(())
    }

    pub(crate) async fn upload(&self, upload: &Upload<'_>) -> Result<String> {
        let mut form = Form::new()
            .text("accountId", upload.account.to_owned())
            .text("title", "sizing")
            .text("brand", upload.brand.to_string());
        if upload.captions {
            let lines =
                "1\n00:00:00,000 --> 00:00:02,000\nHow large is it?\n\n2\n00:00:02,000 --> 00:10:00,000\nThis large\n";
            form = form.part("captions", Part::text(lines).file_name("captions.srt"));
        }
        let form = form.part("video", Part::bytes(std::fs::read(upload.clip)?).file_name("clip.mp4"));
        let answer = self.http.post(self.url("/api/videos")).bearer_auth(&self.key).multipart(form).send().await?;
        ensure!(answer.status() == 201, "an upload: {}", answer.text().await?);
        let body: Value = answer.json().await?;
        Ok(body["video"]["id"].as_str().context("an id")?.to_owned())
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        Ok(self.http.get(self.url(path)).bearer_auth(&self.key).send().await?.json().await?)
    }

    /// Waits until each of these videos has one of the statuses.
    pub(crate) async fn until(&self, ids: &[String], statuses: &[&str]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for id in ids {
            loop {
                let video = self.get(&format!("/api/videos/{id}")).await?;
                let status = video["video"]["status"].as_str().unwrap_or_default();
                if statuses.contains(&status) {
                    break;
                }
                if ["FAILED", "NEEDS_REVIEW"].contains(&status) || Instant::now() > deadline {
                    bail!("{id} came to {status}, expected {statuses:?}: {}\n{}", video["video"]["reason"], self.log());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }
}

/// SIGTERM, and its end.
pub(crate) fn stop(mut child: Child) -> Result<()> {
    kill_process(Pid::from_child(&child), Signal::TERM)?;
    child.wait()?;
    Ok(())
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(mut serve) = self.serve.take() {
            serve.kill().ok();
            serve.wait().ok();
        }
    }
}
