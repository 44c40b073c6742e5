//! Webhooks, for whoever asks for them: what became of a post, and that a person took the app's permission away. They are
//! signed with the app's secret and sent until they are answered with 200, with growing pauses; what is not delivered when
//! the sandbox ends is not sent again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use url::{Host, Url};

use super::app::App;
use super::clock::{millis, wall_ms};
use super::creator::hex;
use super::journal::Entry;
use super::options::Options;
use super::state::State;
use super::task::Fate;

/// TikTok goes on for three days; here it is about two minutes of wall time.
const ATTEMPTS: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often the sandbox's clock, which may be set forward, is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Deliveries that are remembered.
const REMEMBERED: usize = 1000;

/// An event that TikTok would tell.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub event: String,
    #[serde(default)]
    pub open_id: Option<String>,
    /// What is in `content`, which is sent as JSON in a string.
    #[serde(default)]
    pub content: Value,
    /// When on the sandbox's clock; the past is now.
    #[serde(skip)]
    pub(super) due: i64,
}

/// What became of an event.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    pub event: String,
    pub open_id: Option<String>,
    pub content: Value,
    pub attempts: u32,
    /// The last answer's HTTP status; 0: there was none.
    pub status: u16,
    pub delivered: bool,
}

pub(super) struct Webhooks {
    target: Mutex<Option<Url>>,
    deliveries: Mutex<Vec<Delivery>>,
    queue: UnboundedSender<Event>,
}

impl Webhooks {
    pub(super) fn new(target: Option<Url>, queue: UnboundedSender<Event>) -> Self {
        Self { target: Mutex::new(target), deliveries: Mutex::default(), queue }
    }

    pub(super) fn target(&self) -> Option<Url> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn aim(&self, target: Option<Url>) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// To be sent when its time has come, if anybody asked for webhooks.
    pub(super) fn send(&self, event: Event) {
        if self.target().is_some() {
            self.queue.send(event).ok();
        }
    }

    fn done(&self, delivery: Delivery) {
        let mut deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        if deliveries.len() >= REMEMBERED {
            deliveries.remove(0);
        }
        deliveries.push(delivery);
    }
}

/// Whether the sandbox may send there: its routes ask for no password, and other machines are none of its business.
pub(super) fn may_send_to(options: &Options, url: &Url) -> bool {
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && local || options.remote && matches!(url.scheme(), "http" | "https")
}

/// What an entry of the journal is to the world outside.
pub(super) fn news(options: &Options, state: &State, entry: &Entry, now: i64) -> Vec<Event> {
    match entry {
        Entry::Revoked { open_id } => {
            let content = json!({ "reason": 1 });
            vec![Event { event: "authorization.removed".into(), open_id: Some(open_id.clone()), content, due: now }]
        }
        Entry::Chunk { publish_id, at, completed: Some(completed), .. } => {
            let Some(task) = state.tasks.get(publish_id) else { return Vec::new() };
            let event = |name: &str, more: Value, due: i64| {
                let mut content = json!({ "publish_id": publish_id, "publish_type": "DIRECT_PUBLISH" });
                if let (Some(content), Value::Object(more)) = (content.as_object_mut(), more) {
                    content.extend(more);
                }
                Event { event: name.into(), open_id: Some(task.open_id.clone()), content, due }
            };
            let processed = at + millis(options.processing);
            match &completed.fate {
                Fate::Endless => Vec::new(),
                Fate::Fail(reason) => vec![event("post.publish.failed", json!({ "reason": reason }), processed)],
                Fate::Publish => {
                    let mut events = vec![event("post.publish.complete", json!({}), processed)];
                    let moderated = processed + millis(options.moderation);
                    events.extend(task.post_id.map(|id| {
                        event("post.publish.publicly_available", json!({ "post_id": id.to_string() }), moderated)
                    }));
                    events
                }
            }
        }
        _ => Vec::new(),
    }
}

/// Sends what comes, each event apart, until the sandbox ends.
pub(super) async fn run(app: Arc<App>, mut queue: UnboundedReceiver<Event>) {
    let Ok(http) = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build() else { return };
    loop {
        let event = tokio::select! {
            event = queue.recv() => event,
            () = app.closing.cancelled() => return,
        };
        let Some(event) = event else { return };
        let (app, http) = (app.clone(), http.clone());
        tokio::spawn(async move {
            let closing = app.closing.clone();
            tokio::select! {
                () = deliver(&app, &http, event) => {}
                () = closing.cancelled() => {}
            }
        });
    }
}

async fn deliver(app: &App, http: &reqwest::Client, event: Event) {
    while app.clock.now() < event.due {
        tokio::time::sleep(LOOK).await;
    }
    let body = json!({
        "client_key": app.options.client_key, "event": event.event, "create_time": app.clock.now() / 1000,
        "user_openid": event.open_id, "content": event.content.to_string(),
    })
    .to_string();
    let Event { event, open_id, content, .. } = event;
    let mut delivery = Delivery { event, open_id, content, attempts: 0, status: 0, delivered: false };
    let mut pause = FIRST_PAUSE;
    while let Some(target) = app.webhooks.target().filter(|_| delivery.attempts < ATTEMPTS && !delivery.delivered) {
        if delivery.attempts > 0 {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // Its receiver has no other clock than the world's.
        let signature = sign(app.options.client_secret.expose_secret(), wall_ms() / 1000, &body);
        let request =
            http.post(target).header("TikTok-Signature", signature).header("Content-Type", "application/json");
        let answer = request.body(body.clone()).send().await;
        delivery.attempts += 1;
        delivery.status = answer.map_or(0, |answer| answer.status().as_u16());
        delivery.delivered = delivery.status == 200;
    }
    app.webhooks.done(delivery);
}

/// `TikTok-Signature` of a body.
fn sign(secret: &str, at: i64, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(format!("{at}.{body}").as_bytes());
    format!("t={at},s={}", hex(&mac.finalize().into_bytes()))
}
