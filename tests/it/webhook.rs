//! TikTok's webhooks: who may send them, and what becomes of them.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use subiteya::account::Tokens;
use subiteya::event::{Stage, VideoId};
use subiteya::health::Health;
use subiteya::ledger::{Ledger, PublicationRow, Status, SystemClock, TaskRow, VideoPatch, Webhook};
use subiteya::sandbox::{Options, Sandbox};
use subiteya::task::{State, Task};
use subiteya::webhook::Webhooks;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fixture::{Server, client_of, vault};

const PUBLISH_ID: &str = "v_pub_file~v2-1.7000000000000000001";
const HOUR: i64 = 3_600_000;

struct World {
    server: Server,
    sandbox: Sandbox,
    _folder: tempfile::TempDir,
    looking: DropGuard,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let sandbox = Sandbox::start(Options::new(folder.path().join("sandbox"), "key", "secret")).await;
        let sandbox = sandbox.expect("a sandbox");
        let server = Server::at_tiktok(&sandbox).await;
        let ledger = server.state.ledger.clone();
        let looking = look(&ledger, &sandbox);
        Self { server, sandbox, _folder: folder, looking }
    }

    /// The loop that makes something of what is stored ends, and another process begins one.
    fn restart(&mut self) {
        self.looking = look(&self.server.state.ledger, &self.sandbox);
    }

    async fn send(&self, signature: &str, body: &str) -> u16 {
        let request = self.server.client.post(self.server.url("/api/webhooks/tiktok"));
        // TikTok comes under whatever name stands before us.
        let request = request.header("host", "hooks.example").header("TikTok-Signature", signature);
        request.body(body.to_owned()).send().await.expect("an answer").status().as_u16()
    }

    async fn signed(&self, body: &Value) -> u16 {
        let body = body.to_string();
        self.send(&signature("secret", now(), &body), &body).await
    }

    async fn stored(&self) -> Vec<Webhook> {
        self.server.state.ledger.webhooks().await.expect("read")
    }

    async fn settled(&self, outcome: &str) {
        let what = format!("settled: {outcome}");
        let is = async |world: &Self| {
            let stored = world.stored().await;
            stored.iter().any(|webhook| webhook.due_at.is_none() && webhook.outcome.as_deref() == Some(outcome))
        };
        self.server.until(&what, async |_| is(self).await).await;
    }

    /// A post whose status is to be asked in an hour.
    async fn confirming(&self) -> TaskRow {
        let now = self.server.state.ledger.now().await.expect("the time");
        self.confirm(Task::new(VideoId::new(), Stage::Confirm, now + HOUR)).await
    }

    async fn confirm(&self, task: Task) -> TaskRow {
        let tx = self.server.state.ledger.begin().await.expect("a transaction");
        let video = task.video;
        let row = TaskRow { task, account: "conn_alice".to_owned(), creator: "open_alice".to_owned(), priority: 1 };
        tx.insert_task(&row).await.expect("a task");
        let publication = PublicationRow {
            video,
            account: "conn_alice".to_owned(),
            generation: 0,
            version: 1,
            publish_id: Some(PUBLISH_ID.to_owned()),
            upload_url: None,
            final_started: true,
            inits: 1,
            record: "{}".to_owned(),
        };
        tx.insert_publication(&publication).await.expect("a publication");
        tx.commit().await.expect("committed");
        row
    }

    async fn due(&self, row: &TaskRow) -> bool {
        let ledger = &self.server.state.ledger;
        let found = ledger.task(row.task.id).await.expect("read").expect("the task");
        found.task.due_at <= ledger.now().await.expect("the time")
    }
}

fn look(ledger: &Ledger, sandbox: &Sandbox) -> DropGuard {
    let tokens = Tokens::new(ledger.clone(), vault(), client_of(sandbox));
    let stop = CancellationToken::new();
    tokio::spawn(Webhooks { ledger: ledger.clone(), tokens }.run(Health::default(), stop.clone()));
    stop.drop_guard()
}

fn now() -> i64 {
    SystemClock::now() / 1000
}

fn signature(secret: &str, at: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(format!("{at}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at},s={hex}")
}

fn complete(open_id: &str) -> Value {
    news("post.publish.complete", open_id)
}

fn news(event: &str, open_id: &str) -> Value {
    let content = json!({ "publish_id": PUBLISH_ID, "publish_type": "DIRECT_PUBLISH" }).to_string();
    json!({ "client_key": "key", "event": event, "create_time": 1, "user_openid": open_id, "content": content })
}

#[tokio::test]
async fn only_a_fresh_signature_with_the_apps_secret_is_taken() {
    let world = World::new().await;
    let body = complete("open_alice").to_string();
    for bad in [
        String::new(),
        "t=1,s=00".to_owned(),
        signature("other", now(), &body),
        signature("", now(), &body),
        signature("secret", now() - 301, &body),
        signature("secret", now() + 320, &body),
        signature("secret", now(), "{}"),
    ] {
        assert_eq!(world.send(&bad, &body).await, 401, "{bad}");
    }
    for unreadable in ["[]", "nothing", "{}"] {
        assert_eq!(world.send(&signature("secret", now(), unreadable), unreadable).await, 400, "{unreadable}");
    }
    let long = "x".repeat(70_000);
    assert_eq!(world.send(&signature("secret", now(), &long), &long).await, 413);
    assert!(world.stored().await.is_empty());
    let unknown = json!({ "event": "moon.phase", "content": "{}" });
    assert_eq!(world.signed(&unknown).await, 200);
    assert_eq!(world.signed(&unknown).await, 200, "TikTok may deliver it again");
    let stored = world.stored().await;
    assert_eq!((stored.len(), stored[0].event.as_str(), stored[0].due_at), (1, "moon.phase", None));
    // Without a secret of its own a server can't know TikTok's hand.
    let plain = Server::start().await;
    let request = plain.client.post(plain.url("/api/webhooks/tiktok"));
    let answer = request.header("TikTok-Signature", signature("", now(), &body)).body(body).send().await;
    assert_eq!(answer.expect("an answer").status(), 503);
}

#[tokio::test]
async fn news_of_a_post_makes_its_status_due_also_when_it_comes_early() {
    let world = World::new().await;
    assert_eq!(world.signed(&complete("open_alice")).await, 200);
    world
        .server
        .until("looked at in vain", async |_| {
            world.stored().await[0].outcome.as_deref() == Some("its post is not on record yet")
        })
        .await;
    let row = world.confirming().await;
    world.server.until("the status is due", async |_| world.due(&row).await).await;
    world.settled("its status is asked").await;
    let lines = world.server.state.ledger.history(row.task.video).await.expect("read");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(world.signed(&complete("open_alice")).await, 200);
    assert_eq!(world.stored().await.len(), 1);
    assert_eq!(world.server.state.ledger.history(row.task.video).await.expect("read").len(), 1, "once is enough");
}

#[tokio::test]
async fn news_that_came_early_outlives_the_process_that_took_it() {
    let mut world = World::new().await;
    assert_eq!(world.signed(&complete("open_alice")).await, 200);
    let early = Some("its post is not on record yet");
    world.server.until("looked at", async |_| world.stored().await[0].outcome.as_deref() == early).await;
    world.restart();
    let row = world.confirming().await;
    world.server.until("the status is due", async |_| world.due(&row).await).await;
}

#[tokio::test]
async fn a_post_that_becomes_public_after_its_day_is_asked_about_and_one_that_no_longer_is_gets_a_line() {
    let world = World::new().await;
    let video: VideoId = world.server.video().await.parse().expect("an id");
    let row = world.confirm(Task { state: State::Done, ..Task::new(video, Stage::Confirm, 0) }).await;
    let ledger = &world.server.state.ledger;
    let tx = ledger.begin().await.expect("a transaction");
    tx.patch_video(video, VideoPatch { status: Some(Status::Posted), ..VideoPatch::default() }).await.expect("posted");
    tx.commit().await.expect("committed");
    let state = async || ledger.task(row.task.id).await.expect("read").expect("the task").task.state;

    assert_eq!(world.signed(&news("post.publish.no_longer_publicaly_available", "open_alice")).await, 200);
    world.settled("noted").await;
    assert_eq!(state().await, State::Done, "there is nothing to ask");
    assert_eq!(world.signed(&news("post.publish.publicly_available", "open_alice")).await, 200);
    world.settled("its status is asked").await;
    assert_eq!(state().await, State::Waiting);
    let told = ledger.history(video).await.expect("read").into_iter().filter(|line| line.event == "webhook").count();
    assert_eq!(told, 2);
}

#[tokio::test]
async fn news_under_another_creators_name_moves_nothing() {
    let world = World::new().await;
    let row = world.confirming().await;
    assert_eq!(world.signed(&complete("open_bob")).await, 200);
    world.settled("names another creator than the post's").await;
    assert!(!world.due(&row).await);
}

#[tokio::test]
async fn webhooks_are_forgotten_after_a_week() {
    let world = World::new().await;
    assert_eq!(world.signed(&json!({ "event": "moon.phase" })).await, 200);
    let tx = world.server.state.ledger.begin().await.expect("a transaction");
    assert_eq!(tx.forget_webhooks(tx.now() - 7 * 24 * HOUR).await.expect("written"), 0);
    assert_eq!(tx.forget_webhooks(tx.now() + 1).await.expect("written"), 1);
}
