//! One OpenTelemetry trace for each video, from upload to post, where somebody listens.
//!
//! The trace's id stands in the video's row and travels in every entry, so it is the same over all processes and
//! restarts. What happened stands in the ledger's history; the spans of waits and runs are made from there
//! (`story`), by whoever ended a run, with ids that follow from what they are about (`SpanId::of`). So a span can
//! name a parent that another process exports, or that died before it could: the next worker tells of a dead one's run.
//! What is inside a run (FFmpeg, init, each chunk) is told while it happens.
//!
//! Whoever has something to tell leaves it in a bounded queue ([`tell`]); a task of its own (`export`) makes spans
//! of it and sends them by OTLP over HTTP. Where no endpoint is set there is no queue, and nothing is made.

mod export;
mod otlp;
mod parent;
mod span;
mod story;

use std::sync::OnceLock;

use tokio::sync::mpsc::{self, error::TrySendError};

pub use export::{Exporter, begin};
pub use parent::Parent;
pub use span::{Kind, Span, SpanId, Value};

use crate::event::{Stage, TaskId, VideoId};
use crate::metrics::{Exported, metrics};

/// What may wait to be exported; what comes while it is full is dropped and counted.
const QUEUE: usize = 4096;

static QUEUED: OnceLock<mpsc::Sender<Told>> = OnceLock::new();

/// What there is to tell.
#[derive(Debug)]
pub enum Told {
    /// A span as it is.
    Span(Box<Span>),
    /// A run ended: it, the wait before it, and those of workers that died over it in between.
    Ended { video: VideoId, task: TaskId, stage: Stage, began: i64 },
    /// A person ended a video, whatever it was doing.
    Canceled { video: VideoId },
}

/// Whether anybody listens.
pub fn on() -> bool {
    QUEUED.get().is_some()
}

/// Never waits, and makes nothing where nobody listens.
pub fn tell(told: impl FnOnce() -> Told) {
    let Some(queue) = QUEUED.get() else { return };
    match queue.try_send(told()) {
        Ok(()) => {}
        Err(TrySendError::Full(_) | TrySendError::Closed(_)) => metrics().exported(Exported::Dropped, 1),
    }
}
