//! One run: the work, beside it the renewal of its lease, behind it the settlement.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Engine, Run, Work, lease, settle};
use crate::event::{LeaseToken, VideoId};
use crate::ledger::TaskRow;
use crate::metrics::metrics;

/// How often progress may be written.
const PROGRESS: Duration = Duration::from_secs(1);

/// What a run holds: the right to work on one task, for as long as it is renewed.
pub struct Lease {
    pub row: TaskRow,
    pub token: LeaseToken,
    /// Cancelled when the lease is gone or the process stops: the work ends and writes nothing.
    pub over: CancellationToken,
    /// When the run began here; the ledger has its own time of it.
    pub(super) began: Instant,
    progress: Progress,
}

/// Tells how far a run is: 0 to 100 within the stage. Written seldom, and never backwards.
#[derive(Debug, Clone)]
pub struct Progress(watch::Sender<u8>);

impl Progress {
    pub fn sender(&self) -> &watch::Sender<u8> {
        &self.0
    }

    pub fn raise(&self, percent: u8) {
        self.0.send_if_modified(|now| {
            let higher = percent > *now;
            *now = (*now).max(percent.min(100));
            higher
        });
    }
}

impl Lease {
    pub fn video(&self) -> VideoId {
        self.row.task.video
    }

    pub fn progress_sender(&self) -> Progress {
        self.progress.clone()
    }
}

/// Runs a granted task to its settlement, or hands it back. The entry is acknowledged whatever became of it, unless the
/// ledger can't be told.
pub async fn run<W: Work>(engine: Engine, work: Arc<W>, row: TaskRow) {
    let Some(token) = row.task.token else { return };
    let span = tracing::info_span!("run", stage = %W::STAGE, video.id = %row.task.video, task.id = %row.task.id);
    let (progress, seen) = watch::channel(0);
    let (over, began) = (CancellationToken::new(), Instant::now());
    let held = Lease { row: row.clone(), token, over, began, progress: Progress(progress) };
    let over = held.over.clone();
    let renewing = tokio::spawn(keep(engine.clone(), row.clone(), seen, over.clone()).instrument(span.clone()));
    let entry = row.task.entry.clone();
    let ended = {
        // The guard ends the renewal when the work is done, also when it panics.
        let _renewing = AbortOnDrop(renewing);
        let running = tokio::spawn({
            let (work, span) = (work.clone(), span.clone());
            async move { work.run(&held).instrument(span).await }
        });
        running.await
    };
    metrics().ran(W::STAGE, began.elapsed());
    let settled = match ended {
        Ok(Run::Ended(outcome, made)) => {
            settle::settle(&engine, &*work, &row, outcome, made).instrument(span.clone()).await
        }
        Ok(Run::Interrupted) => settle::hand_back(&engine, &row).instrument(span.clone()).await,
        Err(panic) => settle::panicked(&engine, &*work, &row, &panic.to_string()).instrument(span.clone()).await,
    };
    if settled {
        settle::acknowledge(&engine, W::STAGE, entry).instrument(span).await;
    }
}

/// Renews the lease three times in its length, and in between when there is progress to tell.
async fn keep(engine: Engine, row: TaskRow, mut progress: watch::Receiver<u8>, over: CancellationToken) {
    let third = lease::lease_third(&engine);
    let mut told = 0;
    let mut deadline = tokio::time::Instant::now() + third;
    loop {
        let changed = async {
            tokio::time::sleep(PROGRESS.min(third)).await;
            if progress.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = engine.stop.working.cancelled() => { over.cancel(); return }
            () = tokio::time::sleep_until(deadline) => {}
            () = changed => {}
        }
        let now = *progress.borrow_and_update();
        match lease::renew(&engine, &row, (now > told).then_some(now)).await {
            Ok(true) => told = now,
            Ok(false) => {
                metrics().lost_lease(row.task.stage);
                tracing::warn!("the lease is gone; the work stops and writes nothing");
                over.cancel();
                return;
            }
            // Tried again soon, well within the grace after which others take it for a dead worker's.
            Err(error) => {
                error.tell("the lease could not be renewed; tried again");
                deadline = tokio::time::Instant::now() + PROGRESS.min(third / 4);
                continue;
            }
        }
        deadline = tokio::time::Instant::now() + third;
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
