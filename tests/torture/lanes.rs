//! Histories side by side: each lane has an installation of its own and takes the next job when it is done with one.

use std::cell::RefCell;

use futures::future::join_all;

use crate::checker;
use crate::pipeline::{Database, Pipeline};

/// Histories wait for leases most of their time, so more of them than cores are worth while.
const LANES: usize = 4;

/// Does all jobs, and panics with what was wrong. A lane ends with its first broken promise, and shows its logs.
pub(crate) async fn all<J>(
    database: Database,
    jobs: impl IntoIterator<Item = J>,
    work: impl AsyncFn(&mut Pipeline, J) -> Result<(), String>,
) {
    let jobs: Vec<J> = jobs.into_iter().collect();
    let lanes = LANES.min(jobs.len());
    let jobs = RefCell::new(jobs.into_iter());
    let next = || jobs.borrow_mut().next();
    let lane = async || {
        let mut pipeline = Pipeline::new(database).await;
        while let Some(job) = next() {
            if let Err(error) = Box::pin(work(&mut pipeline, job)).await {
                return vec![format!("{error}\n{}", pipeline.fleet.logs())];
            }
        }
        checker::whole(&pipeline.fleet, &[]).await
    };
    let wrong = join_all((0..lanes).map(|_| Box::pin(lane()))).await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
