//! What a run tells of itself, where somebody listens.

use super::Lease;
use crate::event::TraceId;
use crate::ledger::TaskRow;
use crate::trace::{self, Kind, Span, SpanId, Told, Value};

/// A run was settled or handed back. The row is the one that it was leased with.
pub(super) fn ended(row: &TaskRow) {
    let task = &row.task;
    let Some(began) = task.started_at else { return };
    trace::tell(|| Told::Ended { video: task.video, task: task.id, stage: task.stage, began });
}

/// What a part of a run says of itself when it is over.
#[derive(Default)]
pub(super) struct Said {
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// What went wrong, where something did.
    pub(super) error: Option<String>,
}

impl Said {
    pub(super) fn of<T, E>(result: &Result<T, E>, text: impl FnOnce(&E) -> String) -> Self {
        Self { error: result.as_ref().err().map(text), ..Self::default() }
    }
}

/// Does a part of a run, as a span under the run's.
pub(super) async fn part<T>(
    (lease, trace): (&Lease, TraceId),
    (name, kind): (&'static str, Kind),
    work: impl Future<Output = T>,
    say: impl FnOnce(&T) -> Said,
) -> T {
    let (Some(began), true) = (lease.row.task.started_at, trace::on()) else { return work.await };
    let since = || began * 1000 + i64::try_from(lease.began.elapsed().as_micros()).unwrap_or(0);
    let start = since();
    let done = work.await;
    let end = since();
    trace::tell(|| {
        let Said { mut attributes, error } = say(&done);
        let task = &lease.row.task;
        attributes.extend([("video.id", task.video.to_string().into()), ("task.id", task.id.to_string().into())]);
        let parent = Some(SpanId::run(task.video, task.stage, began));
        let (id, name) = (SpanId::random(), name.to_owned());
        Told::Span(Box::new(Span { trace, id, parent, name, kind, start, end, attributes, error }))
    });
    done
}
