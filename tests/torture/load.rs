//! Videos on their way while something happens to what they need, and what became of them.

use std::time::Duration;

use crate::checker::{self, Late};
use crate::pipeline::Pipeline;

const VIDEOS: usize = 6;

/// Uploads some videos whose edits take a while, so that they stand at every stage, and gives the ids of those that were
/// accepted.
pub(crate) async fn upload(pipeline: &mut Pipeline) -> Vec<String> {
    pipeline.standin.lasts(0.4);
    let mut ids = Vec::new();
    for _ in 0..VIDEOS {
        let title = pipeline.title();
        ids.extend(pipeline.upload("ada", &title).await);
    }
    ids
}

/// Gives time for something to be under way.
pub(crate) async fn meanwhile() {
    tokio::time::sleep(Duration::from_millis(700)).await;
}

/// All are posted once: what happened is no fault of theirs.
pub(crate) async fn all_posted(pipeline: &Pipeline, ids: &[String]) -> Result<(), String> {
    let mut wrong = Vec::new();
    for id in ids {
        let video = pipeline.ended(id).await?;
        wrong.extend(checker::video(&pipeline.fleet, &video, Late::None).await);
        if video["status"] != "POSTED" {
            wrong.push(format!("an outage alone ended it so: {video:#}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
