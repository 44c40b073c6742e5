//! Each service goes away and comes back under real processes that have work: uploads, what runs, what waits, and the log.

mod cluster;
mod database;
mod redis;
mod start;
mod store;

use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use serde_json::Value;

use crate::support::fleet::{Fleet, clip};

/// In which everything moves again once a service is back, with some room for a busy machine.
const MOVES: Duration = Duration::from_secs(15);
/// Longer than any request may take that finds its service away.
const BOUNDED: Duration = Duration::from_secs(60);

/// What a request was answered with.
#[derive(Debug)]
struct Answer {
    status: u16,
    retry_after: Option<String>,
    kind: String,
    text: String,
}

impl Answer {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let asked = Instant::now();
        let answer = request.send().await.expect("an answer");
        let header = |name: &str| answer.headers().get(name).and_then(|value| Some(value.to_str().ok()?.to_owned()));
        let (retry_after, kind) = (header("retry-after"), header("content-type").unwrap_or_default());
        let answer =
            Self { status: answer.status().as_u16(), retry_after, kind, text: answer.text().await.expect("text") };
        assert!(asked.elapsed() < BOUNDED, "{:?} for {answer:?}", asked.elapsed());
        answer
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// A 503 with a code for programs and a time after which it may be tried again.
    fn is_unavailable(&self, code: &str) {
        assert_eq!(self.status, 503, "{self:?}");
        assert_eq!(self.kind, "application/problem+json", "{self:?}");
        assert_eq!(self.json()["code"], code, "{self:?}");
        assert!(self.retry_after.is_some(), "{self:?}");
    }
}

async fn get(fleet: &Fleet, path: &str) -> Answer {
    Answer::of(reqwest::Client::new().get(fleet.url(path)).bearer_auth(&fleet.key)).await
}

async fn upload(fleet: &Fleet, account: &str, title: &str) -> Answer {
    let bytes = std::fs::read(clip()).expect("a clip");
    let form = Form::new().text("accountId", account.to_owned()).text("title", title.to_owned());
    let form = form.part("video", Part::bytes(bytes).file_name("clip.mp4"));
    let request = reqwest::Client::new().post(fleet.url("/api/videos")).bearer_auth(&fleet.key);
    Answer::of(request.multipart(form)).await
}

/// Asks for everything that the API has, about one video and one account, and gives what was not answered with a 503 that
/// says when to come again.
async fn not_unavailable(fleet: &Fleet, routes: &Value, video: &str, account: &str) -> Vec<String> {
    let mut others = Vec::new();
    for (path, methods) in routes["paths"].as_object().expect("paths") {
        let id = if path.contains("/accounts/") { account } else { video };
        let asked = path.split('/').map(|part| if part.starts_with('{') { id } else { part });
        let asked = fleet.url(&format!("{}?state=a&code=b", asked.collect::<Vec<_>>().join("/")));
        for method in methods.as_object().expect("methods").keys() {
            let method = method.to_uppercase().parse().expect("a method");
            let request = reqwest::Client::new().request(method, &asked).bearer_auth(&fleet.key);
            let answer = Answer::of(request.json(&serde_json::json!({ "key": fleet.key }))).await;
            if (answer.status, answer.retry_after.is_some()) != (503, true) {
                others.push(format!("{path}: {}", answer.status));
            }
        }
    }
    others.sort();
    others
}

/// Videos of which the local store has anything.
fn objects(fleet: &Fleet) -> usize {
    let folders = std::fs::read_dir(fleet.data().join("objects/videos")).into_iter().flatten().flatten();
    folders.filter(|folder| std::fs::read_dir(folder.path()).is_ok_and(|mut files| files.next().is_some())).count()
}

/// What a process has said of troubles.
fn troubles(fleet: &Fleet, process: &str) -> Vec<String> {
    let said = |line: &&str| [" WARN ", " ERROR ", "works again"].iter().any(|word| line.contains(word));
    fleet.log(process).lines().filter(said).map(str::to_owned).collect()
}

/// A few lines, and now and then that it still fails, which `outage` keeps rare.
fn logs_are_readable(fleet: &Fleet, processes: &[&str]) {
    for process in processes {
        let mut lines = troubles(fleet, process);
        lines.retain(|line| !line.contains(" still fails "));
        assert!(lines.len() < 10, "{process}: {lines:#?}");
    }
}

/// Posted once each, and nobody's death or fault was counted.
async fn all_posted(fleet: &Fleet, videos: &[String]) {
    for video in videos {
        fleet.posted(video).await;
        for row in fleet.tasks(video).await {
            assert_eq!((row.task.attempts, row.task.takeovers), (0, 0), "{row:?}\n{}", fleet.logs());
        }
    }
}
