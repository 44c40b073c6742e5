//! A pipeline without its expensive parts: a real ledger, a real Redis, and stages whose work is a script.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use serde_json::json;
use subiteya::config::{Rate, StageConfig};
use subiteya::event::{Stage, TraceId, VideoId};
use subiteya::ledger::{
    Ledger, LedgerError, NewAccount, Priority, Released, Status, TaskRow, TokenPair, Tx, Video, VideoPatch,
};
use subiteya::limit::{self, Ask};
use subiteya::outcome::{Outcome, Reason};
use subiteya::relay::{self, Dispatch};
use subiteya::stage::{Acks, Admission, Engine, Lease, Run, Stop, Times, Work, streamed};
use subiteya::stream::{Meter, Options, Streams};
use subiteya::task::Task;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::kinds::Service;
use super::redis::Redis;

/// The edit stage with a script for its work.
pub(crate) struct Script {
    pub(crate) runs: AtomicUsize,
    pub(crate) done: Mutex<Vec<VideoId>>,
    pub(crate) at_once: AtomicUsize,
    pub(crate) most_at_once: AtomicUsize,
    /// How a run ends; by default at once and well.
    pub(crate) outcome: Box<dyn Fn(usize) -> Outcome + Send + Sync>,
    /// A run waits for a permit here, or for its lease to be over.
    pub(crate) gate: Semaphore,
    /// A video whose rows can't be read.
    pub(crate) unreadable: Mutex<Option<VideoId>>,
    /// An edited video is published next.
    pub(crate) publish_next: bool,
    /// Of its stage.
    pub(crate) limit: Option<Rate>,
}

/// The publish stage with a script for its work.
pub(crate) struct Publish(Arc<Script>);

impl Work for Publish {
    type Made = ();
    const STAGE: Stage = Stage::Publish;

    async fn look(&self, ledger: &Ledger) -> Result<Admission, LedgerError> {
        self.0.look_at(ledger, limit::Key::Publish).await
    }

    fn limit(&self) -> Option<Ask> {
        self.0.limit.map(|rate| Ask { key: limit::Key::Publish, rate: Some(rate) })
    }

    async fn admit(&self, tx: &Tx, row: &TaskRow) -> Result<Admission, LedgerError> {
        self.0.take(tx, row, limit::Key::Publish).await
    }

    async fn run(&self, lease: &Lease) -> Run<()> {
        self.0.run(lease).await
    }

    async fn settle(
        &self,
        tx: &Tx,
        task: &TaskRow,
        outcome: &Outcome,
        made: Option<()>,
    ) -> Result<Vec<Released>, LedgerError> {
        self.0.settle(tx, task, outcome, made).await
    }

    async fn last(&self, tx: &Tx, row: &TaskRow, reason: Reason) -> Result<Outcome, LedgerError> {
        self.0.last(tx, row, reason).await
    }
}

impl Default for Script {
    fn default() -> Self {
        Self {
            runs: AtomicUsize::new(0),
            done: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            outcome: Box::new(|_| Outcome::Done),
            gate: Semaphore::new(1_000_000),
            unreadable: Mutex::default(),
            publish_next: false,
            limit: None,
        }
    }
}

impl Script {
    pub(crate) fn closed() -> Self {
        Self { gate: Semaphore::new(0), ..Self::default() }
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    async fn look_at(&self, ledger: &Ledger, key: limit::Key) -> Result<Admission, LedgerError> {
        Ok(limit::look(ledger, ledger.now().await?, &[Ask { key, rate: self.limit }]).await?.into())
    }

    async fn take(&self, tx: &Tx, row: &TaskRow, key: limit::Key) -> Result<Admission, LedgerError> {
        let admission = limit::take(tx, &[Ask { key, rate: self.limit }]).await?.into();
        if admission == Admission::Open && self.limit.is_some() {
            tx.mark_permitted(row.task.id).await?;
        }
        Ok(admission)
    }
}

impl Work for Script {
    type Made = ();
    const STAGE: Stage = Stage::Edit;

    async fn look(&self, ledger: &Ledger) -> Result<Admission, LedgerError> {
        self.look_at(ledger, limit::Key::Edit).await
    }

    fn limit(&self) -> Option<Ask> {
        self.limit.map(|rate| Ask { key: limit::Key::Edit, rate: Some(rate) })
    }

    async fn admit(&self, tx: &Tx, row: &TaskRow) -> Result<Admission, LedgerError> {
        if *self.unreadable.lock().expect("lock") == Some(row.task.video) {
            return Err(LedgerError::Corrupt("as the test wants it".to_owned()));
        }
        self.take(tx, row, limit::Key::Edit).await
    }

    async fn run(&self, lease: &Lease) -> Run<()> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let passed = tokio::select! {
            permit = self.gate.acquire() => { permit.expect("open").forget(); true }
            () = lease.over.cancelled() => false,
        };
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        if passed { Run::Ended((self.outcome)(run), Some(())) } else { Run::Interrupted }
    }

    async fn settle(
        &self,
        tx: &Tx,
        task: &TaskRow,
        outcome: &Outcome,
        _: Option<()>,
    ) -> Result<Vec<Released>, LedgerError> {
        let status = match outcome {
            Outcome::Done if self.publish_next => {
                let next = Task::new(task.task.video, Stage::Publish, tx.now());
                tx.insert_task(&TaskRow { task: next, ..task.clone() }).await?;
                return Ok(Vec::new());
            }
            Outcome::Done => {
                self.done.lock().expect("lock").push(task.task.video);
                Status::Posted
            }
            Outcome::Dead(_) => Status::Failed,
            Outcome::NeedsReview(_) => Status::NeedsReview,
            Outcome::Retry(_) | Outcome::Parked { .. } => return Ok(Vec::new()),
        };
        tx.patch_video(task.task.video, VideoPatch { status: Some(status), ..VideoPatch::default() }).await?;
        Ok(Vec::new())
    }

    async fn last(&self, _: &Tx, _: &TaskRow, reason: Reason) -> Result<Outcome, LedgerError> {
        Ok(Outcome::Dead(reason))
    }
}

pub(crate) fn config() -> StageConfig {
    StageConfig {
        concurrency: 2,
        limit: None,
        limit_per_account: None,
        attempts: 2,
        backoff: Duration::from_millis(100),
        lease: Duration::from_secs(2),
        stalled_check: Duration::from_secs(2),
        retain: Duration::from_secs(3600),
    }
}

/// Short, so that tests need not wait long; in the same proportions as in production.
pub(crate) fn times() -> Times {
    Times {
        tick: Duration::from_millis(100),
        heartbeat: Duration::from_millis(300),
        alive: Duration::from_secs(2),
        doubt: Duration::from_secs(1),
        deaf: Duration::from_secs(2),
        quiet: Duration::from_millis(20),
        company: Duration::from_secs(1),
        idle: Duration::from_millis(300),
    }
}

/// The warnings and errors of one process.
#[derive(Clone, Default)]
pub(crate) struct Log {
    text: Arc<Mutex<Vec<u8>>>,
}

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.text.lock().expect("lock")).lines().map(str::to_owned).collect()
    }

    /// Makes a thread of the process' runtime log here, for as long as it lives.
    fn installer(&self) -> impl Fn() + Send + Sync + 'static {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        let dispatch = tracing::Dispatch::new(subscriber);
        move || std::mem::forget(tracing::dispatcher::set_default(&dispatch))
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A Redis of any kind, as far as a pipeline needs it.
pub(crate) trait Server: Sync {
    fn url(&self) -> String;
    fn authorities(&self) -> Vec<CertificateDer<'static>>;
    fn calls(&self) -> impl Future<Output = BTreeMap<String, u64>>;
    fn pending(&self, stream: &str, group: &str) -> impl Future<Output = u64>;
}

impl Server for Redis {
    fn url(&self) -> String {
        Redis::url(self)
    }

    fn authorities(&self) -> Vec<CertificateDer<'static>> {
        Vec::new()
    }

    async fn calls(&self) -> BTreeMap<String, u64> {
        Redis::calls(self).await
    }

    async fn pending(&self, stream: &str, group: &str) -> u64 {
        Redis::pending(self, stream, group).await
    }
}

impl Server for Service {
    fn url(&self) -> String {
        Service::url(self)
    }

    fn authorities(&self) -> Vec<CertificateDer<'static>> {
        Service::authorities(self)
    }

    async fn calls(&self) -> BTreeMap<String, u64> {
        Service::calls(self).await
    }

    async fn pending(&self, stream: &str, group: &str) -> u64 {
        Service::pending(self, stream, group).await
    }
}

pub(crate) struct Pipeline<R = Redis> {
    pub(crate) redis: R,
    pub(crate) ledger: Ledger,
    pub(crate) streams: Streams,
    pub(crate) dispatch: Dispatch,
    folder: tempfile::TempDir,
}

/// A worker and a relay on a runtime of their own, as one process of a fleet would have.
pub(crate) struct Process {
    pub(crate) stop: Stop,
    pub(crate) streams: Streams,
    pub(crate) log: Log,
    tasks: Vec<JoinHandle<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Process {
    pub(crate) async fn stop(mut self) {
        self.stop.reading.cancel();
        self.stop.working.cancel();
        for task in std::mem::take(&mut self.tasks) {
            task.await.expect("ends well");
        }
    }

    /// As a SIGKILL would: nothing is handed back, nothing acknowledged, nothing renewed.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Pipeline {
    pub(crate) async fn start() -> Self {
        Self::on(Redis::start().await).await
    }
}

impl<R: Server> Pipeline<R> {
    pub(crate) async fn on(redis: R) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::open(&database(folder.path())).await.expect("a ledger");
        let streams = connect_to(&redis.url(), redis.authorities()).await;
        let dispatch = Dispatch::new(Some(streams.clone()), stages());
        Self { redis, ledger, streams, dispatch, folder }
    }

    pub(crate) async fn upload(&self) -> VideoId {
        self.upload_by(&self.dispatch).await
    }

    /// By a process with a connection of its own.
    pub(crate) async fn upload_by(&self, dispatch: &Dispatch) -> VideoId {
        let (video, released) = self.commit_upload_by(dispatch).await;
        dispatch.append(&released).await;
        video
    }

    /// Commits an upload and does not append it: a crash between the two.
    pub(crate) async fn commit_upload(&self) -> (VideoId, Vec<Released>) {
        self.commit_upload_by(&self.dispatch).await
    }

    async fn commit_upload_by(&self, dispatch: &Dispatch) -> (VideoId, Vec<Released>) {
        let tx = self.ledger.begin().await.expect("begin");
        let video = video(tx.now());
        tx.insert_video(&video).await.expect("video");
        let task = Task::new(video.id, Stage::Edit, tx.now());
        tx.insert_task(&TaskRow { task, account: video.account.clone(), creator: "creator".into(), priority: 1 })
            .await
            .expect("task");
        let released = dispatch.release(&tx, Stage::Edit).await.expect("release");
        tx.commit().await.expect("commit");
        (video.id, released)
    }

    /// The account of all uploads: only what has one is published.
    pub(crate) async fn connect_account(&self) {
        let tokens = TokenPair {
            access: String::new(),
            refresh: String::new(),
            access_expires_at: 0,
            refresh_at: 0,
            refresh_expires_at: None,
        };
        let (id, name) = ("conn_1".to_owned(), "ann".to_owned());
        let account = NewAccount { id, user: name.clone(), open_id: name.clone(), display_name: name, tokens };
        let tx = self.ledger.begin().await.expect("begin");
        tx.put_account(&account).await.expect("account");
        tx.commit().await.expect("commit");
    }

    /// Videos that wait for a time that is far off, in one transaction.
    pub(crate) async fn commit_parked(&self, number: usize, reason: &Reason) {
        let tx = self.ledger.begin().await.expect("begin");
        for _ in 0..number {
            let video = video(tx.now());
            tx.insert_video(&video).await.expect("video");
            let parked = Task::new(video.id, Stage::Edit, tx.now());
            let parked = parked.postpone(tx.now() + 3_600_000, reason.clone(), tx.now()).expect("it waits");
            tx.insert_task(&TaskRow { task: parked, account: video.account, creator: "creator".into(), priority: 1 })
                .await
                .expect("task");
        }
        tx.commit().await.expect("commit");
    }

    pub(crate) async fn process(&self, work: &Arc<Script>) -> Process {
        self.process_on(&self.redis.url(), work).await
    }

    pub(crate) async fn process_on(&self, url: &str, work: &Arc<Script>) -> Process {
        self.process_of(url, work, None).await
    }

    /// A worker of both stages.
    pub(crate) async fn process_of_both(&self, edit: &Arc<Script>, publish: &Arc<Script>) -> Process {
        self.process_of(&self.redis.url(), edit, Some(Arc::new(Publish(publish.clone())))).await
    }

    async fn process_of(&self, url: &str, work: &Arc<Script>, publish: Option<Arc<Publish>>) -> Process {
        let log = Log::default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(log.installer())
            .build()
            .expect("a runtime");
        let (url, authorities) = (url.to_owned(), self.redis.authorities());
        let (ledger, work) = (self.database(), work.clone());
        let stop = Stop::default();
        let its_stop = stop.clone();
        let started = runtime.spawn(async move {
            let streams = connect_to(&url, authorities).await;
            let engine = Engine {
                ledger: Ledger::open(&ledger).await.expect("a ledger"),
                dispatch: Dispatch::new(Some(streams.clone()), stages()),
                config: config(),
                times: times(),
                stop: its_stop,
                health: Default::default(),
                acks: Acks::default(),
            };
            let reading = streamed::Reading { block: Duration::from_secs(60) };
            let mut tasks = vec![
                tokio::spawn(streamed::work(engine.clone(), work, streams.clone(), reading.clone())),
                tokio::spawn(relay::run(engine.clone())),
            ];
            if let Some(publish) = publish {
                tasks.push(tokio::spawn(streamed::work(engine, publish, streams.clone(), reading)));
            }
            (streams, tasks)
        });
        let (streams, tasks) = started.await.expect("a process");
        Process { stop, streams, log, tasks, runtime: Some(runtime) }
    }

    pub(crate) fn database(&self) -> String {
        database(self.folder.path())
    }

    pub(crate) async fn task(&self, video: VideoId) -> Task {
        self.ledger.task_of(video, Stage::Edit).await.expect("read").expect("task").task
    }

    /// Writes a task's row as a test wants it.
    pub(crate) async fn change(&self, video: VideoId, change: impl FnOnce(Task, i64) -> Task) {
        let tx = self.ledger.begin().await.expect("begin");
        let old = tx.task_of(video, Stage::Edit).await.expect("read").expect("task").task;
        let new = change(old.clone(), tx.now());
        tx.put_task(&old, &new).await.expect("put");
        tx.commit().await.expect("commit");
    }

    pub(crate) async fn appends(&self) -> u64 {
        self.redis.calls().await.get("xadd").copied().unwrap_or(0)
    }

    pub(crate) async fn status(&self, video: VideoId) -> Status {
        self.ledger.video(video).await.expect("read").expect("video").status
    }

    pub(crate) async fn all_end(&self, videos: &[VideoId], within: Duration) {
        super::eventually("every video ends", within, || async {
            for &video in videos {
                if !self.status(video).await.ended() {
                    return false;
                }
            }
            true
        })
        .await;
    }

    pub(crate) async fn nothing_pending(&self) {
        super::eventually("nothing is pending", Duration::from_secs(10), || async {
            self.redis.pending("video.uploaded", "edit").await + self.redis.pending("video.edited", "publish").await
                == 0
        })
        .await;
    }
}

fn database(folder: &std::path::Path) -> String {
    format!("sqlite://{}", folder.join("ledger.db").display())
}

pub(crate) async fn connect(url: &str) -> Streams {
    connect_to(url, Vec::new()).await
}

async fn connect_to(url: &str, authorities: Vec<CertificateDer<'static>>) -> Streams {
    let options = Options {
        command_timeout: Duration::from_millis(500),
        longest_pause: Duration::from_millis(500),
        quota_pauses: (Duration::from_millis(500), Duration::from_secs(2)),
        authorities,
        ..Options::default()
    };
    Streams::connect(url, options, Meter::default()).await.expect("Redis answers")
}

pub(crate) fn stages() -> subiteya::config::StagesConfig {
    subiteya::config::StagesConfig { edit: config(), publish: config() }
}

fn video(now: i64) -> Video {
    Video {
        id: VideoId::new(),
        trace: TraceId::new(),
        user: "ann".into(),
        account: "conn_1".into(),
        title: "a clip".into(),
        options: json!({}),
        priority: Priority::Normal,
        publish_at: None,
        status: Status::EditingQueued,
        progress: 0,
        source_key: "none".into(),
        source_size: 0,
        source_sha256: String::new(),
        captions_key: None,
        brand: None,
        probe: json!({}),
        edited_key: None,
        edited_size: None,
        edited_sha256: None,
        thumbnail_key: None,
        post_ids: Vec::new(),
        post_url: None,
        reason: None,
        created_at: now,
        updated_at: now,
        ended_at: None,
    }
}
