//! What is S3's own: who is no S3, what was left open, what knows no conditions.

use std::time::Duration;

use rustix::process::Signal;
use subiteya::event::{LeaseToken, Stage, TraceId, VideoId};
use subiteya::ledger::{Ledger, SystemClock};
use subiteya::media::{Media, MediaError, PART, S3, rendition_key, source_key};
use subiteya::upkeep;

use super::stub;
use crate::support::fleet::Fleet;
use crate::support::s3::S3Server;
use crate::support::servers::free_port;

async fn checked(settings: &S3) -> Result<(), MediaError> {
    let check = async { Media::s3(settings)?.check().await };
    tokio::time::timeout(Duration::from_secs(5), check).await.expect("said at once")
}

#[tokio::test]
async fn whoever_is_no_s3_is_told_from_one_that_is_away() {
    let wrong = [
        stub::saying(200, "<html>a router's page</html>").await,
        stub::saying(200, "<?xml version=\"1.0\"?><other/>").await,
        stub::saying(404, "<html>nothing</html>").await,
        stub::saying(403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>").await,
        stub::line(b"-ERR unknown command 'GET'\r\n").await,
    ];
    for settings in wrong {
        let said = checked(&settings).await;
        assert!(matches!(said, Err(MediaError::Refused(_))), "{said:?}");
    }
    let nobody = stub::settings(([127, 0, 0, 1], free_port()).into());
    for settings in
        [stub::saying(503, "<Error><Code>SlowDown</Code></Error>").await, stub::saying(502, "").await, nobody]
    {
        let said = checked(&settings).await;
        assert!(matches!(said, Err(MediaError::Unavailable(_))), "{said:?}");
    }
    // The text is the person's way out: it names the setting.
    let said = checked(&stub::saying(200, "hello").await).await.expect_err("no S3").to_string();
    assert!(said.contains("hello") && said.contains("AWS_ENDPOINT_URL"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_store_ends_the_start_at_once_with_78() {
    let nonsense = stub::saying(200, "<html>a router's page</html>").await;
    let fleet = Fleet::new("").await;
    let mut command = fleet.command(&["serve"]);
    command.envs([("S3_BUCKET", "videos"), ("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")]);
    command.env("AWS_ENDPOINT_URL", nonsense.endpoint.expect("an address"));
    let ended = tokio::task::spawn_blocking(move || command.output().expect("it ends"));
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await.expect("at once").expect("no panic");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(said.contains("S3_BUCKET") && said.contains("does not speak S3"), "{said}");
}

#[tokio::test]
async fn a_store_without_conditional_writes_is_asked_before_each() {
    let media = Media::s3(&stub::unconditional().await).expect("a store");
    for size in [10, PART + 1] {
        let key = rendition_key(VideoId::new(), LeaseToken::new());
        let write = async |byte: u8| {
            let mut upload = media.upload(&key).await?;
            upload.write(&vec![byte; size]).await?;
            upload.finish().await
        };
        write(1).await.expect("written");
        let late = write(2).await;
        assert!(matches!(late, Err(MediaError::Exists(_))), "{late:?}");
        assert_eq!(media.size(&key).await.expect("there"), size as u64);
    }
}

#[tokio::test]
async fn a_store_that_is_full_is_said_to_be() {
    let full = stub::saying(507, "<Error><Code>XMinioStorageFull</Code></Error>").await;
    let said = Media::s3(&full).expect("a store").put("videos/x", "x".into()).await;
    assert!(matches!(said, Err(MediaError::Full)), "{said:?}");
}

#[tokio::test]
async fn a_copy_for_which_there_is_no_room_is_not_begun() {
    let media = Media::s3(&stub::endless().await).expect("a store");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy");
    let said = media.as_file("videos/x", &copy).await;
    assert!(matches!(said, Err(MediaError::NoRoom(size)) if size == 1 << 60) && !copy.exists(), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_open_is_swept_and_a_live_lease_is_left_alone() {
    let mut server = S3Server::start().await;
    let settings = server.settings();
    let (wrong_key, wrong_bucket) = (
        S3 { secret_access_key: "other".to_owned().into(), ..settings.clone() },
        S3 { bucket: "nowhere".into(), ..settings.clone() },
    );
    for settings in [wrong_key, wrong_bucket] {
        let said = checked(&settings).await;
        assert!(matches!(said, Err(MediaError::Refused(_))), "{said:?}");
    }

    let media = Media::s3(&settings).expect("a store");
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
    let ledger = Ledger::open(&url).await.expect("a ledger");
    let (video, live, dead) = (VideoId::new(), LeaseToken::new(), LeaseToken::new());
    running(&ledger, video, live).await;
    media.put(&source_key(video), "the source".into()).await.expect("put");
    media.put(&rendition_key(video, dead), "half".into()).await.expect("put");
    let nobodys = source_key(VideoId::new());
    for key in [&nobodys, &rendition_key(video, live), &rendition_key(video, LeaseToken::new())] {
        let mut upload = media.upload(key).await.expect("begun");
        upload.write(&vec![1; PART + 1]).await.expect("taken");
        // As a killed process leaves it.
        std::mem::forget(upload);
    }
    crate::support::eventually("parts are in", Duration::from_secs(10), || async {
        media.open_uploads("videos").await.expect("listed").len() == 3
    })
    .await;
    let hours = |hours: i64| SystemClock::now() + hours * 3_600_000;
    let early = upkeep::sweep_at(&ledger, &media, "", hours(0)).await.expect("swept");
    assert_eq!((early.objects, early.uploads), (0, 0), "they may still be coming in");
    let swept = upkeep::sweep_at(&ledger, &media, "", hours(2)).await.expect("swept");
    assert_eq!((swept.objects, swept.uploads), (1, 2));
    let open = media.open_uploads("videos").await.expect("listed");
    assert_eq!(open.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), [rendition_key(video, live)]);
    assert!(media.is_there(&source_key(video)).await.expect("asked"));

    // Silent is away, too, and it is found back.
    server.signal(Signal::STOP);
    crate::support::eventually("it is away", Duration::from_secs(20), || async { !media.answers().await }).await;
    assert!(media.is_away());
    server.signal(Signal::CONT);
    crate::support::eventually("it is back", Duration::from_secs(20), || media.answers()).await;
    assert!(!media.is_away());

    // Gone in the middle of an upload: an error, and soon.
    let mut upload = media.upload(&source_key(VideoId::new())).await.expect("begun");
    upload.write(&vec![1; PART + 1]).await.expect("taken");
    server.kill().await;
    let rest = async {
        upload.write(&vec![1; 3 * PART]).await?;
        upload.finish().await
    };
    let broken = tokio::time::timeout(Duration::from_secs(30), rest).await.expect("an answer");
    assert!(matches!(broken, Err(MediaError::Unavailable(_))), "{broken:?}");
    assert!(!media.answers().await && media.is_away());
}

/// A video whose edit runs under this lease.
async fn running(ledger: &Ledger, id: VideoId, lease: LeaseToken) {
    use subiteya::ledger::TaskRow;
    use subiteya::task::{State, Task};
    let tx = ledger.begin().await.expect("begin");
    let video = crate::upkeep::video(id, TraceId::new(), tx.now());
    tx.insert_video(&video).await.expect("a video");
    let task = Task::new(id, Stage::Edit, tx.now());
    let task = Task { state: State::Running, token: Some(lease), lease_until: tx.now() + 60_000, ..task };
    let row = TaskRow { task, account: video.account, creator: "creator".into(), priority: 1 };
    tx.insert_task(&row).await.expect("a task");
    tx.commit().await.expect("commit");
}

/// By hand: `cargo test --release --test it -- --ignored --nocapture constant_memory`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a gibibyte; it tells a figure"]
async fn half_a_gibibyte_goes_to_s3_and_back_in_constant_memory() {
    use futures::TryStreamExt;
    let server = S3Server::start().await;
    let media = Media::s3(&server.settings()).expect("a store");
    let key = source_key(VideoId::new());
    let piece = vec![7; 1 << 20];
    let before = peak();
    let mut upload = media.upload(&key).await.expect("begun");
    for _ in 0..512 {
        upload.write(&piece).await.expect("taken");
    }
    let stored = upload.finish().await.expect("stored");
    let after = peak();
    let mut bytes = media.read(&key, 0..stored.size).await.expect("read");
    let mut read = 0;
    while let Some(piece) = bytes.try_next().await.expect("bytes") {
        read += piece.len() as u64;
    }
    println!("peak RSS in KiB: {before} before, {after} after {} bytes up, {} after {read} down", stored.size, peak());
    assert_eq!((stored.size, read), (512 << 20, 512 << 20));
    assert!(peak() - before < 100 * 1024, "it grows with what it carries");
}

/// The most memory that this process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}
