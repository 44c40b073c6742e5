//! The whole pipeline as its users run it: real processes of the built binary, a Redis, a SQLite file and a folder of
//! objects of their own, and the TikTok sandbox, which remembers what was asked of it and what was posted.
//!
//! A [`Fleet`] owns all of that and kills what still runs when it is dropped. Each process logs into a file of its own
//! in the fleet's folder, where [`Fleet::log`] finds it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use subiteya::ledger::{ConnectError, Ledger, TaskRow};
use subiteya::sandbox::{Call, CreatorSpec, Fault, Filter, Kind, Options, Post, Sandbox, Tokens};
use tempfile::TempDir;

use super::eventually;
use super::redis::Redis;
use super::servers::free_port;

const ENCRYPTION_KEY: &str = "0123456789abcdef0123456789abcdef";
const APP: (&str, &str) = ("key", "secret");
/// Generous: the machine may be busy with other things.
pub(crate) const SOON: Duration = Duration::from_secs(45);

/// No limits, short leases, short pauses: for what is not about limits.
pub(crate) const LOOSE: &str = r#"
[streams."video.uploaded"]
limit = ""
lease = "3s"
backoff = "100ms"
stalled_check = "1s"
[streams."video.edited"]
limit = ""
limit_per_account = ""
lease = "3s"
backoff = "100ms"
stalled_check = "1s"
concurrency = 2
[shutdown]
deadline = "1s"
"#;

/// A brand under which every frame is encoded anew, so that a long clip takes a while.
pub(crate) const SLOW_BRAND: &str = r#"{"watermark":null,"captions":null,"effects":["vertical","grade"]}"#;

pub(crate) struct Fleet {
    pub(crate) folder: TempDir,
    pub(crate) redis: Redis,
    pub(crate) sandbox: Sandbox,
    pub(crate) key: String,
    http: reqwest::Client,
    port: u16,
    /// By name.
    running: BTreeMap<String, Child>,
    /// Of each name, how often it was started.
    starts: BTreeMap<String, u32>,
    /// Ports of the `serve`s beside the first, by name.
    doors: BTreeMap<String, u16>,
    next_door: AtomicUsize,
    env: Vec<(String, String)>,
}

impl Fleet {
    /// `toml` is what differs from the default configuration.
    pub(crate) async fn new(toml: &str) -> Self {
        Self::with(toml, |_| {}).await
    }

    pub(crate) async fn with(toml: &str, change: impl FnOnce(&mut Options)) -> Self {
        Self::on(toml, &[], change).await
    }

    /// On services of the caller's: their variables win over the fleet's own Redis, SQLite file and folder.
    pub(crate) async fn on(toml: &str, services: &[(&str, String)], change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("streams.toml"), toml).expect("written");
        let mut options = Options::new(folder.path().join("sandbox"), APP.0, APP.1);
        options.fsync = false;
        options.processing = Duration::from_millis(200);
        options.moderation = Duration::ZERO;
        options.limits.posting_users = None;
        change(&mut options);
        let sandbox = Sandbox::start(options).await.expect("a sandbox");
        let port = free_port();
        let mut fleet = Self {
            redis: Redis::start().await,
            sandbox,
            key: String::new(),
            http: reqwest::Client::builder().no_proxy().build().expect("a client"),
            port,
            running: BTreeMap::new(),
            starts: BTreeMap::new(),
            doors: BTreeMap::new(),
            next_door: AtomicUsize::new(0),
            env: Vec::new(),
            folder,
        };
        fleet.set("REDIS_URL", &fleet.redis.url());
        fleet.set("ENCRYPTION_KEY", ENCRYPTION_KEY);
        let tiktok = fleet.sandbox.base_url().to_owned();
        fleet.set("TIKTOK_API_URL", &tiktok);
        fleet.set("TIKTOK_AUTH_URL", &tiktok);
        fleet.set("TIKTOK_CLIENT_KEY", APP.0);
        fleet.set("TIKTOK_CLIENT_SECRET", APP.1);
        for (name, value) in services {
            fleet.set(name, value);
        }
        let made = fleet.run(&["keys", "create", "--user", "me", "--output", "json"], "");
        let made: Value = serde_json::from_str(&made).expect("json");
        fleet.key = made["key"].as_str().expect("a key").to_owned();
        fleet
    }

    /// With `serve`, `work edit` and `work publish` under way.
    pub(crate) async fn started(toml: &str) -> Self {
        let mut fleet = Self::new(toml).await;
        fleet.start_all().await;
        fleet
    }

    pub(crate) async fn start_all(&mut self) {
        self.start("serve", &["serve"]);
        self.start("edit", &["work", "edit"]);
        self.start("publish", &["work", "publish"]);
        self.ready().await;
    }

    /// A variable for all processes from here on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// What `up` brings along is used from here on.
    pub(crate) fn embedded(&mut self) {
        self.env.clear();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_subiteya"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("SUBITEYA_DATA", self.data())
            .env("PORT", self.port.to_string())
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end and gives what it printed.
    pub(crate) fn run(&self, args: &[&str], stdin: &str) -> String {
        let piped = self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = piped.expect("it starts");
        child.stdin.take().expect("stdin").write_all(stdin.as_bytes()).expect("taken");
        let output = child.wait_with_output().expect("it ends");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn start(&mut self, name: &str, args: &[&str]) {
        self.start_in(name, args, &[]);
    }

    fn start_in(&mut self, name: &str, args: &[&str], env: &[(&str, &str)]) {
        assert!(!self.running.contains_key(name), "{name} runs already");
        let log = std::fs::File::options().create(true).append(true).open(self.log_file(name)).expect("a log");
        let command = &mut self.command(args);
        if let Some(port) = self.doors.get(name) {
            command.env("PORT", port.to_string());
        }
        command.envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
        self.running.insert(name.to_owned(), command.spawn().expect("it starts"));
        *self.starts.entry(name.to_owned()).or_default() += 1;
    }

    /// Starts what a name stands for by itself: `edit2` is another `work edit`.
    pub(crate) fn start_again(&mut self, name: &str) {
        self.start_with(name, &[]);
    }

    /// The same, with variables of its own.
    pub(crate) fn start_with(&mut self, name: &str, env: &[(&str, &str)]) {
        let role = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let args: &[&str] = match role {
            "edit" => &["work", "edit"],
            "publish" => &["work", "publish"],
            "all" => &["work", "all"],
            "serve" => &["serve"],
            "up" => &["up"],
            _ => panic!("{name} is no process"),
        };
        if role == "serve" && name != role {
            self.doors.entry(name.to_owned()).or_insert_with(free_port);
        }
        self.start_in(name, args, env);
    }

    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.running[name].id()
    }

    pub(crate) fn signal(&self, name: &str, signal: Signal) {
        let pid = Pid::from_child(&self.running[name]);
        kill_process(pid, signal).expect("it runs");
    }

    /// SIGKILL, and reaped.
    pub(crate) fn kill(&mut self, name: &str) {
        let mut child = self.running.remove(name).expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("reaped");
    }

    /// Whether it stands still after a SIGSTOP.
    pub(crate) fn is_stopped(&self, name: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running[name].id())).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    }

    /// Waits for its end, and panics when it takes longer.
    pub(crate) async fn ended(&mut self, name: &str, within: Duration) -> ExitStatus {
        let mut child = self.running.remove(name).expect("it runs");
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = child.try_wait().expect("a status") {
                return status;
            }
            if Instant::now() > deadline {
                child.kill().expect("killed");
                panic!("{name} did not end within {within:?}:\n{}", self.log(name));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether it still runs.
    pub(crate) fn lives(&mut self, name: &str) -> bool {
        self.running.get_mut(name).is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Waits for every door.
    pub(crate) async fn ready(&mut self) {
        let first = if self.running.contains_key("up") { "up" } else { "serve" };
        let mut doors = vec![(first.to_owned(), self.port)];
        let others = self.doors.iter().filter(|(name, _)| self.running.contains_key(*name));
        doors.extend(others.map(|(name, port)| (name.clone(), *port)));
        let deadline = Instant::now() + SOON;
        for (name, port) in doors {
            let url = format!("http://127.0.0.1:{port}/readyz");
            while !self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                assert!(self.lives(&name) && Instant::now() < deadline, "{name} is not ready:\n{}", self.log(&name));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.log_file(name)).unwrap_or_default()
    }

    /// What all processes have logged.
    pub(crate) fn logs(&self) -> String {
        self.starts.keys().map(|name| format!("== {name}\n{}", self.log(name))).collect()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The `serve`s take turns.
    fn next_url(&self, path: &str) -> String {
        let ports: Vec<u16> = std::iter::once(self.port).chain(self.doors.values().copied()).collect();
        let turn = self.next_door.fetch_add(1, Ordering::Relaxed);
        format!("http://127.0.0.1:{}{path}", ports[turn % ports.len()])
    }

    /// A creator at TikTok, as the account of the same name; once more: with a new pair of tokens.
    pub(crate) async fn account(&self, name: &str) -> Tokens {
        let tokens = self.sandbox.grant(&CreatorSpec::named(name)).await.expect("a creator");
        self.connect(name, &tokens);
        tokens
    }

    /// As many creators as named, connected by one command.
    pub(crate) async fn accounts(&self, names: &[String]) {
        let mut lines = String::new();
        for name in names {
            let tokens = self.sandbox.grant(&CreatorSpec::named(name)).await.expect("a creator");
            let line = json!({
                "id": name, "open_id": tokens.open_id, "display_name": name, "user": "me",
                "access_token": tokens.access_token, "refresh_token": tokens.refresh_token,
                "expires_in": tokens.expires_in, "refresh_expires_in": tokens.refresh_expires_in,
            });
            lines.push_str(&format!("{line}\n"));
        }
        self.run(&["accounts", "import"], &lines);
    }

    /// Tokens without a lifetime are refreshed before their first use.
    pub(crate) fn connect(&self, name: &str, tokens: &Tokens) {
        let mut pair = json!({ "access_token": tokens.access_token, "refresh_token": tokens.refresh_token });
        if tokens.expires_in > 0 {
            pair["expires_in"] = tokens.expires_in.into();
            pair["refresh_expires_in"] = tokens.refresh_expires_in.into();
        }
        let args =
            ["accounts", "add", "--id", name, "--open-id", &tokens.open_id, "--display-name", name, "--user", "me"];
        self.run(&args, &pair.to_string());
    }

    /// The id, if there was an answer and the server could take it.
    pub(crate) async fn try_upload(
        &self,
        account: &str,
        title: &str,
        fields: &[(&str, &str)],
        clip: &Path,
    ) -> Option<String> {
        self.try_upload_bytes(account, title, fields, std::fs::read(clip).expect("a clip")).await
    }

    pub(crate) async fn try_upload_bytes(
        &self,
        account: &str,
        title: &str,
        fields: &[(&str, &str)],
        bytes: Vec<u8>,
    ) -> Option<String> {
        let mut form = Form::new().text("accountId", account.to_owned()).text("title", title.to_owned());
        for (name, value) in fields {
            form = form.text((*name).to_owned(), (*value).to_owned());
        }
        let form = form.part("video", Part::bytes(bytes).file_name("clip.mp4"));
        let request = self.http.post(self.next_url("/api/videos")).bearer_auth(&self.key).multipart(form);
        let answer = request.send().await.ok()?;
        let status = answer.status();
        let body: Value = answer.json().await.ok()?;
        if status.is_server_error() {
            return None;
        }
        assert_eq!(status, 201, "{body}");
        Some(body["video"]["id"].as_str().expect("an id").to_owned())
    }

    /// HTTP status and body, whatever they are.
    pub(crate) async fn send_upload(&self, account: &str, title: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let mut form = Form::new().text("accountId", account.to_owned()).text("title", title.to_owned());
        for (name, value) in fields {
            form = form.text((*name).to_owned(), (*value).to_owned());
        }
        let form = form.part("video", Part::bytes(std::fs::read(clip()).expect("a clip")).file_name("clip.mp4"));
        let request = self.http.post(self.url("/api/videos")).bearer_auth(&self.key).multipart(form);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("json"))
    }

    /// As a sender does who is in a trace already.
    pub(crate) async fn upload_under(&self, traceparent: &str, account: &str, title: &str) -> String {
        let form = Form::new().text("accountId", account.to_owned()).text("title", title.to_owned());
        let form = form.part("video", Part::bytes(std::fs::read(clip()).expect("a clip")).file_name("clip.mp4"));
        let request = self.http.post(self.url("/api/videos")).bearer_auth(&self.key).header("traceparent", traceparent);
        let answer: Value = request.multipart(form).send().await.expect("an answer").json().await.expect("json");
        answer["video"]["id"].as_str().expect("accepted").to_owned()
    }

    /// HTTP status, whether it says when to come again, and body.
    pub(crate) async fn refused_upload(&self, account: &str, title: &str, clip: &Path) -> (u16, bool, Value) {
        let bytes = std::fs::read(clip).expect("a clip");
        let form = Form::new().text("accountId", account.to_owned()).text("title", title.to_owned());
        let form = form.part("video", Part::bytes(bytes).file_name("clip.mp4"));
        let request = self.http.post(self.url("/api/videos")).bearer_auth(&self.key).multipart(form);
        let answer = request.send().await.expect("an answer");
        let retry_after = answer.headers().contains_key("retry-after");
        (answer.status().as_u16(), retry_after, answer.json().await.expect("json"))
    }

    /// Titles tell the posts apart, so no two videos of a fleet have the same.
    pub(crate) async fn upload(&self, account: &str, title: &str) -> String {
        self.try_upload(account, title, &[], clip()).await.expect("accepted")
    }

    pub(crate) async fn upload_slow(&self, account: &str, title: &str) -> String {
        self.try_upload(account, title, &[("brand", SLOW_BRAND)], long_clip()).await.expect("accepted")
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let answer = self.http.get(self.url(path)).bearer_auth(&self.key).send().await.expect("an answer");
            // It may just have lost what it stands on, and asks for another try.
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE || Instant::now() > deadline {
                return answer.json().await.expect("json");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// For what may break off, and for who may be away.
    pub(crate) async fn try_get(&self, path: &str) -> Option<Value> {
        let answer = self.http.get(self.url(path)).bearer_auth(&self.key).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }

    pub(crate) async fn bytes(&self, path: &str) -> Vec<u8> {
        let request = self.http.get(self.url(path)).bearer_auth(&self.key);
        request.send().await.expect("an answer").bytes().await.expect("bytes").to_vec()
    }

    /// HTTP status and body.
    pub(crate) async fn post(&self, path: &str) -> (u16, Value) {
        let request = self.http.post(self.url(path)).bearer_auth(&self.key).json(&json!({}));
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("json"))
    }

    /// HTTP status and body.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.patch(self.url(path)).bearer_auth(&self.key).json(body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("json"))
    }

    /// For what may break off: the status, if there is an answer.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Option<u16> {
        let request = self.http.post(self.url(path)).bearer_auth(&self.key).json(body);
        request.send().await.ok().map(|answer| answer.status().as_u16())
    }

    pub(crate) async fn video(&self, id: &str) -> Value {
        self.get(&format!("/api/videos/{id}")).await["video"].clone()
    }

    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        self.until_video(id, status, |video| video["status"] == status).await
    }

    pub(crate) async fn until_video(&self, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let video = self.video(id).await;
            if holds(&video) {
                return video;
            }
            let status = video["status"].as_str().unwrap_or_default();
            let wrong = what != status && ["FAILED", "NEEDS_REVIEW", "CANCELED", "POSTED"].contains(&status);
            assert!(!wrong && Instant::now() < deadline, "{id} never: {what}; {video:#}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn faults(&self, faults: &[&str]) {
        self.sandbox.add_faults(faults.iter().map(|text| text.parse::<Fault>().expect("a fault")).collect());
    }

    /// How many faults have not yet hit their request.
    pub(crate) async fn faults_left(&self) -> usize {
        let answer = self.http.get(format!("{}/sandbox/faults", self.sandbox.base_url())).send().await;
        let shown: Value = answer.expect("an answer").json().await.expect("json");
        shown["faults"].as_array().expect("a list").len()
    }

    /// Waits until every fault has hit its request.
    pub(crate) async fn faults_taken(&self) {
        eventually("the faults have hit", SOON, || async { self.faults_left().await == 0 }).await;
    }

    pub(crate) fn posts(&self, title: &str) -> Vec<Post> {
        self.sandbox.posts().into_iter().filter(|post| post.title == title).collect()
    }

    pub(crate) async fn calls(&self, kind: Kind) -> Vec<Call> {
        self.sandbox.record(Filter { kind: Some(kind), ..Filter::default() }).await.expect("the record")
    }

    /// Waits for POSTED, and for the sandbox to agree: one post, of the rendition's bytes.
    pub(crate) async fn posted(&self, id: &str) -> Value {
        let video = self.until(id, "POSTED").await;
        let title = video["title"].as_str().expect("a title");
        let posts = self.posts(title);
        assert_eq!(posts.len(), 1, "posts of {title}: {posts:?}\n{}", self.logs());
        let row = self.ledger().await.video(id.parse().expect("an id")).await.expect("read").expect("a row");
        assert_eq!(row.edited_sha256.as_deref(), Some(posts[0].sha256.as_str()), "{title}: the rendition's bytes");
        let broken = self.sandbox.record(Filter { violations: true, ..Filter::default() }).await.expect("the record");
        assert!(broken.is_empty(), "rules of TikTok's that were broken: {broken:?}");
        video
    }

    pub(crate) async fn ledger(&self) -> Ledger {
        let ledger = self.try_ledger().await;
        ledger.unwrap_or_else(|error| panic!("the ledger: {error:?}\n{}", self.logs()))
    }

    pub(crate) async fn try_ledger(&self) -> Result<Ledger, ConnectError> {
        let given = self.env.iter().find(|(name, _)| name == "DATABASE_URL").map(|(_, url)| url.clone());
        let url = given.unwrap_or_else(|| format!("sqlite://{}", self.data().join("subiteya.db").display()));
        Ledger::open(&url).await
    }

    pub(crate) async fn tasks(&self, id: &str) -> Vec<TaskRow> {
        self.ledger().await.tasks_of(id.parse().expect("an id")).await.expect("read")
    }

    /// The events of the video's timeline, as `stage/event`.
    pub(crate) fn events(video: &Value) -> Vec<String> {
        let lines = video["timeline"].as_array().expect("a timeline").iter();
        lines
            .map(|line| format!("{}/{}", line["stage"].as_str().unwrap_or("-"), line["event"].as_str().unwrap_or("-")))
            .collect()
    }

    /// Process ids of FFmpeg and ffprobe at work for this fleet.
    pub(crate) fn ffmpegs(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let program = std::fs::read_link(entry.path().join("exe")).unwrap_or_default();
            let folder = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            if program.to_string_lossy().contains("/ff") && folder.starts_with(self.folder.path()) {
                found.push(pid);
            }
        }
        found
    }

    pub(crate) async fn until_ffmpeg_runs(&self, id: &str) {
        self.until(id, "EDITING").await;
        eventually("FFmpeg runs", SOON, || async { !self.ffmpegs().is_empty() }).await;
    }

    pub(crate) async fn until_no_ffmpeg(&self) {
        eventually("no FFmpeg is left", Duration::from_secs(3), || async { self.ffmpegs().is_empty() }).await;
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Half a second that TikTok takes as it is.
pub(crate) fn clip() -> &'static Path {
    static CLIP: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &CLIP.get_or_init(|| make("640x360", "0.5", &[])).1
}

/// Long enough to be interrupted in its encode, on this machine and on a faster one.
pub(crate) fn long_clip() -> &'static Path {
    static CLIP: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &CLIP.get_or_init(|| make("1280x720", "4", &[])).1
}

/// More than TikTok takes in one piece: filled up to a constant rate of bytes.
pub(crate) fn large_clip() -> &'static Path {
    static CLIP: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let rate = ["-x264-params", "nal-hrd=cbr:filler=1", "-b:v", "120M", "-maxrate", "120M", "-bufsize", "120M"];
    &CLIP.get_or_init(|| make("640x360", "5", &rate)).1
}

fn make(size: &str, seconds: &str, more: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clip.mp4");
    let picture = format!("testsrc2=size={size}:rate=30:duration={seconds}");
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", &picture])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"])
        .args(more)
        .args(["-movflags", "+faststart"])
        .arg(&file)
        .status();
    assert!(made.expect("ffmpeg").success());
    (folder, file)
}

/// libfaketime shifts the wall clock of a process.
pub(crate) fn faked(shift: &str) -> [(&'static str, String); 3] {
    let folders = std::fs::read_dir("/usr/lib").expect("a folder").flatten();
    let library = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|file| file.is_file());
    let library = library.expect("libfaketime is missing: run `make test-servers`");
    [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", shift.to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

/// Waits for what takes longer than [`SOON`].
pub(crate) async fn until_long(fleet: &Fleet, id: &str, within: Duration, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + within;
    loop {
        let video = fleet.video(id).await;
        if holds(&video) {
            return video;
        }
        assert!(Instant::now() < deadline, "{id} is still {video:#}\n{}", fleet.logs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
