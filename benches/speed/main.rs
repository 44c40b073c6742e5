//! The figures of speed: ours beside what they are measured against, in one go on one machine.
//!
//! Each row is a file with a `run`, and one or more [`Line`]s of the table. They stand on what the integration tests stand on:
//! real processes of the built program, with a Redis, a database, a store and a TikTok sandbox of their own.
//!
//! ```sh
//! cargo bench --bench speed              # all rows; the table goes to SPEED_RESULTS and SPEED_README, if these name files
//! cargo bench --bench speed -- edit      # one of them
//! SPEED_PAIRS=5 cargo bench --bench speed
//! ```
//!
//! Without `--bench` (as `cargo test --bench speed` starts it) everything runs once, small, so that it can't rot. Linux
//! only: it reads /proc.

mod bare;
mod clips;
mod crowd;
mod edit;
mod graph;
mod growth;
mod memory;
mod posted;
mod report;
mod takeover;
mod throughput;

#[path = "../../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "what the tests stand on, too")]
mod support;

use std::future::Future;
use std::pin::Pin;

use self::report::Line;

/// How much is done.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// In full, or once and small.
    pub(crate) full: bool,
    /// Interleaved pairs of a comparison that takes seconds.
    pub(crate) pairs: usize,
}

impl Extent {
    pub(crate) fn of<T>(self, full: T, small: T) -> T {
        if self.full { full } else { small }
    }
}

type Row = fn(Extent) -> Pin<Box<dyn Future<Output = Vec<Line>>>>;

const ROWS: [(&str, Row); 8] = [
    ("takeover", |extent| Box::pin(takeover::run(extent))),
    ("edit", |extent| Box::pin(edit::run(extent))),
    ("posted", |extent| Box::pin(posted::run(extent))),
    ("memory", |extent| Box::pin(memory::run(extent))),
    ("throughput", |extent| Box::pin(throughput::run(extent))),
    ("crowd", |extent| Box::pin(crowd::run(extent))),
    ("graph", |extent| Box::pin(graph::run(extent))),
    ("growth", |extent| Box::pin(growth::run(extent))),
];

#[tokio::main]
async fn main() {
    if !cfg!(target_os = "linux") {
        println!("speed: skipped, since there is no /proc");
        return;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let full = args.iter().any(|arg| arg == "--bench");
    let wanted: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-')).collect();
    let known = ROWS.map(|(name, _)| name);
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        panic!("there is no row {unknown:?}; expected one of {}", known.join(", "));
    }
    let pairs = std::env::var("SPEED_PAIRS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let extent = Extent { full, pairs: if full { pairs } else { 1 } };
    for (name, row) in ROWS.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name)) {
        let began = std::time::Instant::now();
        let lines = row(extent).await;
        lines.iter().for_each(|line| println!("speed: {}", line.said()));
        println!("speed: {name} took {:.0} s", began.elapsed().as_secs_f64());
        if full {
            report::keep(name, &lines);
        }
    }
}
