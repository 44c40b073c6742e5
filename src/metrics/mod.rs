//! What a process counts while it works: counters and histograms, which only grow.
//!
//! A worker has no port to be scraped at, and a fleet's workers come and go. So every process adds what it has counted to
//! the ledger, beside the count of Redis commands, and any `serve` shows the fleet's sum ([`Metrics::fleet`]): it
//! survives restarts, and costs a scrape one query however long the history is. A process that is killed loses what it counted in
//! the last seconds.
//!
//! Labels have few values each: stages, outcomes, results. Never a video, an account or a worker.

mod growth;
mod sums;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, core::Collector};

use crate::event::Stage;
use crate::outcome::Outcome;
use growth::Growth;
pub use growth::Number;

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Those of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

/// How a run can have ended, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Done,
    Retry,
    Parked,
    Dead,
    Review,
    HandedBack,
}

impl Ended {
    pub const ALL: [Ended; 6] =
        [Ended::Done, Ended::Retry, Ended::Parked, Ended::Dead, Ended::Review, Ended::HandedBack];

    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done => Ended::Done,
            Outcome::Retry(_) => Ended::Retry,
            Outcome::Parked { .. } => Ended::Parked,
            Outcome::Dead(_) => Ended::Dead,
            Outcome::NeedsReview(_) => Ended::Review,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Done => "done",
            Ended::Retry => "retry",
            Ended::Parked => "parked",
            Ended::Dead => "dead",
            Ended::Review => "review",
            Ended::HandedBack => "handed_back",
        }
    }
}

/// How a request for an upload was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    Accepted,
    /// It was the request's fault.
    Refused,
    /// It was ours, or a store's.
    Failed,
}

impl Upload {
    pub const ALL: [Upload; 3] = [Upload::Accepted, Upload::Refused, Upload::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Upload::Accepted => "accepted",
            Upload::Refused => "refused",
            Upload::Failed => "failed",
        }
    }
}

/// What became of a trace's spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exported {
    Taken,
    Dropped,
}

impl Exported {
    pub const ALL: [Exported; 2] = [Exported::Taken, Exported::Dropped];

    pub fn as_str(self) -> &'static str {
        match self {
            Exported::Taken => "taken",
            Exported::Dropped => "dropped",
        }
    }
}

pub struct Metrics {
    registry: Registry,
    growth: Growth,
    started: IntCounterVec,
    ended: IntCounterVec,
    duration: HistogramVec,
    takeovers: IntCounterVec,
    lease_losses: IntCounterVec,
    released: IntCounterVec,
    released_again: IntCounterVec,
    append_failures: IntCounterVec,
    uploads: IntCounterVec,
    upload_bytes: IntCounter,
    spans: IntCounterVec,
    ffmpeg_speed: Histogram,
    write_wait: Histogram,
}

/// A bound that changes needs another name for its histogram: the ledger's rows know the old ones.
const RUNS: &[f64] = &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
const SPEEDS: &[f64] = &[0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 25.0];
const WAITS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

impl Metrics {
    fn new() -> Self {
        let registry = Registry::new();
        let by = |name, labels: &[&str], help| registered(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let runs = HistogramOpts::new(
            "subiteya_stage_duration_seconds",
            "How long runs took, from the lease to the end of the work, by stage",
        );
        let speeds = HistogramOpts::new(
            "subiteya_ffmpeg_speed_ratio",
            "Seconds of video that FFmpeg made in a second; below 1 it is slower than the video plays",
        );
        let waits = HistogramOpts::new(
            "subiteya_ledger_write_wait_seconds",
            "How long writing transactions waited for their connection and, on SQLite, for their turn",
        );
        let bytes = Opts::new("subiteya_upload_bytes_total", "Bytes of videos in accepted uploads");
        let metrics = Self {
            started: by("subiteya_stage_started_total", &["stage"], "Runs that were begun, by stage"),
            ended: by("subiteya_stage_ended_total", &["stage", "outcome"], "Runs that ended, by stage and outcome"),
            duration: registered(&registry, HistogramVec::new(runs.buckets(RUNS.to_vec()), &["stage"])),
            takeovers: by("subiteya_takeovers_total", &["stage"], "Tasks taken over from workers that died"),
            lease_losses: by("subiteya_lease_losses_total", &["stage"], "Runs that found their lease gone"),
            released: by("subiteya_released_total", &["stage"], "Tasks appended to their stream"),
            released_again: by(
                "subiteya_released_again_total",
                &["stage"],
                "Released tasks whose entry was lost, so that they were released anew",
            ),
            append_failures: by("subiteya_append_failures_total", &["stage"], "Entries that could not be appended"),
            uploads: by("subiteya_uploads_total", &["result"], "Requests to upload, by how they were answered"),
            upload_bytes: registered(&registry, IntCounter::with_opts(bytes)),
            spans: by("subiteya_trace_spans_total", &["result"], "Spans of traces, by what became of them"),
            ffmpeg_speed: registered(&registry, Histogram::with_opts(speeds.buckets(SPEEDS.to_vec()))),
            write_wait: registered(&registry, Histogram::with_opts(waits.buckets(WAITS.to_vec()))),
            growth: Growth::default(),
            registry,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// What has not happened yet is shown as 0, so that its first time is seen to be a change.
    fn begin_at_zero(&self) {
        for stage in Stage::ALL.map(Stage::as_str) {
            for one in [&self.started, &self.takeovers, &self.lease_losses] {
                one.with_label_values(&[stage]);
            }
            for ended in Ended::ALL {
                self.ended.with_label_values(&[stage, ended.as_str()]);
            }
            self.duration.with_label_values(&[stage]);
        }
        for stage in Stage::STREAMED.map(Stage::as_str) {
            for one in [&self.released, &self.released_again, &self.append_failures] {
                one.with_label_values(&[stage]);
            }
        }
        for upload in Upload::ALL {
            self.uploads.with_label_values(&[upload.as_str()]);
        }
        for exported in Exported::ALL {
            self.spans.with_label_values(&[exported.as_str()]);
        }
    }

    pub fn started(&self, stage: Stage) {
        self.started.with_label_values(&[stage.as_str()]).inc();
    }

    pub fn ended(&self, stage: Stage, ended: Ended) {
        self.ended.with_label_values(&[stage.as_str(), ended.as_str()]).inc();
    }

    pub fn ran(&self, stage: Stage, took: Duration) {
        self.duration.with_label_values(&[stage.as_str()]).observe(took.as_secs_f64());
    }

    pub fn took_over(&self, stage: Stage) {
        self.takeovers.with_label_values(&[stage.as_str()]).inc();
    }

    pub fn lost_lease(&self, stage: Stage) {
        self.lease_losses.with_label_values(&[stage.as_str()]).inc();
    }

    pub fn released(&self, stage: Stage) {
        self.released.with_label_values(&[stage.as_str()]).inc();
    }

    pub fn released_again(&self, stage: Stage, tasks: usize) {
        self.released_again.with_label_values(&[stage.as_str()]).inc_by(tasks as u64);
    }

    pub fn append_failed(&self, stage: Stage) {
        self.append_failures.with_label_values(&[stage.as_str()]).inc();
    }

    pub fn upload(&self, upload: Upload) {
        self.uploads.with_label_values(&[upload.as_str()]).inc();
    }

    pub fn uploaded(&self, bytes: u64) {
        self.upload_bytes.inc_by(bytes);
    }

    pub fn exported(&self, exported: Exported, spans: u64) {
        self.spans.with_label_values(&[exported.as_str()]).inc_by(spans);
    }

    /// So much video was made in so long.
    pub fn encoded(&self, video: Duration, took: Duration) {
        if !took.is_zero() {
            self.ffmpeg_speed.observe(video.as_secs_f64() / took.as_secs_f64());
        }
    }

    pub fn waited_to_write(&self, waited: Duration) {
        self.write_wait.observe(waited.as_secs_f64());
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let metric = made.expect("its name, labels and buckets are sound");
    registry.register(Box::new(metric.clone())).expect("its name is its own");
    metric
}
