//! What is kept, for how long, and what goes with it.

use std::time::Duration;

use serde_json::{Value, json};
use subiteya::event::{Stage, TraceId, VideoId};
use subiteya::ledger::{Bytes, Ledger, Priority, Status, SystemClock, TaskRow, Video, VideoPatch};
use subiteya::media::{Media, captions_key, source_key, video_folder};
use subiteya::task::Task;
use subiteya::upkeep::{Removed, Retention, retain, sweep_at};

use crate::fixture::Server;
use crate::support::postgres::Postgres;

const HOUR: Duration = Duration::from_secs(3600);
const NOW: Duration = Duration::ZERO;

fn keep(source: Duration, result: Duration) -> Retention {
    Retention { source, result }
}

#[tokio::test]
async fn what_is_kept_long_enough_goes_bytes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let media = Media::local(&folder.path().join("objects")).expect("a store");
    let ledger = Ledger::open(&format!("sqlite://{}", folder.path().join("ledger.db").display())).await;
    retention_holds(&ledger.expect("a ledger"), &media).await;
}

#[tokio::test]
async fn it_goes_on_postgresql_too() {
    let postgres = Postgres::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let media = Media::local(&folder.path().join("objects")).expect("a store");
    retention_holds(&Ledger::open(&postgres.url()).await.expect("a ledger"), &media).await;
}

async fn retention_holds(ledger: &Ledger, media: &Media) {
    let statuses = [Status::Posted, Status::Failed, Status::Canceled, Status::NeedsReview, Status::Edited];
    let mut videos = Vec::new();
    for status in statuses {
        videos.push(ended(ledger, media, status).await);
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let turn = async |retention: Retention| retain(ledger, media, &retention).await.expect("retained");
    assert_eq!(turn(keep(HOUR, HOUR)).await, Removed::default());

    assert_eq!(turn(keep(NOW, HOUR)).await, Removed { sources: 3, results: 0, videos: 0 });
    for (&video, status) in videos.iter().zip(statuses) {
        let gone = matches!(status, Status::Posted | Status::Failed | Status::Canceled);
        assert_eq!(media.is_there(&source_key(video)).await.expect("asked"), !gone, "{status}");
        assert_eq!(media.is_there(&captions_key(video)).await.expect("asked"), !gone, "{status}");
        assert!(media.is_there(&result_key(video)).await.expect("asked"), "{status}");
        assert_eq!(ledger.is_given_up(video, Bytes::Source).await.expect("asked"), gone, "{status}");
        assert!(ledger.video(video).await.expect("read").is_some(), "{status}");
    }
    assert_eq!(turn(keep(NOW, HOUR)).await, Removed::default(), "once");

    // A process that dies between the mark and the deletion.
    let late = ended(ledger, media, Status::Posted).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let tx = ledger.begin().await.expect("begin");
    assert_eq!(tx.give_up(Bytes::Source, tx.now(), 10).await.expect("given up").0, 1);
    tx.commit().await.expect("commit");
    assert!(media.is_there(&source_key(late)).await.expect("asked"));
    let swept = sweep_at(ledger, media, "", SystemClock::now() + 3_600_000).await.expect("swept");
    assert_eq!((swept.objects, media.is_there(&source_key(late)).await.expect("asked")), (2, false));

    assert_eq!(turn(keep(NOW, NOW)).await, Removed { sources: 0, results: 4, videos: 4 });
    for (&video, status) in videos.iter().zip(statuses) {
        let kept = matches!(status, Status::NeedsReview | Status::Edited);
        assert_eq!(ledger.video(video).await.expect("read").is_some(), kept, "{status}");
        assert_eq!(ledger.history(video).await.expect("read").is_empty(), !kept, "{status}");
        assert_eq!(ledger.tasks_of(video).await.expect("read").is_empty(), !kept, "{status}");
        assert_eq!(media.is_there(&source_key(video)).await.expect("asked"), kept, "{status}");
    }
    let left = media.listed("videos", "", 1000).await.expect("listed");
    assert!(!left.iter().any(|listed| listed.key.starts_with(&video_folder(late))));
    assert_eq!(left.len(), 6, "what waits for a person, and what has not ended: {left:?}");
}

fn result_key(id: VideoId) -> String {
    format!("{}/edited-x.mp4", video_folder(id))
}

async fn ended(ledger: &Ledger, media: &Media, status: Status) -> VideoId {
    let id = VideoId::new();
    for key in [source_key(id), captions_key(id), result_key(id)] {
        media.put(&key, "bytes".into()).await.expect("put");
    }
    let tx = ledger.begin().await.expect("begin");
    let video = Video {
        captions_key: Some(captions_key(id)),
        edited_key: Some(result_key(id)),
        ..video(id, TraceId::new(), tx.now())
    };
    tx.insert_video(&video).await.expect("a video");
    let row = TaskRow {
        task: Task::new(id, Stage::Edit, tx.now()),
        account: video.account.clone(),
        creator: "creator".into(),
        priority: 1,
    };
    tx.insert_task(&row).await.expect("a task");
    tx.note(id, None, "uploaded", json!({})).await.expect("a line");
    tx.patch_video(id, VideoPatch { status: Some(status), ..VideoPatch::default() }).await.expect("ended");
    tx.commit().await.expect("commit");
    id
}

pub(crate) fn video(id: VideoId, trace: TraceId, now: i64) -> Video {
    Video {
        id,
        trace,
        user: "ann".into(),
        account: "conn_1".into(),
        title: "a clip".into(),
        options: json!({}),
        priority: Priority::Normal,
        publish_at: None,
        status: Status::Editing,
        progress: 0,
        source_key: source_key(id),
        source_size: 5,
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

#[tokio::test]
async fn a_video_whose_bytes_are_gone_says_so_and_one_that_is_tried_again_keeps_them() {
    let server = Server::start().await;
    let (ledger, media) = (&server.state.ledger, &server.state.media);
    let (gone, again) = (server.video().await, server.video().await);
    for id in [&gone, &again] {
        let canceled = server.post(&server.alice, &format!("/api/videos/{id}/cancel"), &json!({})).await;
        assert_eq!(canceled.status(), 200);
    }
    let tried = server.post(&server.alice, &format!("/api/videos/{again}/retry"), &json!({})).await;
    assert_eq!(tried.status(), 200);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let removed = retain(ledger, media, &keep(NOW, HOUR)).await.expect("retained");
    assert_eq!((removed.sources, removed.videos), (1, 0));

    let answer = server.get(&server.alice, &format!("/api/videos/{gone}/source")).await;
    assert_eq!(answer.status(), 410);
    let problem: Value = answer.json().await.expect("json");
    assert_eq!(problem["code"], "bytes_gone");
    let retried = server.post(&server.alice, &format!("/api/videos/{gone}/retry"), &json!({})).await;
    assert_eq!(retried.status(), 409);
    let problem: Value = retried.json().await.expect("json");
    assert_eq!(problem["code"], "bytes_gone");
    assert_eq!(server.get(&server.alice, &format!("/api/videos/{again}/source")).await.status(), 200);

    retain(ledger, media, &keep(NOW, NOW)).await.expect("retained");
    assert_eq!(server.get(&server.alice, &format!("/api/videos/{gone}")).await.status(), 404);
    assert_eq!(server.objects().len(), 1, "only the one that was tried again: {:?}", server.objects());
}
