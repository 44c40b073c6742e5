//! What a process of ours does: the program's own loop, relay and ledger; only the work is none.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use subiteya::config::{StageConfig, StagesConfig};
use subiteya::event::{Stage, TraceId, VideoId};
use subiteya::ingest::{Intake, New, Written};
use subiteya::ledger::{Edited, Ledger, LedgerError, Priority, Status, TaskRow, Tx, Video, VideoPatch};
use subiteya::outcome::{Outcome, Reason};
use subiteya::relay::{self, Dispatch};
use subiteya::stage::{Acks, Admission, Engine, Lease, Run, Stop, Times, Work, streamed};
use subiteya::stream::{Meter, Options, Streams};
use subiteya::task::Task;

use crate::turn::{ACCOUNTS, Config};

pub(crate) async fn play(role: &str, config: &str) -> Result<()> {
    let config: Config = serde_json::from_str(config)?;
    let stage = || StageConfig {
        concurrency: config.at_once,
        limit: None,
        limit_per_account: None,
        attempts: 3,
        backoff: Duration::from_secs(1),
        lease: Duration::from_secs(30),
        stalled_check: Duration::from_secs(60),
        retain: Duration::from_secs(3600),
    };
    let ledger = Ledger::open(&config.database).await?;
    let streams = Streams::connect(&config.redis, Options::default(), Meter::default()).await?;
    let dispatch = Dispatch::new(Some(streams.clone()), StagesConfig { edit: stage(), publish: stage() });
    let engine = Engine {
        ledger,
        dispatch,
        config: stage(),
        times: Times::default(),
        stop: Stop::default(),
        health: Default::default(),
        acks: Acks::default(),
    };
    let done = Arc::new(AtomicUsize::new(0));
    let tell = config.gap_ms.is_some();
    match role {
        "produce" => produce(engine, &config).await,
        "edit" => work(engine, Edit { done, all: config.videos, tell }, streams).await,
        "publish" => work(engine, Publish { done, all: config.videos }, streams).await,
        other => bail!("{other} is no role"),
    }
}

/// On the clock that all processes of a machine share.
fn micros() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

async fn work<W: Work>(engine: Engine, work: W, streams: Streams) -> Result<()> {
    streams.ensure_group(W::STAGE).await?;
    let reading = streamed::Reading { block: Duration::from_secs(30) };
    let working = tokio::spawn(streamed::work(engine.clone(), Arc::new(work), streams.clone(), reading));
    tokio::time::sleep(Duration::from_millis(500)).await;
    say("ready");
    until_told(0).await?;
    engine.stop.reading.cancel();
    engine.stop.working.cancel();
    working.await?;
    streams.close().await;
    Ok(())
}

/// Waits for so many lines, or the end.
async fn until_told(lines: usize) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        let mut said = std::io::stdin().lines();
        if lines > 0 {
            said.nth(lines - 1).context("the bench is gone")??;
            return Ok(());
        }
        said.for_each(drop);
        Ok(())
    })
    .await?
}

/// The relay beside the uploads, as in `serve`; as many uploads at once as BullMQ's producer has.
async fn produce(engine: Engine, config: &Config) -> Result<()> {
    tokio::spawn(relay::run(engine.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    say("ready");
    until_told(1).await?;
    let next = Arc::new(AtomicUsize::new(0));
    let lanes = if config.gap_ms.is_some() { 1 } else { 50 };
    let intake = Intake::new(engine.ledger.clone(), engine.dispatch.clone());
    let lanes = (0..lanes).map(|_| {
        let (engine, intake, next, config) = (engine.clone(), intake.clone(), next.clone(), config.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= config.videos {
                    return Ok::<_, anyhow::Error>(());
                }
                let account = number % ACCOUNTS;
                let new = New { video: video(account), creator: format!("creator{account}"), key: None };
                match config.gap_ms {
                    None => match intake.commit(new).await {
                        Ok(Written::Committed(_)) => {}
                        other => bail!("an upload was not taken: {other:?}"),
                    },
                    Some(gap) => {
                        alone(&engine, new).await?;
                        tokio::time::sleep(Duration::from_millis(gap)).await;
                    }
                }
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await??;
    }
    say("uploaded");
    until_told(0).await
}

/// The same step by step, to tell when it was committed.
async fn alone(engine: &Engine, new: New) -> Result<()> {
    let (id, began) = (new.video.id, micros());
    let tx = engine.ledger.gather().await?;
    let video = Video { created_at: tx.now(), updated_at: tx.now(), ..new.video };
    tx.insert_video(&video).await?;
    let (task, creator) = (Task::new(id, Stage::Edit, tx.now()), new.creator);
    let row = TaskRow { task, account: video.account.clone(), creator, priority: video.priority.as_number() };
    tx.insert_task(&row).await?;
    tx.note(id, None, "uploaded", json!({ "size": video.source_size, "sha256": video.source_sha256 })).await?;
    let released = engine.dispatch.release(&tx, Stage::Edit).await?;
    tx.commit().await?;
    let committed = micros();
    engine.dispatch.append(&released).await;
    say(&format!("committed {id} {began} {committed}"));
    Ok(())
}

fn video(account: usize) -> Video {
    let id = VideoId::new();
    Video {
        id,
        trace: TraceId::new(),
        user: "ann".into(),
        account: format!("account{account}"),
        title: "A clip of the beach in the evening".into(),
        options: json!({ "privacy": "SELF_ONLY", "comments": true, "duet": false, "stitch": false }),
        priority: Priority::Normal,
        publish_at: None,
        status: Status::EditingQueued,
        progress: 0,
        source_key: format!("videos/{id}/source"),
        source_size: 5_000_000,
        source_sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
        captions_key: None,
        brand: None,
        probe: json!({ "width": 1080, "height": 1920, "duration": 15.0, "video": "h264", "audio": "aac" }),
        edited_key: None,
        edited_size: None,
        edited_sha256: None,
        thumbnail_key: None,
        post_ids: Vec::new(),
        post_url: None,
        reason: None,
        created_at: 0,
        updated_at: 0,
        ended_at: None,
    }
}

struct Edit {
    done: Arc<AtomicUsize>,
    all: usize,
    tell: bool,
}

impl Work for Edit {
    type Made = ();
    const STAGE: Stage = Stage::Edit;
    const NEXT: Option<Stage> = Some(Stage::Publish);

    async fn look(&self, _: &Ledger) -> Result<Admission, LedgerError> {
        Ok(Admission::Open)
    }

    async fn admit(&self, _: &Tx, _: &TaskRow) -> Result<Admission, LedgerError> {
        Ok(Admission::Open)
    }

    async fn run(&self, lease: &Lease) -> Run<()> {
        if self.tell {
            say(&format!("began {} {}", lease.video(), micros()));
        }
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.all {
            say("all");
        }
        Run::Ended(Outcome::Done, Some(()))
    }

    /// As `stage::edit` writes it.
    async fn settle(&self, tx: &Tx, task: &TaskRow, _: &Outcome, _: Option<()>) -> Result<Option<Stage>, LedgerError> {
        let id = task.task.video;
        let video = tx.video(id).await?.ok_or(LedgerError::Conflict)?;
        let edited = Edited {
            key: format!("videos/{id}/edited"),
            size: 4_000_000,
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
        };
        let patch = VideoPatch {
            status: Some(Status::Edited),
            progress: Some(100),
            edited: Some(edited),
            thumbnail_key: Some(format!("videos/{id}/thumbnail")),
            reason: Some(None),
            ..VideoPatch::default()
        };
        tx.patch_video(id, patch).await?;
        tx.note(id, Some(Stage::Edit), "edited", json!({ "seconds": 0.1, "video": "copy", "audio": "copy" })).await?;
        let due = video.publish_at.unwrap_or(0).max(tx.now());
        match tx.task_of(id, Stage::Publish).await? {
            Some(_) => return Err(LedgerError::Conflict),
            None => tx.insert_task(&TaskRow { task: Task::new(id, Stage::Publish, due), ..task.clone() }).await?,
        }
        Ok(Some(Stage::Publish))
    }

    async fn last(&self, _: &Tx, _: &TaskRow, reason: Reason) -> Result<Outcome, LedgerError> {
        Ok(Outcome::Dead(reason))
    }
}

struct Publish {
    done: Arc<AtomicUsize>,
    all: usize,
}

impl Work for Publish {
    type Made = ();
    const STAGE: Stage = Stage::Publish;

    async fn look(&self, _: &Ledger) -> Result<Admission, LedgerError> {
        Ok(Admission::Open)
    }

    async fn admit(&self, _: &Tx, _: &TaskRow) -> Result<Admission, LedgerError> {
        Ok(Admission::Open)
    }

    async fn run(&self, _: &Lease) -> Run<()> {
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.all {
            say("all");
        }
        Run::Ended(Outcome::Done, Some(()))
    }

    /// As `stage::publish` writes a post that TikTok has confirmed.
    async fn settle(&self, tx: &Tx, task: &TaskRow, _: &Outcome, _: Option<()>) -> Result<Option<Stage>, LedgerError> {
        let id = task.task.video;
        let post = vec![format!("7{:018}", id.made_at())];
        let patch = VideoPatch {
            status: Some(Status::Posted),
            progress: Some(100),
            post_ids: Some(post.clone()),
            post_url: Some(format!("https://www.tiktok.com/@ann/video/{}", post[0])),
            reason: Some(None),
            ..VideoPatch::default()
        };
        tx.patch_video(id, patch).await?;
        tx.note(id, Some(Stage::Publish), "posted", json!({ "postIds": post })).await?;
        Ok(None)
    }

    async fn last(&self, _: &Tx, _: &TaskRow, reason: Reason) -> Result<Outcome, LedgerError> {
        Ok(Outcome::Dead(reason))
    }
}
