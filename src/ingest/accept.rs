//! After the last byte: durable, probed, committed, released.

use std::time::Instant;

use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::check::probe;
use super::draft::About;
use super::form::Wish;
use super::{Refusal, Uploader, whole_brand};
use crate::access::hex;
use crate::creator;
use crate::event::{Stage, TraceId, VideoId};
use crate::ledger::{Account, Ledger, Role, Status, TaskRow, Video};
use crate::media::{self, Media, Stored, Upload};
use crate::metrics::metrics;
use crate::task::Task;
use crate::torture::{self, Point};
use crate::trace::{self, Kind, Parent, Span, SpanId, Told};

/// How long an `Idempotency-Key` is remembered.
const KEY_LIFE_MS: i64 = 24 * 3600 * 1000;

/// A video that is in the ledger now, or was already.
#[derive(Debug)]
pub struct Accepted {
    pub video: Video,
    /// An earlier request with the same `Idempotency-Key` made it.
    pub repeated: bool,
}

/// Objects that no row names yet: deleted unless they are kept.
struct Staged {
    media: Media,
    id: VideoId,
    kept: bool,
}

impl Staged {
    async fn delete(mut self) {
        self.kept = true;
        delete(&self.media, self.id).await;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (media, id) = (self.media.clone(), self.id);
            runtime.spawn(async move { delete(&media, id).await });
        }
    }
}

async fn delete(media: &Media, id: VideoId) {
    for key in [media::source_key(id), media::captions_key(id)] {
        if let Err(error) = media.delete(&key).await {
            tracing::warn!(video.id = %id, %error, "a refused upload's bytes could not be deleted; the sweep will");
        }
    }
}

/// What a request was about, so that a repeated key can be told from a reused one.
struct Request {
    key: Option<String>,
    fingerprint: String,
    user: String,
}

pub(super) async fn accept(
    upload: Upload,
    mut about: About,
    mut wish: Wish,
    key: Option<String>,
) -> Result<Accepted, Refusal> {
    let (ingest, traced) = (about.ingest.clone(), (about.began, about.parent));
    let _turn = ingest.turns.acquire().await;
    let account = account(&ingest.ledger, &about.uploader, &wish.account).await?;
    if let Some(brand) = wish.brand.take() {
        let image = account.watermark_key.as_deref().and_then(media::watermark_name);
        wish.brand = Some(whole_brand(brand, image).map_err(Refusal::Content)?);
    }
    let staged = Staged { media: ingest.media.clone(), id: about.id, kept: false };
    let captions = about.captions.take().filter(|bytes| !bytes.is_empty());
    let stored = match upload.finish().await {
        Ok(stored) => stored,
        Err(error) => {
            staged.delete().await;
            return Err(error.into());
        }
    };
    torture::at(Point::IngestStored);
    let fingerprint = fingerprint(&about, &stored, captions.as_deref());
    let request = Request { key, fingerprint, user: about.uploader.user.clone() };
    let done = match earlier(&ingest.ledger, &request).await {
        Ok(None) => {
            torture::at(Point::IngestHashed);
            commit(&about, wish, account, stored, captions, &request).await
        }
        Ok(Some(video)) => Ok(Accepted { video, repeated: true }),
        Err(refusal) => Err(refusal),
    };
    match done {
        Ok(Accepted { video, repeated: false }) => {
            let mut staged = staged;
            staged.kept = true;
            metrics().uploaded(u64::try_from(video.source_size).unwrap_or(0));
            tracing::info!(video.id = %video.id, trace = %video.trace, size = video.source_size, "accepted an upload");
            trace::tell(|| Told::Span(Box::new(span(&video, traced))));
            Ok(Accepted { video, repeated: false })
        }
        Err(Refusal::Uncertain(error)) => {
            let mut staged = staged;
            staged.kept = true;
            tracing::error!(video.id = %staged.id, %error, "an upload's commit was not answered");
            Err(Refusal::Uncertain(error))
        }
        other => {
            staged.delete().await;
            other
        }
    }
}

async fn commit(
    about: &About,
    wish: Wish,
    account: Account,
    stored: Stored,
    captions: Option<Vec<u8>>,
    request: &Request,
) -> Result<Accepted, Refusal> {
    let ingest = &about.ingest;
    let probe = probe(&ingest.media, &ingest.tools, &media::source_key(about.id)).await?;
    let now = ingest.ledger.now().await?;
    if let Some(creator) = creator::recent(&ingest.ledger, &account.open_id, now).await? {
        creator::fits(&wish.options, &wish.title, creator::length(&probe), &creator).map_err(Refusal::Unfit)?;
    }
    let captions_key = match captions {
        Some(bytes) => {
            let key = media::captions_key(about.id);
            ingest.media.put(&key, Bytes::from(bytes)).await?;
            Some(key)
        }
        None => None,
    };
    let tx = ingest.ledger.begin().await?;
    let video = Video {
        id: about.id,
        trace: about.parent.map_or_else(TraceId::new, |parent| parent.trace),
        user: account.user.clone(),
        account: account.id.clone(),
        title: wish.title,
        options: serde_json::to_value(&wish.options).unwrap_or_default(),
        priority: wish.priority,
        publish_at: wish.publish_at,
        status: Status::EditingQueued,
        progress: 0,
        source_key: media::source_key(about.id),
        source_size: i64::try_from(stored.size).unwrap_or(i64::MAX),
        source_sha256: stored.sha256,
        captions_key,
        brand: wish.brand,
        probe,
        edited_key: None,
        edited_size: None,
        edited_sha256: None,
        thumbnail_key: None,
        post_ids: Vec::new(),
        post_url: None,
        reason: None,
        created_at: tx.now(),
        updated_at: tx.now(),
        ended_at: None,
    };
    if let Some(key) = &request.key {
        let since = tx.now() - KEY_LIFE_MS;
        if !tx.remember_request(&request.user, key, &request.fingerprint, video.id, since).await? {
            // A request with the same key was committed while this one was on its way.
            drop(tx);
            let video = earlier(&ingest.ledger, request).await?.ok_or(Refusal::KeyReused)?;
            return Ok(Accepted { video, repeated: true });
        }
    }
    tx.insert_video(&video).await?;
    let task = Task::new(video.id, Stage::Edit, tx.now());
    let row = TaskRow { task, account: account.id, creator: account.open_id, priority: video.priority.as_number() };
    tx.insert_task(&row).await?;
    let detail = json!({ "size": stored.size, "sha256": video.source_sha256 });
    tx.note(video.id, None, "uploaded", detail).await?;
    let released = ingest.dispatch.release(&tx, Stage::Edit).await?;
    torture::at(Point::IngestWriting);
    tx.commit().await.map_err(
        |error| {
            if error.was_answered() { Refusal::Ledger(error) } else { Refusal::Uncertain(error) }
        },
    )?;
    torture::at(Point::IngestCommitted);
    ingest.dispatch.append(&released).await;
    Ok(Accepted { video, repeated: false })
}

/// The root of the video's trace, from the request's beginning to the ledger's time of the commit.
fn span(video: &Video, (began, parent): (Instant, Option<Parent>)) -> Span {
    let end = video.created_at * 1000;
    let took = i64::try_from(began.elapsed().as_micros()).unwrap_or(0);
    Span {
        trace: video.trace,
        id: SpanId::upload(video.id),
        parent: parent.map(|parent| parent.span),
        name: "upload".to_owned(),
        kind: Kind::Server,
        start: end - took,
        end,
        attributes: vec![
            ("video.id", video.id.to_string().into()),
            ("http.request.method", "POST".into()),
            ("http.route", "/api/videos".into()),
            ("http.response.status_code", 201.into()),
            ("bytes", video.source_size.into()),
        ],
        error: None,
    }
}

/// The account, if this uploader may post as it.
pub(super) async fn account(ledger: &Ledger, uploader: &Uploader, id: &str) -> Result<Account, Refusal> {
    // PostgreSQL refuses a NUL in what it is asked, and no id holds one.
    let found = if id.contains('\0') { None } else { ledger.account(id).await? };
    found.filter(|account| uploader.role == Role::Operator || account.user == uploader.user).ok_or_else(|| {
        let shown: String = id.chars().take(64).collect();
        let text = format!("there is no account {shown:?}; GET /api/accounts lists yours");
        Refusal::content("unknown_account", text)
    })
}

/// The video of an earlier request with this key, if it was the same request.
async fn earlier(ledger: &Ledger, request: &Request) -> Result<Option<Video>, Refusal> {
    let Some(key) = &request.key else { return Ok(None) };
    let since = ledger.now().await? - KEY_LIFE_MS;
    let Some((fingerprint, id)) = ledger.idempotent(&request.user, key, since).await? else { return Ok(None) };
    if fingerprint != request.fingerprint {
        return Err(Refusal::KeyReused);
    }
    Ok(ledger.video(id).await?)
}

fn fingerprint(about: &About, stored: &Stored, captions: Option<&[u8]>) -> String {
    let mut hash = Sha256::new();
    hash.update(stored.sha256.as_bytes());
    hash.update(Sha256::digest(captions.unwrap_or_default()));
    for (name, value) in &about.fields {
        for part in [name, value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    hex(&hash.finalize())
}
