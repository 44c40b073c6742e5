//! Drives the protocol: commits the write that `decide` gives, makes the one call that comes with it, and asks again
//! with the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use secrecy::ExposeSecret;

use super::called::Called;
use super::chunks::{ChunkPlan, ChunkRules};
use super::post;
use super::protocol::decide;
use super::record::{self, Record, Written};
use super::row::Publication;
use super::step::{At, End, Event, Next, Role, Step, Tell, Write};
use super::times::Times;
use crate::account::{Access, Tokens, Vault};
use crate::config::StageConfig;
use crate::creator::{self, Misfit, PostOptions};
use crate::ledger::{Ledger, LedgerError, TaskRow, Tx, Video};
use crate::limit::{self, Ask, Verdict};
use crate::media::{Bytestream, Media, MediaError};
use crate::outcome::Reason;
use crate::relay::Dispatch;
use crate::stage::{Lease, store, traced};
use crate::tiktok::client::{Chunk, Client};
use crate::tiktok::refusal::{Class, Key, Refusal};
use crate::tiktok::wire::{CreatorInfo, PostInfo, StatusKind};
use crate::torture::{self, Point};
use crate::trace::Kind;

/// A commit and a call take as long whatever the window.
const LEAST_PERMIT_LIFE: Duration = Duration::from_millis(500);

/// What publish and confirm work with.
#[derive(Clone)]
pub struct Publisher {
    pub ledger: Ledger,
    pub dispatch: Dispatch,
    pub media: Media,
    pub client: Client,
    pub tokens: Tokens,
    pub vault: Arc<Vault>,
    pub config: StageConfig,
    pub times: Times,
    pub rules: ChunkRules,
}

/// How a run came to its end: what is still to be written in the settlement's transaction, and the end itself.
#[derive(Debug, Clone)]
pub struct Ended {
    pub(super) write: Option<(Record, Write)>,
    pub(super) end: End,
}

/// Why a run stopped without an end of the protocol's.
#[derive(Debug)]
pub(super) enum Broken {
    /// The lease is over, or somebody else has the row.
    Stopped,
    Ledger(LedgerError),
    /// The bytes can't be read as long as the object store is away; how long to wait.
    Store(Duration),
    /// What should be sent can't be read, or never could be sent.
    Reason(Reason),
}

impl From<LedgerError> for Broken {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// One run: a video, the lease on its task, and what TikTok last said of the creator, with the token that it took then.
pub(super) struct Drive<'a> {
    publisher: &'a Publisher,
    lease: &'a Lease,
    role: Role,
    video: Video,
    creator: Option<(CreatorInfo, Access)>,
    /// The version of the pair that TikTok was last asked with; 0 while there is none.
    asked_with: AtomicI64,
    /// The code with which TikTok refused the video when it was last tried.
    refused_before: Option<String>,
    permit: Option<Permit>,
}

/// The limits' permits of the last intent.
#[derive(Debug, Clone, Copy)]
struct Permit {
    /// The ledger's time of the grant.
    at: i64,
    /// Taken before the grant was asked for, so it is never younger than that.
    asked: Instant,
}

/// The chunk that is to be sent next, and its bytes.
type Opened = Option<(u32, Bytestream)>;

impl<'a> Drive<'a> {
    pub(super) async fn begin(publisher: &'a Publisher, lease: &'a Lease, role: Role) -> Result<Self, Broken> {
        let gone = || Broken::Reason(Reason::new("video_missing", "the video is no longer in the ledger"));
        let video = publisher.ledger.video(lease.video()).await?.ok_or_else(gone)?;
        let (asked_with, refused_before) = (AtomicI64::new(0), None);
        Ok(Self { publisher, lease, role, video, creator: None, asked_with, refused_before, permit: None })
    }

    pub(super) async fn run(mut self) -> Result<Ended, Broken> {
        let mut seen = self.frozen().await?;
        self.refused_before = seen.publication.reason.as_ref().map(|reason| reason.code.clone());
        let mut event = Event::Started;
        let mut opened = None;
        loop {
            if self.lease.over.is_cancelled() {
                return Err(Broken::Stopped);
            }
            let now = self.publisher.ledger.now().await?;
            let at = At { lease: self.lease.token, role: self.role, now };
            let Step { write, tell, mut next } = decide(&seen.publication, &event, &at, &self.publisher.times);
            if let Some(tell) = tell
                && let Some(open_at) = self.tell(tell).await?
                && let Next::End(End::Parked { until, .. } | End::PublishAgain { due: until, .. }) = &mut next
            {
                *until = open_at.min(*until);
            }
            if let Next::End(end) = next {
                return match end {
                    End::Stop => Err(Broken::Stopped),
                    end => Ok(Ended { write: write.map(|write| (seen, write)), end }),
                };
            }
            if let Some(write) = write {
                if let Some(refused) = self.commit(&seen, &write).await? {
                    event = refused;
                    continue;
                }
                seen = record::load(&self.publisher.ledger, self.video.id).await?.ok_or(Broken::Stopped)?;
                // What was committed is what is acted on, and nothing that came after it.
                if seen.publication != write.row {
                    return Err(Broken::Stopped);
                }
            }
            event = self.call(&seen.publication, next, &mut opened).await?;
        }
    }

    /// Rule 1: the rendition's hash, size and chunk plan are committed before any init.
    async fn frozen(&self) -> Result<Record, Broken> {
        if let Some(record) = record::load(&self.publisher.ledger, self.video.id).await? {
            return Ok(record);
        }
        let (Some(size), Some(hash)) = (self.video.edited_size, self.video.edited_sha256.clone()) else {
            return Err(Broken::Reason(Reason::new("not_edited", "the video has no rendition to send")));
        };
        let plan = ChunkPlan::new(u64::try_from(size).unwrap_or(0), &self.publisher.rules)
            .map_err(|error| Broken::Reason(Reason::new("size_refused", error.to_string())))?;
        let publication = Publication::freeze(hash, plan, !post::is_private(&self.video));
        let tx = self.publisher.ledger.begin().await?;
        match tx.task(self.lease.row.task.id).await? {
            Some(row) if row.task.token == Some(self.lease.token) => {}
            Some(_) | None => return Err(Broken::Stopped),
        }
        record::freeze(&tx, self.video.id, &self.video.account, &publication).await?;
        tx.commit().await?;
        record::load(&self.publisher.ledger, self.video.id).await?.ok_or(Broken::Stopped)
    }

    /// The write, with the limits' permits where it is an intent. Some: what to tell the protocol instead.
    async fn commit(&mut self, seen: &Record, write: &Write) -> Result<Option<Event>, Broken> {
        let asked = Instant::now();
        let tx = self.publisher.ledger.begin().await?;
        let (task, now) = (self.lease.row.task.id, tx.now());
        if record::write(&tx, self.video.id, task, seen, write).await? == Written::Lost {
            return Ok(Some(Event::WriteLost));
        }
        if write.permits {
            if let Verdict::Closed { until, reason } = limit::take(&tx, &self.publisher.asks(&self.lease.row)).await? {
                return Ok(Some(Event::LimitClosed { until, reason }));
            }
            tx.mark_permitted(task).await?;
            let detail = serde_json::json!({ "init": write.row.inits, "generation": write.row.generation });
            tx.note(self.video.id, Some(crate::event::Stage::Publish), "init", detail).await?;
        }
        tx.commit().await?;
        let before = &seen.publication;
        if write.permits {
            self.permit = Some(Permit { at: now, asked });
            torture::at(Point::PublishIntentStored);
        } else if write.row.publish_id.is_some() && before.publish_id.is_none() {
            torture::at(Point::PublishIdStored);
        } else if write.row.final_started.is_some() && before.final_started.is_none() {
            torture::at(Point::PublishFinalStored);
        }
        Ok(None)
    }

    async fn call(&mut self, row: &Publication, next: Next, opened: &mut Opened) -> Result<Event, Broken> {
        let over = self.lease.over.clone();
        let (traced, called) = ((self.lease, self.video.trace), Called::of(&next, row));
        let out = async {
            let calling = self.call_out(row, next, opened);
            match called {
                Some(called) => {
                    traced::part(traced, (called.name, Kind::Client), calling, |out| called.said(out)).await
                }
                None => calling.await,
            }
        };
        tokio::select! {
            event = out => event,
            () = over.cancelled() => Err(Broken::Stopped),
        }
    }

    async fn call_out(&mut self, row: &Publication, next: Next, opened: &mut Opened) -> Result<Event, Broken> {
        Ok(match next {
            Next::AskCreatorInfo => self.ask_creator().await?,
            Next::SendInit => self.send_init(row).await,
            Next::Open { chunk } => self.open(row, chunk, opened).await?,
            Next::Put { chunk } => self.put(row, chunk, opened.take()).await?,
            Next::AskStatus => self.ask_status(row).await,
            Next::End(_) => return Err(Broken::Stopped),
        })
    }

    async fn ask_creator(&mut self) -> Result<Event, Broken> {
        let client = &self.publisher.client;
        let answered = self.with_token(|access| async move { client.creator_info(&access.token).await }).await;
        let (creator, access) = match answered {
            Ok((answered, access)) => (answered.value, access),
            Err(refusal) => return Ok(Event::CreatorRefuses(refusal)),
        };
        let tx = self.publisher.ledger.begin().await?;
        creator::learn(&tx, &self.video.account, &self.lease.row.creator, &creator).await?;
        tx.commit().await?;
        let (options, length) = (PostOptions::of(&self.video), creator::length(&self.video.probe));
        if let Err(Misfit { reason, .. }) = creator::fits(&options, &self.video.title, length, &creator) {
            return Ok(Event::CreatorRefuses(Refusal::ours(Class::NeedsChange, &reason.code, reason.text)));
        }
        self.creator = Some((creator, access));
        torture::at(Point::PublishPrepared);
        Ok(Event::CreatorAgrees)
    }

    /// Once for each intent, with the token that TikTok took a moment ago: every init needs permits of its own, so a 401
    /// is not answered by another init here, and no refresh comes between permits and init. It comes after, since creator
    /// info need not refuse the token that init has refused.
    async fn send_init(&self, row: &Publication) -> Event {
        let Some((creator, access)) = &self.creator else {
            return Event::InitRefused(Refusal::not_sent("the creator was not asked"));
        };
        if self.permit.is_none_or(|permit| permit.asked.elapsed() > self.publisher.permit_life(row.troubles)) {
            return Event::InitRefused(Refusal::not_sent("this process stood still until its permit was too old"));
        }
        let (client, plan): (_, ChunkPlan) = (&self.publisher.client, row.plan);
        let post: &PostInfo = &post::info(&self.video, creator);
        self.asked_with.store(access.version, Ordering::Relaxed);
        torture::soon(Point::PublishInitSent);
        match client.init(&access.token, post, plan.size, plan.chunk_size, plan.count).await {
            // The init before this one was refused in the same words, and its token was replaced since.
            Err(refusal)
                if refusal.class == Class::TokenExpired && self.refused_before.as_ref() == Some(&refusal.code) =>
            {
                self.withdraw(&refusal).await;
                Event::InitRefused(refusal.of_fresh_token())
            }
            Err(refusal) if refusal.class == Class::TokenExpired => {
                self.withdraw(&refusal).await;
                let fresh = self.publisher.tokens.access(&self.video.account, Some(access.version)).await;
                Event::InitRefused(fresh.err().unwrap_or(refusal))
            }
            Err(refusal) => {
                self.withdraw(&refusal).await;
                Event::InitRefused(refusal)
            }
            Ok(answered) => {
                torture::at(Point::PublishInitAnswered);
                let url = answered.value.upload_url.expose();
                match self.publisher.vault.seal_upload_url(&self.video.id.to_string(), url) {
                    Ok(sealed) => {
                        let publish_id = answered.value.publish_id;
                        Event::InitAnswered { publish_id, upload_url: sealed, date: answered.date }
                    }
                    // Nobody holds the URL then, so it counts as a lost answer.
                    Err(error) => Event::InitRefused(Refusal::answer_lost(error.to_string())),
                }
            }
        }
    }

    /// An init that was refused is no post of the creator's day. In doubt it stays one.
    async fn withdraw(&self, refusal: &Refusal) {
        let Some(permit) = self.permit.filter(|_| refusal.class != Class::OutcomeUnknown) else { return };
        let withdrawn = async {
            let tx = self.publisher.ledger.begin().await?;
            limit::withdraw(&tx, &self.lease.row.creator, permit.at).await?;
            tx.commit().await
        };
        if let Err(error) = withdrawn.await {
            error.tell("a refused init counts as a post of its account's day");
        }
    }

    async fn open(&self, row: &Publication, chunk: u32, opened: &mut Opened) -> Result<Event, Broken> {
        match self.rendition(row, chunk).await? {
            Ok(bytes) => {
                *opened = Some((chunk, bytes));
                Ok(Event::Opened { chunk })
            }
            Err(refusal) => Ok(Event::PutRefused { chunk, refusal }),
        }
    }

    /// Rule 4: only to the stored URL, from the frozen rendition.
    async fn put(&self, row: &Publication, chunk: u32, opened: Opened) -> Result<Event, Broken> {
        let refused = |refusal| Ok(Event::PutRefused { chunk, refusal });
        let sealed = row.upload_url.as_deref().unwrap_or_default();
        let unsealed = self.publisher.vault.open_upload_url(&self.video.id.to_string(), sealed);
        let url = match unsealed.map(|url| self.publisher.client.upload_url(url.expose_secret())) {
            Ok(Ok(url)) => url,
            Ok(Err(refusal)) => return refused(refusal),
            Err(error) => return refused(Refusal::not_sent(format!("the upload URL can't be opened: {error}"))),
        };
        let body = match opened {
            Some((number, body)) if number == chunk => body,
            _ => match self.rendition(row, chunk).await? {
                Ok(body) => body,
                Err(refusal) => return refused(refusal),
            },
        };
        torture::at(Point::PublishChunkBefore);
        let part = Chunk { first: row.plan.start(chunk), end: row.plan.end(chunk), total: row.plan.size };
        match self.publisher.client.put_chunk(&url, "video/mp4", part, body).await {
            Ok(answered) => {
                let complete = answered.value.complete;
                torture::at(if complete { Point::PublishCreated } else { Point::PublishChunkAfter });
                Ok(Event::PutAnswered { chunk, complete })
            }
            Err(refusal) => refused(refusal),
        }
    }

    /// A chunk's bytes, telling how far they are while they go.
    async fn rendition(&self, row: &Publication, chunk: u32) -> Result<Result<Bytestream, Refusal>, Broken> {
        let (first, end) = (row.plan.start(chunk), row.plan.end(chunk));
        let key = self.video.edited_key.as_deref().unwrap_or_default();
        if self.video.edited_sha256.as_deref() != Some(&row.content_hash) {
            let text = "the rendition is not the one that was frozen for this post";
            return Ok(Err(Refusal::ours(Class::Bug, "rendition_changed", text)));
        }
        let media = &self.publisher.media;
        let stream = match media.read(key, first..end).await {
            Ok(stream) => stream,
            Err(error @ MediaError::Missing(_)) => {
                return Err(Broken::Reason(Reason::new("object_missing", error.to_string())));
            }
            Err(error) => match store::pause(media).await {
                Some(pause) => return Err(Broken::Store(pause)),
                None => return Ok(Err(Refusal::not_sent(error.to_string()))),
            },
        };
        let (progress, size) = (self.lease.progress_sender(), row.plan.size);
        let mut sent = first;
        let told = stream
            .inspect(move |piece| {
                if let Ok(piece) = piece {
                    sent += u64::try_from(piece.len()).unwrap_or(0);
                    progress.raise(percent(sent, size));
                    if sent == size {
                        torture::soon(Point::PublishLastSent);
                    } else if sent >= first + (end - first) / 2 {
                        torture::at(Point::PublishChunkInside);
                    }
                }
            })
            .boxed();
        Ok(Ok(told))
    }

    async fn ask_status(&self, row: &Publication) -> Event {
        let client = &self.publisher.client;
        let publish_id = row.publish_id.as_deref().unwrap_or_default();
        let answered = self.with_token(|access| async move { client.status(&access.token, publish_id).await }).await;
        match answered {
            Ok((answered, _)) => {
                if answered.value.status == StatusKind::PublishComplete {
                    torture::at(Point::PublishCompleteSeen);
                }
                Event::StatusAnswered { status: answered.value, date: answered.date }
            }
            Err(refusal) => Event::StatusRefused(refusal),
        }
    }

    /// A 401 is never an outcome: a fresh token, and the call once more. Gives the token that was taken, too.
    async fn with_token<T, F>(&self, call: impl Fn(Access) -> F) -> Result<(T, Access), Refusal>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let account = &self.video.account;
        self.asked_with.store(0, Ordering::Relaxed);
        let access = self.publisher.tokens.access(account, None).await?;
        self.asked_with.store(access.version, Ordering::Relaxed);
        match call(access.clone()).await {
            Err(refusal) if refusal.class == Class::TokenExpired => {
                let fresh = self.publisher.tokens.access(account, Some(access.version)).await?;
                self.asked_with.store(fresh.version, Ordering::Relaxed);
                match call(fresh.clone()).await {
                    Err(again) if again.class == Class::TokenExpired => Err(again.of_fresh_token()),
                    other => other.map(|answered| (answered, fresh)),
                }
            }
            other => other.map(|answered| (answered, access)),
        }
    }

    /// What the rest of the fleet should know. Some: when what was closed opens.
    async fn tell(&self, tell: Tell) -> Result<Option<i64>, Broken> {
        let tx = self.publisher.ledger.begin().await?;
        let mut opens = None;
        match tell {
            Tell::Close { key, until, reason } => {
                let until = self.close(&tx, key, until, reason).await?;
                opens = Some(until);
            }
            Tell::Reconnect(reason) => {
                if let Some(account) = tx.account(&self.video.account).await? {
                    // A person may have connected it again since: what was refused is the pair that was used.
                    let version = match self.asked_with.load(Ordering::Relaxed) {
                        0 => account.token_version,
                        version => version,
                    };
                    tx.needs_reconnect(&account.id, version, &reason.text).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(opens)
    }

    async fn close(&self, tx: &Tx, key: Key, until: i64, reason: Reason) -> Result<i64, LedgerError> {
        let (account, creator) = (&self.video.account, &self.lease.row.creator);
        let (code, text) = (reason.code.clone(), reason.text.clone());
        let until = match key {
            Key::AccountDay => limit::close_day(tx, creator, until, reason).await?,
            Key::Account => {
                limit::close(tx, &limit::Key::Creator(creator.clone()), until, reason).await?;
                until
            }
            Key::Newcomers => {
                let (until, news) = limit::close_newcomers(tx, creator, until, reason).await?;
                if news {
                    let opens = shown(until);
                    tracing::warn!(%opens, "TikTok lets no more accounts post today; those that have posted go on, `accounts open --app` opens early: {text} ({code})");
                }
                until
            }
            Key::App | Key::All => {
                if limit::close(tx, &limit::Key::Publish, until, reason).await? {
                    let opens = shown(until);
                    tracing::warn!(%opens, "TikTok has closed posting for all accounts; `accounts open --app` opens early: {text} ({code})");
                }
                return Ok(until);
            }
        };
        tracing::info!(account.id = account, opens = %shown(until), "TikTok lets this account post no more for a while: {text} ({code})");
        Ok(until)
    }
}

fn shown(time: i64) -> String {
    chrono::DateTime::from_timestamp_millis(time).map(|time| time.to_rfc3339()).unwrap_or_default()
}

impl Publisher {
    /// How old a permit may be when its init is sent. TikTok counts by arrival: an init that comes late would stand in a
    /// window with those that were granted after it, so it has half of the windows' margin. Twice as long with every
    /// trouble: where all is slow all come late, and something must go.
    fn permit_life(&self, troubles: i64) -> Duration {
        let rates = [self.config.limit, self.config.limit_per_account];
        let margins = rates.into_iter().flatten().map(limit::margin);
        let patience = 1 << troubles.clamp(0, 10);
        margins.min().map_or(Duration::MAX, |margin| (margin / 2).max(LEAST_PERMIT_LIFE) * patience)
    }

    /// The limits of one init, stage and account together.
    pub(super) fn asks(&self, task: &TaskRow) -> [Ask; 2] {
        [
            Ask { key: limit::Key::Publish, rate: self.config.limit },
            Ask { key: limit::Key::Creator(task.creator.clone()), rate: self.config.limit_per_account },
        ]
    }

    /// Writes what a run left to be written with its settlement.
    pub(super) async fn write_end(&self, tx: &Tx, task: &TaskRow, ended: &Ended) -> Result<(), LedgerError> {
        let Some((seen, write)) = &ended.write else { return Ok(()) };
        // The task is settled in this transaction already, so its lease is shown by the token that settled it.
        match record::write_settled(tx, task, seen, write).await? {
            Written::Done => Ok(()),
            Written::Lost => Err(LedgerError::Conflict),
        }
    }
}

/// Bytes that are on their way are not yet a post: the bar ends when TikTok says so.
fn percent(sent: u64, size: u64) -> u8 {
    u8::try_from(sent.saturating_mul(95) / size.max(1)).unwrap_or(95)
}
