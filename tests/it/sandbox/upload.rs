use std::time::Duration;

use serde_json::json;
use subiteya::sandbox::{AfterComplete, Filter, Kind, RangeAnswer, StoredAgain};
use tokio::io::AsyncWriteExt;

use super::{Fixture, until, video};

#[tokio::test]
async fn a_put_with_a_wrong_header_is_refused_and_stores_nothing() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(90));
    let begun = fixture.init(&ada, 90, 30).await;
    let put = |range: &'static str, kind: &'static str, bytes: usize| {
        let request = fixture.http.put(&begun.upload_url).header("content-range", range).header("content-type", kind);
        request.body(video[..bytes].to_vec())
    };
    for (request, status, rule) in [
        (put("bytes 0-29/90", "application/octet-stream", 30), 400, "content_type"),
        (put("bytes=0-29/90", "video/mp4", 30), 400, "content_range"),
        (put("bytes 0-30/90", "video/mp4", 30), 400, "range_length"),
        (put("bytes 0-29/91", "video/mp4", 30), 400, "range_total"),
        (put("bytes 0-19/90", "video/mp4", 20), 400, "chunk_plan"),
        (put("bytes 30-59/90", "video/mp4", 30), 416, "chunk_order"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()["x-sandbox-rule"].to_str().unwrap()),
            (status, rule)
        );
    }
    let streamed = futures::stream::iter([Ok::<_, std::io::Error>(video[..30].to_vec())]);
    let request = fixture.http.put(&begun.upload_url).header("content-type", "video/mp4");
    let request = request.header("content-range", "bytes 0-29/90").body(reqwest::Body::wrap_stream(streamed));
    let response = request.send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-sandbox-rule"]),
        (400, &"transfer_encoding".parse().unwrap())
    );
    assert_eq!(fixture.status(&ada, &begun).await["uploaded_bytes"], 0);
}

#[tokio::test]
async fn an_upload_url_works_with_its_token_only() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(50));
    let mut begun = fixture.init(&ada, 50, 50).await;
    begun.upload_url.truncate(begun.upload_url.len() - 1);
    assert_eq!(fixture.put(&begun, &video, 0, 50).send().await.unwrap().status(), 404);
    let record = fixture.folder.path().join("journal.jsonl");
    let calls = std::fs::read_to_string(record).unwrap();
    let secret = begun.upload_url.split_once("upload_token=").unwrap().1;
    assert!(calls.lines().filter(|line| line.contains(r#""entry":"call""#)).all(|line| !line.contains(secret)));
}

#[tokio::test]
async fn a_stored_chunk_that_comes_again_is_416_or_206_and_changes_nothing() {
    for (reading, wanted) in [(StoredAgain::Refused, 416), (StoredAgain::Accepted, 206)] {
        let fixture = Fixture::with(|options| options.readings.stored_again = reading).await;
        let (ada, video) = (fixture.creator("ada").await, video(90));
        let begun = fixture.init(&ada, 90, 30).await;
        fixture.put_ok(&begun, &video, 0, 30).await;
        let again = fixture.put(&begun, &video, 0, 30).send().await.unwrap();
        assert_eq!(
            (again.status().as_u16(), again.headers()["content-range"].to_str().unwrap()),
            (wanted, "bytes 0-30/90")
        );
        assert!(again.headers().get("x-sandbox-rule").is_none(), "a lost answer is nobody's fault");
        fixture.put_ok(&begun, &video, 30, 60).await;
        fixture.put_ok(&begun, &video, 60, 90).await;
        assert_eq!(fixture.sandbox.posts().len(), 1);
    }
}

#[tokio::test]
async fn a_put_after_the_201_is_what_the_reading_says_and_makes_no_second_post() {
    for (reading, wanted) in [
        (AfterComplete::NotFound, 404),
        (AfterComplete::Forbidden, 403),
        (AfterComplete::RangeNotSatisfiable, 416),
        (AfterComplete::Created, 201),
    ] {
        let fixture = Fixture::with(|options| options.readings.after_complete = reading).await;
        let (ada, video) = (fixture.creator("ada").await, video(50));
        let begun = fixture.posted(&ada, &video).await;
        assert_eq!(fixture.put(&begun, &video, 0, 50).send().await.unwrap().status(), wanted);
        assert_eq!(fixture.sandbox.posts().len(), 1);
    }
}

#[tokio::test]
async fn the_answer_s_range_is_a_count_or_a_last_index() {
    for (reading, wanted) in [(RangeAnswer::Count, "bytes 0-30/90"), (RangeAnswer::LastIndex, "bytes 0-29/90")] {
        let fixture = Fixture::with(|options| options.readings.range_answer = reading).await;
        let (ada, video) = (fixture.creator("ada").await, video(90));
        let begun = fixture.init(&ada, 90, 30).await;
        let response = fixture.put_ok(&begun, &video, 0, 30).await;
        assert_eq!(response.headers()["content-range"], wanted);
    }
}

#[tokio::test]
async fn an_upload_url_dies_after_its_hour() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(90));
    let begun = fixture.init(&ada, 90, 30).await;
    fixture.sandbox.advance(Duration::from_secs(3590)).unwrap();
    fixture.put_ok(&begun, &video, 0, 30).await;
    fixture.sandbox.advance(Duration::from_secs(10)).unwrap();
    assert_eq!(fixture.put(&begun, &video, 30, 60).send().await.unwrap().status(), 403);
    assert_eq!(fixture.status(&ada, &begun).await["uploaded_bytes"], 30);
}

#[tokio::test]
async fn a_put_that_is_handled_after_the_expiry_is_refused_however_early_it_came() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(50));
    let begun = fixture.init(&ada, 50, 50).await;
    fixture.ask_for(&["chunk:delay=300ms"]);
    let late = tokio::spawn(fixture.put(&begun, &video, 0, 50).send());
    // The fault is taken: the request is in.
    let faults = || async {
        let shown = fixture.http.get(fixture.url("/sandbox/faults")).send().await.unwrap().text().await.unwrap();
        !shown.contains("chunk")
    };
    until("the PUT arrives", faults).await;
    fixture.sandbox.advance(Duration::from_secs(3600)).unwrap();
    assert_eq!(late.await.unwrap().unwrap().status(), 403);
    assert!(fixture.sandbox.posts().is_empty());
}

#[tokio::test]
async fn a_put_that_breaks_off_stores_nothing() {
    let fixture = Fixture::new().await;
    let ada = fixture.creator("ada").await;
    let begun = fixture.init(&ada, 50, 50).await;
    let path = begun.upload_url.strip_prefix(fixture.sandbox.base_url()).unwrap();
    let mut socket = tokio::net::TcpStream::connect(fixture.sandbox.addr()).await.unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-type: video/mp4\r\ncontent-length: 50\r\ncontent-range: bytes 0-49/50\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&video(50)[..20]).await.unwrap();
    drop(socket);
    let filter = || Filter { kind: Some(Kind::Chunk), ..Filter::default() };
    until("the broken PUT is in the record", || async { !fixture.calls(filter()).await.is_empty() }).await;
    let calls = fixture.calls(filter()).await;
    assert_eq!((calls[0].bytes, calls[0].message.as_deref()), (20, Some("The body ended early")));
    assert_eq!(fixture.status(&ada, &begun).await["uploaded_bytes"], 0);
    fixture.put_ok(&begun, &video(50), 0, 50).await;
}

#[tokio::test]
async fn the_same_last_chunk_sent_at_once_by_many_makes_one_post() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(50));
    let begun = fixture.init(&ada, 50, 50).await;
    let puts = (0..8).map(|_| fixture.put(&begun, &video, 0, 50).send());
    let answers = futures::future::join_all(puts).await;
    let created =
        answers.into_iter().filter(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 201)).count();
    assert_eq!((created, fixture.sandbox.posts().len()), (1, 1));
}

#[tokio::test]
async fn a_file_that_is_no_video_fails_its_check() {
    let fixture = Fixture::new().await;
    let ada = fixture.creator("ada").await;
    let begun = fixture.init(&ada, 50, 50).await;
    fixture.put_ok(&begun, &[b'x'; 50], 0, 50).await;
    let status = fixture.status(&ada, &begun).await;
    assert_eq!((&status["status"], &status["fail_reason"]), (&json!("FAILED"), &json!("file_format_check_failed")));
    assert!(fixture.sandbox.posts().is_empty());
}
