//! Sends what was told: together, in the background, and never for longer than it is worth.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::otlp::{self, Resource};
use super::{QUEUE, QUEUED, Span, Told, story};
use crate::config::TracesConfig;
use crate::event::{Stage, TaskId, VideoId};
use crate::ledger::{Ledger, LedgerError};
use crate::metrics::{Exported, metrics};
use crate::outage::Outage;
use crate::outcome::backoff;

/// How long the first of a batch waits for company.
const LINGER: Duration = Duration::from_secs(1);
const BATCH: usize = 512;
/// The pauses while the endpoint is away.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a stop grants to what is still to be sent.
const FAREWELL: Duration = Duration::from_secs(3);

/// The task that sends.
pub struct Exporter {
    sending: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

impl Exporter {
    /// Sends what is there, for a few seconds at most.
    pub async fn end(self) {
        self.stop.cancel();
        if timeout(FAREWELL + LINGER, self.sending).await.is_err() {
            tracing::debug!("the last spans were not sent in time");
        }
    }
}

/// From here on what is told is exported. Once in a process.
pub fn begin(config: &TracesConfig, process: &str, ledger: Ledger) -> Option<Exporter> {
    let client = reqwest::Client::builder().timeout(config.timeout).redirect(reqwest::redirect::Policy::none()).build();
    let client = client.inspect_err(|error| tracing::error!(%error, "no trace is exported")).ok()?;
    let (queue, told) = mpsc::channel(QUEUE);
    QUEUED.set(queue).ok()?;
    let mut attributes = config.attributes.clone();
    attributes.extend([
        ("service.name".to_owned(), config.service.clone()),
        ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id".to_owned(), format!("{process} {}", std::process::id())),
    ]);
    let stop = CancellationToken::new();
    let sender = Sender {
        client,
        url: config.url.clone(),
        headers: headers(config),
        resource: Resource::new(&attributes),
        ledger,
        stop: stop.clone(),
        outage: Outage::of("exporting traces"),
    };
    Some(Exporter { sending: tokio::spawn(sender.run(told)), stop })
}

/// The configuration has checked them.
fn headers(config: &TracesConfig) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        if let Ok(mut value) = HeaderValue::from_str(value.expose_secret()) {
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

struct Sender {
    client: reqwest::Client,
    url: url::Url,
    headers: HeaderMap,
    resource: Resource,
    ledger: Ledger,
    stop: CancellationToken,
    outage: Outage,
}

/// Why a batch was not taken.
enum Failed {
    /// Another time, perhaps.
    Away(String),
    /// Not as it is.
    Refused(String),
}

impl Sender {
    async fn run(self, mut told: mpsc::Receiver<Told>) {
        loop {
            let first = tokio::select! {
                first = told.recv() => first,
                () = self.stop.cancelled() => break,
            };
            let Some(first) = first else { return };
            let batch = self.gather(first, &mut told).await;
            let spans = self.spans(batch).await;
            self.send(spans).await;
        }
        told.close();
        let mut last = Vec::new();
        while let Some(one) = told.recv().await {
            last.push(one);
        }
        let spans = timeout(FAREWELL, self.spans(last)).await.unwrap_or_default();
        for spans in spans.chunks(BATCH) {
            self.send(spans.to_vec()).await;
        }
    }

    async fn gather(&self, first: Told, told: &mut mpsc::Receiver<Told>) -> Vec<Told> {
        let mut batch = vec![first];
        let deadline = Instant::now() + LINGER;
        while batch.len() < BATCH {
            let next = tokio::select! {
                next = timeout_at(deadline, told.recv()) => next,
                () = self.stop.cancelled() => return batch,
            };
            let Ok(Some(next)) = next else { break };
            batch.push(next);
        }
        batch
    }

    async fn spans(&self, told: Vec<Told>) -> Vec<Span> {
        let mut spans = Vec::new();
        for one in told {
            let made = match one {
                Told::Span(span) => Ok(vec![*span]),
                Told::Ended { video, task, stage, began } => self.story(video, Some((task, stage, began))).await,
                Told::Canceled { video } => self.story(video, None).await,
            };
            match made {
                Ok(made) => spans.extend(made),
                // The ledger's own outage tells why.
                Err(_) => metrics().exported(Exported::Dropped, 1),
            }
        }
        spans
    }

    async fn story(&self, id: VideoId, run: Option<(TaskId, Stage, i64)>) -> Result<Vec<Span>, LedgerError> {
        let Some(video) = self.ledger.video(id).await? else { return Ok(Vec::new()) };
        let pieces = story::pieces(&self.ledger.history(id).await?);
        let told = match run {
            Some((_, stage, began)) => story::until_run(&pieces, stage, began),
            None => story::untold(&pieces),
        };
        let task = run.map(|(task, stage, _)| (task, stage));
        Ok(told.iter().map(|piece| piece.span(id, video.trace, task)).collect())
    }

    /// Until it is taken or refused. A stop grants one more try.
    async fn send(&self, spans: Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        let number = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        let body = otlp::body(&self.resource, &spans).to_string();
        for attempt in 1.. {
            let last = self.stop.is_cancelled();
            let sent = if last {
                timeout(FAREWELL, self.post(&body)).await.unwrap_or_else(|_| Err(Failed::Away("no answer".to_owned())))
            } else {
                self.post(&body).await
            };
            match sent {
                Ok(rejected) => {
                    self.outage.worked();
                    metrics().exported(Exported::Taken, number.saturating_sub(rejected));
                    metrics().exported(Exported::Dropped, rejected);
                    return;
                }
                Err(Failed::Refused(error)) => {
                    self.outage.refused(&error);
                    break;
                }
                Err(Failed::Away(error)) => self.outage.failed(&error),
            }
            if last {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff(FIRST_PAUSE, LONGEST_PAUSE, attempt, rand::random())) => {}
                () = self.stop.cancelled() => {}
            }
        }
        metrics().exported(Exported::Dropped, number);
    }

    /// How many of them the receiver did not take. The errors name no header.
    async fn post(&self, body: &str) -> Result<u64, Failed> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body.to_owned());
        let answer = request.send().await.map_err(|error| Failed::Away(said(error)))?;
        let status = answer.status();
        if status.is_success() {
            let answer = answer.json().await.unwrap_or_default();
            return Ok(otlp::rejected(&answer));
        }
        let error = format!("{} answers {status}", self.url);
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Failed::Away(error),
            _ => Failed::Refused(error),
        })
    }
}

/// With its causes: reqwest's own sentence is only "error sending request".
fn said(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}
