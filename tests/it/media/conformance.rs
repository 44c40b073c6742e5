//! One suite for both stores. Each promise has keys of its own, so all run on one server.

use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use subiteya::event::{LeaseToken, VideoId};
use subiteya::media::{
    Media, MediaError, PART, captions_key, rendition_key, source_key, thumbnail_key, video_folder, watermark_key,
};

use crate::support::eventually;
use crate::support::s3::S3Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_every_promise() {
    let folder = tempfile::tempdir().expect("a folder");
    let media = Media::local(&folder.path().join("objects")).expect("a store");
    every_promise(&media).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_every_promise() {
    let server = S3Server::start().await;
    let media = Media::s3(&server.settings()).expect("a store");
    every_promise(&media).await;
}

async fn every_promise(media: &Media) {
    media.check().await.expect("it answers");
    every_size_comes_back(media).await;
    ranges_are_what_was_asked_for(media).await;
    what_is_broken_off_leaves_nothing(media).await;
    what_is_there_is_never_replaced(media).await;
    of_two_writers_one_wins_as_a_whole(media).await;
    what_is_missing_is_said_to_be(media).await;
    a_folder_goes_with_all_that_is_in_it(media).await;
    a_listing_is_in_order_and_goes_on_where_it_ended(media).await;
    an_object_can_be_had_as_a_file(media).await;
    keys_lead_nowhere_else(media).await;
}

/// Bytes that tell their places apart.
fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at / 1021 + at) % 251).unwrap()).collect()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn written(media: &Media, key: &str, bytes: &[u8]) -> Result<(), MediaError> {
    let mut upload = media.upload(key).await?;
    for piece in bytes.chunks(300_000) {
        upload.write(piece).await?;
    }
    let stored = upload.finish().await?;
    assert_eq!((stored.size, stored.sha256), (bytes.len() as u64, hash(bytes)));
    Ok(())
}

async fn holds(media: &Media, key: &str, bytes: &[u8]) {
    assert_eq!(media.size(key).await.expect("it is there"), bytes.len() as u64);
    assert!(media.read_all(key).await.expect("read") == bytes, "{key} of {} bytes", bytes.len());
}

async fn every_size_comes_back(media: &Media) {
    for size in [0, 1, PART - 1, PART, PART + 1, 3 * PART] {
        let (video, bytes) = (VideoId::new(), bytes(size));
        written(media, &source_key(video), &bytes).await.expect("written");
        holds(media, &source_key(video), &bytes).await;
        if size <= PART {
            let stored = media.put(&captions_key(video), bytes.clone().into()).await.expect("put");
            assert_eq!((stored.size, stored.sha256), (size as u64, hash(&bytes)));
            holds(media, &captions_key(video), &bytes).await;
        }
    }
    assert!(media.open_uploads("videos").await.expect("listed").is_empty());
}

async fn ranges_are_what_was_asked_for(media: &Media) {
    let (key, bytes) = (source_key(VideoId::new()), bytes(2 * PART + 7));
    written(media, &key, &bytes).await.expect("written");
    let (part, end) = (PART as u64, bytes.len() as u64);
    for range in [0..1, 0..10, part - 5..part + 5, end - 7..end, end - 1..end + 100, 3..3] {
        let pieces: Vec<_> = media.read(&key, range.clone()).await.expect("read").try_collect().await.expect("bytes");
        let last = usize::try_from(range.end.min(end)).unwrap();
        assert_eq!(pieces.concat(), &bytes[usize::try_from(range.start).unwrap()..last], "{range:?}");
    }
    assert!(media.read(&key, end..end + 1).await.is_err(), "there is nothing behind the end");
}

async fn what_is_broken_off_leaves_nothing(media: &Media) {
    let nothing = |video: VideoId| async move {
        let listed = media.listed("videos", "", 10_000).await.expect("listed");
        let open = media.open_uploads("videos").await.expect("listed");
        open.is_empty() && !listed.iter().any(|listed| listed.key.starts_with(&video_folder(video)))
    };
    for size in [10, PART + 1, 2 * PART + PART / 2] {
        let video = VideoId::new();
        let mut upload = media.upload(&source_key(video)).await.expect("begun");
        upload.write(&bytes(size)).await.expect("taken");
        upload.abort().await;
        assert!(upload.write(b"more").await.is_err(), "it has ended");
        assert!(nothing(video).await, "aborted after {size}");
        let mut upload = media.upload(&source_key(video)).await.expect("begun");
        upload.write(&bytes(size)).await.expect("taken");
        drop(upload);
        eventually("what was dropped is gone", Duration::from_secs(10), || nothing(video)).await;
    }
}

/// A late worker's write of the same key, though keys that name leases leave none.
async fn what_is_there_is_never_replaced(media: &Media) {
    for size in [10, PART + 1] {
        let (video, run) = (VideoId::new(), LeaseToken::new());
        let (key, first) = (rendition_key(video, run), bytes(size));
        written(media, &key, &first).await.expect("written");
        let late = written(media, &key, &vec![0; size]).await;
        assert!(matches!(late, Err(MediaError::Exists(_))), "{late:?}");
        let whole = media.put(&key, vec![1; 3].into()).await;
        assert!(matches!(whole, Err(MediaError::Exists(_))), "{whole:?}");
        holds(media, &key, &first).await;
        written(media, &rendition_key(video, LeaseToken::new()), &vec![0; size]).await.expect("its own key");
        holds(media, &key, &first).await;
    }
    let key = watermark_key("abc");
    media.put(&key, "the same".into()).await.expect("put");
    media.put(&key, "the same".into()).await.expect("the same once more is no error");
    assert!(media.open_uploads("videos").await.expect("listed").is_empty());
}

async fn of_two_writers_one_wins_as_a_whole(media: &Media) {
    for size in [1000, PART + 1] {
        let key = thumbnail_key(VideoId::new(), LeaseToken::new());
        let both = [vec![1; size], vec![2; size]];
        let (one, other) = tokio::join!(written(media, &key, &both[0]), written(media, &key, &both[1]));
        let won = usize::from(one.is_ok()) + usize::from(other.is_ok());
        // A folder's rename knows no condition, so of two that end in one moment the later one stays.
        assert!(won == 1 || (won == 2 && media.file(&key).is_some()), "{one:?} {other:?}");
        let there = media.read_all(&key).await.expect("read");
        assert!(both.iter().any(|one| there == one), "a mixture");
    }
}

async fn what_is_missing_is_said_to_be(media: &Media) {
    let key = source_key(VideoId::new());
    let copy = tempfile::tempdir().expect("a folder");
    let missing = |error: MediaError| matches!(error, MediaError::Missing(_));
    assert!(missing(media.size(&key).await.expect_err("missing")));
    assert!(missing(media.read(&key, 0..1).await.err().expect("missing")));
    assert!(missing(media.read_all(&key).await.expect_err("missing")));
    assert!(missing(media.as_file(&key, &copy.path().join("copy")).await.expect_err("missing")));
    assert!(!media.is_there(&key).await.expect("asked"));
    media.delete(&key).await.expect("no error");
    media.put(&key, "here".into()).await.expect("put");
    media.delete(&key).await.expect("deleted");
    media.delete(&key).await.expect("no error");
    assert!(!media.is_there(&key).await.expect("asked"));
}

async fn a_folder_goes_with_all_that_is_in_it(media: &Media) {
    let (video, other) = (VideoId::new(), VideoId::new());
    for key in [source_key(video), captions_key(video), source_key(other)] {
        media.put(&key, "x".into()).await.expect("put");
    }
    media.delete_folder(&video_folder(video)).await.expect("deleted");
    media.delete_folder(&video_folder(video)).await.expect("no error");
    assert!(!media.is_there(&source_key(video)).await.expect("asked"));
    assert!(!media.is_there(&captions_key(video)).await.expect("asked"));
    assert!(media.is_there(&source_key(other)).await.expect("asked"));
}

async fn a_listing_is_in_order_and_goes_on_where_it_ended(media: &Media) {
    let begin = media.listed("videos", "", 10_000).await.expect("listed");
    let after = begin.last().map_or(String::new(), |listed| listed.key.clone());
    let mut keys = Vec::new();
    for _ in 0..5 {
        let video = VideoId::new();
        keys.extend([captions_key(video), source_key(video)]);
    }
    keys.sort();
    for key in &keys {
        media.put(key, "x".into()).await.expect("put");
    }
    let (mut found, mut place) = (Vec::new(), after);
    loop {
        let page = media.listed("videos", &place, 3).await.expect("listed");
        let Some(last) = page.last() else { break };
        place = last.key.clone();
        found.extend(page);
    }
    assert_eq!(found.iter().map(|listed| listed.key.as_str()).collect::<Vec<_>>(), keys);
    let now = subiteya::ledger::SystemClock::now();
    assert!(found.iter().all(|listed| (listed.written - now).abs() < 600_000), "{found:?}");
    media.delete_listed(&found[0]).await.expect("deleted");
    media.delete_listed(&found[0]).await.expect("no error");
    assert!(!media.is_there(&keys[0]).await.expect("asked"));
}

async fn an_object_can_be_had_as_a_file(media: &Media) {
    let folder = tempfile::tempdir().expect("a folder");
    let (key, bytes) = (source_key(VideoId::new()), bytes(PART + 9));
    let given = folder.path().join("given");
    std::fs::write(&given, &bytes).expect("written");
    let stored = media.put_file(&key, &given).await.expect("stored");
    assert_eq!((stored.size, stored.sha256), (bytes.len() as u64, hash(&bytes)));
    let copy = folder.path().join("copy");
    let file = media.as_file(&key, &copy).await.expect("a file");
    assert!(std::fs::read(&file).expect("read") == bytes);
    match media.file(&key) {
        Some(in_place) => assert!(file == in_place && !copy.exists(), "read where it lies"),
        None => assert_eq!(file, copy),
    }
    let nowhere = media.as_file(&key, Path::new("/proc/copy")).await;
    assert!(nowhere.is_ok() == media.file(&key).is_some());
}

async fn keys_lead_nowhere_else(media: &Media) {
    for key in ["../x", "videos/../../x", "videos//x"] {
        let refused = media.put(key, "x".into()).await;
        assert!(matches!(refused, Err(MediaError::Refused(_))), "{key}: {refused:?}");
    }
}
