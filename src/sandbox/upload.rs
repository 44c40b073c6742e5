//! `PUT` of a chunk. Its bytes stream to a file of their own and count only when all of them are there and it is still the
//! chunk that is due: then the file takes its place in the video's folder and the journal says so. What breaks on the way leaves
//! nothing. The post is made by the step that stores the last chunk.

use std::path::Path;
use std::sync::PoisonError;

use axum::response::IntoResponse;
use futures::StreamExt;
use http::{StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};

use super::answer::Refusal;
use super::app::App;
use super::call::{Done, Received};
use super::creator::hex;
use super::direct_post::fate_asked_for;
use super::fault::Action;
use super::journal::{Completed, Entry};
use super::options::{AfterComplete, RangeAnswer, StoredAgain};
use super::record::{Post, time};
use super::state::State;
use super::task::{Fate, PUBLISH_ID_PREFIX, Task};

/// What a PUT says it is: bytes `first` to `last`, both included.
#[derive(Clone, Copy)]
struct Range {
    first: u64,
    last: u64,
}

enum Place {
    /// This chunk is due.
    Due,
    /// Nothing is to be stored, and this is the answer.
    Answered(Done),
}

pub(super) async fn put(app: &App, received: &mut Received) -> Result<Done, Refusal> {
    let checked = check(app, received);
    let (task, range) = match checked {
        Ok((task, range, Place::Due)) => (task, range),
        Ok((_, _, Place::Answered(done))) => {
            received.drain().await;
            return Ok(done);
        }
        Err(refusal) => {
            received.drain().await;
            return Err(refusal);
        }
    };
    let folder = app.video_folder(task.digits());
    let index = range.first / task.plan.chunk_size;
    let temporary = folder.join(format!("{index:04}.{:016x}.part", rand::random::<u64>()));
    tokio::fs::create_dir_all(&folder).await.map_err(Refusal::internal)?;
    let stored = store(app, received, &task, range, &folder, &temporary).await;
    if !matches!(stored, Ok(Some(_))) {
        // Gone already, where it was stored.
        drop(tokio::fs::remove_file(&temporary).await);
    }
    stored.map(|done| done.unwrap_or(Done::Cut))
}

/// Everything that can be said before the body. A task's URL that a fault expires is dead from here on.
fn check(app: &App, received: &mut Received) -> Result<(Task, Range, Place), Refusal> {
    let uri = &received.parts.uri;
    let digits = uri.path().strip_prefix("/upload/").unwrap_or_default();
    let publish_id = format!("{PUBLISH_ID_PREFIX}{digits}");
    let query = uri.query().unwrap_or_default().as_bytes();
    let token = url::form_urlencoded::parse(query).find(|(name, _)| name == "upload_token").map(|(_, value)| value);
    received.call.range = received.header("content-range").map(str::to_owned);
    let known = app.look(|state, _| {
        let task = state.tasks.get(&publish_id);
        task.filter(|task| token.as_deref() == Some(task.upload_token.as_str())).map(|task| task.open_id.clone())
    });
    let open_id =
        known.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "404", "No such upload").rule("upload_url"))?;
    received.call.open_id = Some(open_id);
    received.call.publish_id = Some(publish_id.clone());
    if matches!(received.action, Some(Action::ExpireUrl)) {
        app.step(|_, now| Ok((vec![Entry::Expired { publish_id: publish_id.clone(), at: now }], ())))?;
    }
    let declared = declared(received);
    app.look(|state, now| {
        let task = state.tasks.get(&publish_id).ok_or_else(|| Refusal::internal("a task got lost"))?;
        if let Some(place) = ended(app, task, now)? {
            return Ok((task.clone(), Range { first: 0, last: 0 }, place));
        }
        let (range, total) = declared?;
        if total != task.plan.video_size {
            return Err(bad("range_total", "The total of Content-Range is not the video_size of the init"));
        }
        let place = place(app, task, range)?;
        Ok((task.clone(), range, place))
    })
}

fn bad(rule: &'static str, message: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "400", message).rule(rule)
}

/// The headers of a PUT.
fn declared(received: &Received) -> Result<(Range, u64), Refusal> {
    if received.parts.headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(bad("transfer_encoding", "A chunk has a Content-Length and no Transfer-Encoding"));
    }
    let length = received.header("content-length").and_then(|value| value.parse::<u64>().ok());
    let length = length.ok_or_else(|| bad("content_length", "The Content-Length is missing"))?;
    if !matches!(received.content_type().as_str(), "video/mp4" | "video/quicktime" | "video/webm") {
        return Err(bad("content_type", "The Content-Type is not video/mp4, video/quicktime or video/webm"));
    }
    let range = received.header("content-range").and_then(parse_range);
    let (range, total) =
        range.ok_or_else(|| bad("content_range", "The Content-Range is not `bytes FIRST-LAST/TOTAL`"))?;
    if range.last - range.first + 1 != length {
        return Err(bad("range_length", "The Content-Range and the Content-Length differ"));
    }
    Ok((range, total))
}

fn parse_range(value: &str) -> Option<(Range, u64)> {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (range, total) = (Range { first: number(first)?, last: number(last)? }, number(total)?);
    (range.first <= range.last && range.last < total).then_some((range, total))
}

/// The answer of a task that takes no more bytes.
fn ended(app: &App, task: &Task, now: i64) -> Result<Option<Place>, Refusal> {
    if task.completed_at.is_some() {
        let refusal = match app.options.readings.after_complete {
            AfterComplete::NotFound => Refusal::new(StatusCode::NOT_FOUND, "404", "The upload is complete"),
            AfterComplete::Forbidden => Refusal::new(StatusCode::FORBIDDEN, "403", "The upload is complete"),
            AfterComplete::RangeNotSatisfiable => not_satisfiable(app, task, "The upload is complete"),
            AfterComplete::Created => return Ok(Some(Place::Answered(progress(app, task, StatusCode::CREATED)))),
        };
        return Err(refusal);
    }
    if now >= task.expires_at {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "403", "The upload_url has expired"));
    }
    Ok(None)
}

/// Whether a range is the chunk that is due.
fn place(app: &App, task: &Task, range: Range) -> Result<Place, Refusal> {
    let Some((_, last)) = task.plan.chunk_at(range.first).filter(|(_, last)| *last == range.last) else {
        return Err(bad("chunk_plan", "The Content-Range is not a chunk of the plan given at init"));
    };
    if range.first > task.uploaded {
        return Err(not_satisfiable(app, task, "Chunks come strictly one after another").rule("chunk_order"));
    }
    if last < task.uploaded {
        // Nothing wrong with that: the answer may have been lost.
        return match app.options.readings.stored_again {
            StoredAgain::Refused => Err(not_satisfiable(app, task, "This chunk is stored")),
            StoredAgain::Accepted => Ok(Place::Answered(progress(app, task, StatusCode::PARTIAL_CONTENT))),
        };
    }
    Ok(Place::Due)
}

fn not_satisfiable(app: &App, task: &Task, message: &'static str) -> Refusal {
    let mut refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "416", message);
    refusal.content_range = Some(content_range(app, task));
    refusal
}

fn progress(app: &App, task: &Task, status: StatusCode) -> Done {
    Done::Whole((status, [(header::CONTENT_RANGE, content_range(app, task))]).into_response())
}

fn content_range(app: &App, task: &Task) -> String {
    let uploaded = match app.options.readings.range_answer {
        RangeAnswer::Count => task.uploaded,
        RangeAnswer::LastIndex => task.uploaded.saturating_sub(1),
    };
    format!("bytes 0-{uploaded}/{}", task.plan.video_size)
}

/// Takes the body and stores it; `None`: a fault cut it in the middle.
async fn store(
    app: &App,
    received: &mut Received,
    task: &Task,
    range: Range,
    folder: &Path,
    temporary: &Path,
) -> Result<Option<Done>, Refusal> {
    let hash = hash_before(app, task, range.first, folder).await?;
    let Some(hash) = receive(app, received, range, temporary, hash).await? else { return Ok(None) };
    if let Some(Action::Delay(delay)) = &received.action {
        tokio::time::sleep(*delay).await;
    }
    let index = range.first / task.plan.chunk_size;
    let first_chunk = if index == 0 { temporary.to_owned() } else { folder.join("0000") };
    let head = head(&first_chunk).await.map_err(Refusal::internal)?;
    let fate = fate_asked_for(received.action.as_ref());
    let (task, place) = app.step(|state, now| {
        let task = state.tasks.get(&task.publish_id).ok_or_else(|| Refusal::internal("a task got lost"))?;
        // Another PUT, or the end of the hour, may have come in between.
        if let Some(place) = ended(app, task, now)? {
            return Ok((vec![], (task.clone(), place)));
        }
        if let Place::Answered(done) = place(app, task, range)? {
            return Ok((vec![], (task.clone(), Place::Answered(done))));
        }
        std::fs::rename(temporary, folder.join(format!("{index:04}"))).map_err(Refusal::internal)?;
        let after =
            Task { uploaded: range.last + 1, fate: fate.clone().unwrap_or_else(|| task.fate.clone()), ..task.clone() };
        let complete = after.is_complete().then(|| complete(app, state, &after, &hash, head, now));
        let publish_id = after.publish_id.clone();
        let mut entries: Vec<_> =
            fate.map(|fate| Entry::Fate { publish_id: publish_id.clone(), fate }).into_iter().collect();
        entries.push(Entry::Chunk { publish_id, uploaded: after.uploaded, at: now, completed: complete });
        Ok((entries, (after, Place::Due)))
    })?;
    if let Place::Answered(done) = place {
        return Ok(Some(done));
    }
    app.sync().await?;
    if app.options.fsync {
        // The chunk's name, too.
        let folder = tokio::fs::File::open(folder).await.map_err(Refusal::internal)?;
        folder.sync_all().await.map_err(Refusal::internal)?;
    }
    remember(app, &task, hash);
    if task.is_complete() && !app.options.keep_videos {
        // A second PUT may be writing there; the post is made all the same.
        if let Err(error) = tokio::fs::remove_dir_all(folder).await {
            tracing::warn!(%error, "could not remove the chunks of a finished upload");
        }
    }
    let status = if task.is_complete() { StatusCode::CREATED } else { StatusCode::PARTIAL_CONTENT };
    Ok(Some(progress(app, &task, status)))
}

/// Streams the body to the file and through the hash; `None`: a fault cut it in the middle.
async fn receive(
    app: &App,
    received: &mut Received,
    range: Range,
    temporary: &Path,
    mut hash: Sha256,
) -> Result<Option<Sha256>, Refusal> {
    let length = range.last - range.first + 1;
    let stop_at = matches!(received.action, Some(Action::CutMid)).then_some(length / 2);
    let file = tokio::fs::File::create(temporary).await.map_err(Refusal::internal)?;
    let mut file = BufWriter::with_capacity(256 << 10, file);
    let mut frames = std::mem::take(&mut received.body).into_data_stream();
    loop {
        if stop_at.is_some_and(|stop| received.call.bytes >= stop) {
            return Ok(None);
        }
        let frame = tokio::select! {
            frame = frames.next() => frame,
            () = app.closing.cancelled() => return Ok(None),
        };
        let Some(Ok(bytes)) = frame else { break };
        received.call.bytes += bytes.len() as u64;
        hash.update(&bytes);
        file.write_all(&bytes).await.map_err(Refusal::internal)?;
    }
    if received.call.bytes != length {
        // The client broke off; it gets to read this only where the connection still lives.
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "400", "The body ended early"));
    }
    file.flush().await.map_err(Refusal::internal)?;
    if app.options.fsync {
        file.get_ref().sync_data().await.map_err(Refusal::internal)?;
    }
    Ok(Some(hash))
}

fn remember(app: &App, task: &Task, hash: Sha256) {
    let mut hashes = app.hashes.lock().unwrap_or_else(PoisonError::into_inner);
    if task.is_complete() {
        hashes.remove(&task.publish_id);
    } else {
        hashes.insert(task.publish_id.clone(), (task.uploaded, hash));
    }
}

/// What becomes of a task with its last byte.
fn complete(app: &App, state: &State, task: &Task, hash: &Sha256, head: [u8; 12], now: i64) -> Completed {
    let sha256 = hex(&hash.clone().finalize());
    let content_type = content_type(&head);
    let capped = state.posts_of_the_day(&task.open_id, false, now) >= app.options.limits.posts_per_day;
    let fate = match &task.fate {
        Fate::Publish if content_type.is_none() => Fate::Fail("file_format_check_failed".into()),
        Fate::Publish if capped => Fate::Fail("spam_risk_too_many_posts".into()),
        fate => fate.clone(),
    };
    let post = content_type.filter(|_| fate == Fate::Publish).map(|content_type| Post {
        publish_id: task.publish_id.clone(),
        open_id: task.open_id.clone(),
        title: task.title.clone(),
        privacy_level: task.privacy_level.clone(),
        sha256: sha256.clone(),
        size: task.plan.video_size,
        content_type: content_type.into(),
        time: time(now),
    });
    Completed { fate, sha256, post }
}

/// What a file is by its first bytes: an `ftyp` box, or WebM's EBML header.
fn content_type(head: &[u8; 12]) -> Option<&'static str> {
    match (&head[..4], &head[4..8], &head[8..]) {
        (_, b"ftyp", b"qt  ") => Some("video/quicktime"),
        (_, b"ftyp", _) => Some("video/mp4"),
        ([0x1a, 0x45, 0xdf, 0xa3], _, _) => Some("video/webm"),
        _ => None,
    }
}

async fn head(path: &Path) -> std::io::Result<[u8; 12]> {
    let mut head = Vec::with_capacity(12);
    tokio::fs::File::open(path).await?.take(12).read_to_end(&mut head).await?;
    head.resize(12, 0);
    Ok(head.try_into().unwrap_or_default())
}

/// The hash of the bytes before `first`: from memory, or from the stored chunks after a restart.
async fn hash_before(app: &App, task: &Task, first: u64, folder: &Path) -> Result<Sha256, Refusal> {
    if first == 0 {
        return Ok(Sha256::new());
    }
    let cached = app.hashes.lock().unwrap_or_else(PoisonError::into_inner).get(&task.publish_id).cloned();
    if let Some((_, hash)) = cached.filter(|(hashed, _)| *hashed == first) {
        return Ok(hash);
    }
    let chunks = (0..first / task.plan.chunk_size).map(|index| folder.join(format!("{index:04}"))).collect::<Vec<_>>();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        for chunk in chunks {
            let mut file = std::fs::File::open(chunk)?;
            loop {
                let read = std::io::Read::read(&mut file, &mut buffer)?;
                if read == 0 {
                    break;
                }
                hash.update(&buffer[..read]);
            }
        }
        Ok::<_, std::io::Error>(hash)
    });
    hashed.await.map_err(Refusal::internal)?.map_err(Refusal::internal)
}
