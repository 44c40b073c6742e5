use std::io::Write;
use std::path::Path;

use serde_json::json;
use subiteya::sandbox::{Error, Filter, Sandbox};
use tempfile::TempDir;

use super::{Begun, CREATOR_INFO, Fixture, INIT, client, init_body, options, video};

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
                drop(std::fs::copy(entry.path(), target).unwrap())
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
