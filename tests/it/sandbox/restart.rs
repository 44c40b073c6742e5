use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use subiteya::sandbox::{Error, Filter, Options, Sandbox};
use tempfile::TempDir;

use super::{Begun, CREATOR_INFO, Fixture, INIT, STATUS, client, init_body, options, video};

/// What a kill would leave of the sandbox: a copy of its folder, taken while it runs.
fn image(from: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target)
            } else {
                std::fs::copy(entry.path(), target).map(drop).unwrap()
            }
        }
    }
    let folder = TempDir::new().unwrap();
    copy(from, folder.path());
    folder
}

async fn started_on(folder: TempDir) -> Fixture {
    Fixture { sandbox: Sandbox::start(options(&folder)).await.unwrap(), http: client(), folder }
}

impl Begun {
    fn moved(&self, from: &Fixture, to: &Fixture) -> Self {
        let upload_url = self.upload_url.replace(from.sandbox.base_url(), to.sandbox.base_url());
        Self { publish_id: self.publish_id.clone(), upload_url }
    }
}

#[tokio::test]
async fn tokens_chunks_posts_limits_and_the_clock_survive_a_kill() {
    let killed = Fixture::with(|options| options.fsync = true).await;
    let (ada, video) = (killed.creator("ada").await, video(90));
    let used = ada.refresh_token.clone();
    let form =
        [("client_key", "key"), ("client_secret", "secret"), ("grant_type", "refresh_token"), ("refresh_token", &used)];
    assert_eq!(killed.http.post(killed.url("/v2/oauth/token/")).form(&form).send().await.unwrap().status(), 200);
    killed.sandbox.advance(std::time::Duration::from_secs(600)).unwrap();
    let done = killed.posted(&ada, &video).await;
    let begun = killed.init(&ada, 90, 30).await;
    killed.put_ok(&begun, &video, 0, 30).await;
    for _ in 0..4 {
        killed.init(&ada, 90, 30).await;
    }

    let alive = started_on(image(killed.folder.path())).await;
    let refused = alive.http.post(alive.url("/v2/oauth/token/")).form(&form).send().await.unwrap();
    assert_eq!(refused.status(), 400, "the used refresh token is still used");
    assert_eq!(alive.code(&ada, CREATOR_INFO, &json!({})).await.0, 200);
    assert_eq!(alive.code(&ada, INIT, &init_body(90, 30)).await.0, 429, "six inits are within the minute");
    assert_eq!(alive.status(&ada, &done).await["status"], "PUBLISH_COMPLETE");
    let begun = begun.moved(&killed, &alive);
    assert_eq!(alive.status(&ada, &begun).await["uploaded_bytes"], 30);
    alive.put_ok(&begun, &video, 30, 60).await;
    alive.put_ok(&begun, &video, 60, 90).await;
    let posts = alive.sandbox.posts();
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[0].sha256, posts[1].sha256, "the hash is whole, although half of it was forgotten");
    assert!(posts[0].time > chrono::Utc::now() + chrono::TimeDelta::minutes(9), "the clock stays ahead");
    assert!(alive.calls(Filter::default()).await.len() > killed.calls(Filter::default()).await.len());
}

#[tokio::test]
async fn a_torn_last_line_is_cut_away_and_a_broken_one_in_the_middle_is_an_error() {
    let killed = Fixture::new().await;
    let ada = killed.creator("ada").await;
    let torn = image(killed.folder.path());
    let journal = torn.path().join("journal.jsonl");
    let whole = std::fs::read(&journal).unwrap();
    std::fs::OpenOptions::new().append(true).open(&journal).unwrap().write_all(br#"{"entry":"call","ti"#).unwrap();
    let alive = started_on(torn).await;
    assert_eq!(alive.code(&ada, CREATOR_INFO, &json!({})).await.0, 200);
    assert_eq!(alive.calls(Filter::default()).await.len(), 1);

    let broken = TempDir::new().unwrap();
    let lines = [b"nonsense\n".as_slice(), &whole].concat();
    std::fs::write(broken.path().join("journal.jsonl"), lines).unwrap();
    assert!(matches!(Sandbox::start(options(&broken)).await, Err(Error::Journal { .. })));
}

#[tokio::test]
async fn a_folder_has_one_sandbox_at_a_time_and_is_free_after_its_end() {
    let fixture = Fixture::new().await;
    let again = options(&fixture.folder);
    assert!(matches!(Sandbox::start(again.clone()).await, Err(Error::InUse(_))));
    fixture.sandbox.shutdown().await;
    Sandbox::start(again).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn it_listens_on_loopback_unless_it_is_allowed_more() {
    let folder = TempDir::new().unwrap();
    let mut options = options(&folder);
    options.listen = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(Sandbox::start(options.clone()).await, Err(Error::Remote(_))));
    options.remote = true;
    Sandbox::start(options).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn bytes_of_an_upload_that_ran_out_of_time_are_swept_at_the_next_start() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(90));
    fixture.posted(&ada, &video).await;
    let begun = fixture.init(&ada, 90, 30).await;
    fixture.put_ok(&begun, &video, 0, 30).await;
    let videos = |fixture: &Fixture| std::fs::read_dir(fixture.folder.path().join("videos")).unwrap().count();
    let alive = started_on(image(fixture.folder.path())).await;
    assert_eq!(videos(&alive), 2);
    alive.sandbox.advance(Duration::from_secs(3600)).unwrap();
    let later = started_on(image(alive.folder.path())).await;
    assert_eq!(videos(&later), 1, "the post's are kept");
}

/// Not a test: the process that the next one kills.
#[tokio::test]
#[ignore = "serves for ever; started by the test that kills it"]
async fn serve_until_killed() {
    let Ok(folder) = std::env::var("SANDBOX_TO_KILL") else { return };
    let mut options = Options::new(&folder, "key", "secret");
    options.limits.chunk_min = 20;
    options.limits.init_per_minute = usize::MAX;
    options.limits.posts_per_day = usize::MAX;
    options.limits.status_per_minute = usize::MAX;
    let sandbox = Sandbox::start(options).await.unwrap();
    let url = Path::new(&folder).join("url");
    std::fs::write(url.with_extension("new"), sandbox.base_url()).unwrap();
    std::fs::rename(url.with_extension("new"), url).unwrap();
    std::future::pending::<()>().await;
}

/// Starts the process above, and gives it with its address.
async fn serving(folder: &TempDir) -> (tokio::process::Child, String) {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "sandbox::restart::serve_until_killed", "--ignored", "--nocapture"]);
    command.env("SANDBOX_TO_KILL", folder.path()).kill_on_drop(true);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let url = folder.path().join("url");
    super::until("the sandbox is up", async || url.exists()).await;
    (child, std::fs::read_to_string(url).unwrap())
}

#[tokio::test]
async fn what_was_answered_before_a_kill_9_is_known_after_it() {
    let (folder, http, video) = (TempDir::new().unwrap(), client(), video(200));
    // Whether each chunk of each publish id was answered: what the sandbox may not forget.
    let mut acknowledged: HashMap<String, u64> = HashMap::new();
    let mut token = String::new();
    for round in 0..6_u64 {
        let (mut child, url) = serving(&folder).await;
        let post = |path: &str, token: &str, body: &Value| {
            http.post(format!("{url}{path}")).bearer_auth(token).json(body).send()
        };
        if token.is_empty() {
            let made = post("/sandbox/creators", "", &json!({"name": "ada"})).await.unwrap();
            token = made.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
        }
        for (publish_id, bytes) in &acknowledged {
            let status = post(STATUS, &token, &json!({"publish_id": publish_id})).await.unwrap();
            let status: Value = status.json().await.unwrap();
            assert!(status["data"]["uploaded_bytes"].as_u64().unwrap() >= *bytes, "{publish_id}: {status}");
        }
        let posts: Value = http.get(format!("{url}/sandbox/posts")).send().await.unwrap().json().await.unwrap();
        let posts: Vec<_> = posts["posts"].as_array().unwrap().iter().map(|post| &post["publish_id"]).collect();
        assert_eq!(posts.iter().collect::<HashSet<_>>().len(), posts.len(), "no publish id has two posts");
        let whole = acknowledged.iter().filter(|(_, bytes)| **bytes == 200);
        whole.for_each(|(publish_id, _)| assert!(posts.contains(&&json!(publish_id)), "{publish_id} was posted"));

        // Killed while the next request is on its way, after some more answers each round.
        let (answers, mut answered) = tokio::sync::watch::channel(0);
        let load = async {
            loop {
                let answer = post(INIT, &token, &init_body(200, 40)).await?.json::<Value>().await?;
                let publish_id = answer["data"]["publish_id"].as_str().unwrap().to_owned();
                acknowledged.insert(publish_id.clone(), 0);
                answers.send_modify(|count| *count += 1);
                for first in (0..200).step_by(40) {
                    let put = http.put(answer["data"]["upload_url"].as_str().unwrap());
                    let put = put.header("content-type", "video/mp4");
                    let put = put.header("content-range", format!("bytes {first}-{}/200", first + 39));
                    put.body(video[first..first + 40].to_vec()).send().await?.error_for_status()?;
                    acknowledged.insert(publish_id.clone(), first as u64 + 40);
                    answers.send_modify(|count| *count += 1);
                }
            }
        };
        let kill = async {
            answered.wait_for(|count| *count >= 2 + 7 * round).await.unwrap();
            child.kill().await.unwrap();
        };
        let (ended, ()): (Result<(), reqwest::Error>, ()) = tokio::join!(load, kill);
        assert!(ended.unwrap_err().status().is_none(), "only the kill ends the load");
        std::fs::remove_file(folder.path().join("url")).unwrap();
    }
}
