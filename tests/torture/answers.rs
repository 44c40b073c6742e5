//! Lost, late and doubled answers, of Redis and of TikTok.

use crate::checker::{self, Late};
use crate::lanes;
use crate::pipeline::{Database, Pipeline, Process};

/// What can happen to an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// Redis did as it was told, and nobody hears of it.
    Swallowed(&'static str),
    /// The entry is on its stream twice.
    Doubled(&'static str),
    /// One call to TikTok, by the sandbox's own words.
    TikTok(&'static str),
    /// A request that is handled when its sender is dead and a successor is at work already.
    Late(&'static str),
}

pub(crate) const TROUBLES: [Trouble; 32] = [
    Trouble::Swallowed("XADD"),
    Trouble::Swallowed("XREADGROUP"),
    Trouble::Swallowed("XACK"),
    Trouble::Doubled("video.uploaded"),
    Trouble::Doubled("video.edited"),
    Trouble::TikTok("creator_info:cut-before"),
    Trouble::TikTok("creator_info:cut-mid"),
    Trouble::TikTok("creator_info:cut-after"),
    Trouble::TikTok("creator_info:expire-token"),
    Trouble::TikTok("creator_info:error=503"),
    Trouble::TikTok("init:cut-before"),
    Trouble::TikTok("init:cut-mid"),
    Trouble::TikTok("init:cut-after"),
    Trouble::TikTok("init:hold=2500ms"),
    Trouble::TikTok("init:error=500"),
    Trouble::TikTok("chunk:cut-before"),
    Trouble::TikTok("chunk@2:cut-mid"),
    Trouble::TikTok("chunk@3:cut-after"),
    Trouble::TikTok("chunk@3:hold=2500ms"),
    Trouble::TikTok("chunk@3:delay=2500ms"),
    Trouble::TikTok("chunk@2:error=500"),
    Trouble::TikTok("status:cut-before"),
    Trouble::TikTok("status:cut-mid"),
    Trouble::TikTok("status:cut-after"),
    Trouble::TikTok("status:stale*2"),
    Trouble::TikTok("status:error=500*3"),
    Trouble::TikTok("status:delay=1500ms"),
    Trouble::TikTok("status:expire-token"),
    Trouble::Late("init:delay=2500ms"),
    Trouble::Late("chunk@1:delay=2500ms"),
    Trouble::Late("chunk@2:delay=2500ms"),
    Trouble::Late("chunk@3:delay=2500ms"),
];

/// One video under one trouble.
pub(crate) async fn history(pipeline: &mut Pipeline, trouble: Trouble) -> Result<(), String> {
    let told = |error: String| format!("{trouble:?}: {error}");
    run(pipeline, trouble).await.map_err(told)
}

async fn run(pipeline: &mut Pipeline, trouble: Trouble) -> Result<(), String> {
    let title = pipeline.title();
    match trouble {
        Trouble::Swallowed(command) => pipeline.proxy.swallow_reply(command),
        Trouble::Doubled(_) => {}
        Trouble::TikTok(fault) | Trouble::Late(fault) => pipeline.fleet.faults(&[fault]),
    }
    let id = pipeline.upload("ada", &title).await.ok_or("it was accepted")?;
    match trouble {
        Trouble::Doubled(stream) => double(pipeline, stream).await,
        Trouble::Late(_) => {
            pipeline.fleet.faults_taken().await;
            pipeline.restart(Process::Work, "").await;
        }
        Trouble::Swallowed(_) | Trouble::TikTok(_) => {}
    }
    let video = pipeline.ended(&id).await?;
    pipeline.fleet.sandbox.clear_faults();
    let mut wrong = checker::video(&pipeline.fleet, &video, Late::None).await;
    if video["status"] != "POSTED" {
        wrong.push(format!("an answer alone ended it so: {video:#}"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Waits for an entry, and appends its fields once more.
async fn double(pipeline: &Pipeline, stream: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let reply = pipeline.fleet.redis.command(&["XREVRANGE", stream, "+", "-", "COUNT", "1"]).await;
        let words: Vec<&str> = reply.lines().filter(|line| !line.starts_with(['*', '$', '-'])).collect();
        if let [_, fields @ ..] = words.as_slice()
            && !fields.is_empty()
        {
            let mut command = vec!["XADD", stream, "*"];
            command.extend(fields);
            pipeline.fleet.redis.command(&command).await;
            return;
        }
        assert!(std::time::Instant::now() < deadline, "an entry of {stream}: {reply}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_lost_late_or_doubled() {
    lanes::all(Database::Sqlite, TROUBLES, history).await;
}
