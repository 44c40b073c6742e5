//! What takes the spans that processes export: OTLP over HTTP, as a collector does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) name: String,
    pub(crate) kind: i64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) failed: bool,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The process that sent it.
    pub(crate) sender: String,
}

impl Span {
    pub(crate) fn is(&self, name: &str, outcome: &str) -> bool {
        self.name == name && self.attributes.get("outcome").is_some_and(|one| one == outcome)
    }
}

#[derive(Default)]
struct Taken {
    bodies: Vec<Value>,
    keys: Vec<String>,
}

pub(crate) struct Collector {
    pub(crate) url: String,
    taken: Arc<Mutex<Taken>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let taken = Arc::<Mutex<Taken>>::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(taken.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { url, taken, server }
    }

    /// Of every request, what its header `api-key` held.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.taken.lock().expect("lock").keys.clone()
    }

    /// Everything that came, as text.
    pub(crate) fn text(&self) -> String {
        Value::from(self.taken.lock().expect("lock").bodies.clone()).to_string()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().expect("lock");
        let resources = taken.bodies.iter().flat_map(|body| each(&body["resourceSpans"]));
        resources
            .flat_map(|resource| {
                let sender = attributes(&resource["resource"]).remove("service.instance.id").expect("a sender");
                let spans = each(&resource["scopeSpans"]).flat_map(|scope| each(&scope["spans"]));
                spans.map(move |one| span(one, &sender)).collect::<Vec<_>>()
            })
            .collect()
    }
}

async fn take(State(taken): State<Arc<Mutex<Taken>>>, headers: HeaderMap, Json(body): Json<Value>) -> Json<Value> {
    let key = headers.get("api-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    let mut taken = taken.lock().expect("lock");
    taken.bodies.push(body);
    taken.keys.push(key);
    Json(json!({ "partialSuccess": {} }))
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().expect("a list").iter()
}

fn attributes(of: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| {
        let text = value.get("stringValue").or(value.get("intValue")).expect("a value");
        text.as_str().expect("text").to_owned()
    };
    each(&of["attributes"]).map(|one| (one["key"].as_str().expect("a key").to_owned(), text(&one["value"]))).collect()
}

fn span(span: &Value, sender: &str) -> Span {
    let text = |name: &str| span[name].as_str().unwrap_or_else(|| panic!("{name} of {span:#}")).to_owned();
    let time = |name: &str| text(name).parse().expect("nanoseconds");
    Span {
        trace: text("traceId"),
        id: text("spanId"),
        parent: span.get("parentSpanId").map(|_| text("parentSpanId")),
        name: text("name"),
        kind: span["kind"].as_i64().expect("a kind"),
        start: time("startTimeUnixNano"),
        end: time("endTimeUnixNano"),
        failed: span["status"]["code"] == 2,
        attributes: attributes(span),
        sender: sender.to_owned(),
    }
}
