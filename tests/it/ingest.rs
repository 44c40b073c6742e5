//! Uploads: what is accepted, what is refused, and that a broken one leaves nothing.

use reqwest::multipart::Form;
use serde_json::Value;
use subiteya::event::{Stage, VideoId};
use subiteya::ledger::ListFilter;
use subiteya::task::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{MAX_UPLOAD, Server, clip, file, form};

async fn videos(server: &Server) -> usize {
    let filter = ListFilter { limit: 100, ..ListFilter::default() };
    server.state.ledger.videos(&filter).await.expect("a list").videos.len()
}

async fn refusal(server: &Server, form: Form) -> (u16, String) {
    let answer = server.upload(&server.alice, form).await;
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let body: Value = answer.json().await.expect("json");
    (status, body["code"].as_str().expect("a code").to_owned())
}

#[tokio::test]
async fn fields_may_come_before_and_after_the_file() {
    let server = Server::start().await;
    let form = Form::new()
        .text("title", "<b>hostile</b> \u{1F3AC}")
        .part("file", file(clip()))
        .text("accountId", "conn_alice")
        .text("priority", "low")
        .text("publishAt", "2030-01-01T00:00:00+01:00")
        .part("captions", file(b"1\n00:00:01,000 --> 00:00:02,000\nhi\n"));
    let answer = server.upload(&server.alice, form).await;
    assert_eq!(answer.status(), 201);
    let body: Value = answer.json().await.expect("json");
    let video = &body["video"];
    assert_eq!(video["title"], "<b>hostile</b> \u{1F3AC}");
    assert_eq!(video["status"], "EDITING_QUEUED");
    assert_eq!(video["priority"], "low");
    assert_eq!(video["publishAt"], "2029-12-31T23:00:00.000Z");
    assert_eq!(video["options"]["privacyLevel"], "SELF_ONLY");
    assert_eq!(video["waitingFor"]["code"], "redis_disabled");
    let id: VideoId = video["id"].as_str().expect("an id").parse().expect("an id");
    let task = server.state.ledger.task_of(id, Stage::Edit).await.expect("read").expect("a task");
    assert_eq!((task.task.state, task.creator.as_str(), task.priority), (State::Waiting, "open_alice", 2));
    assert!(task.task.due_at <= server.state.ledger.now().await.expect("now"), "publishAt doesn't delay the edit");
    assert_eq!(server.objects().len(), 2, "source and captions");
}

#[tokio::test]
async fn what_is_wrong_about_a_form_is_named_and_leaves_nothing() {
    let server = Server::start().await;
    let whole = || form("t", clip());
    let cases = [
        (whole().text("colour", "red"), 400, "unknown_field"),
        (whole().text("title", "again"), 400, "field_twice"),
        (whole().part("file", file(clip())), 400, "two_files"),
        (Form::new().text("accountId", "conn_alice").text("title", "t"), 400, "no_file"),
        (Form::new().text("title", "t").part("video", file(clip())), 422, "field_missing"),
        (
            Form::new().text("accountId", "conn_bob").text("title", "t").part("video", file(clip())),
            422,
            "unknown_account",
        ),
        (form("t", b"a text"), 422, "not_a_video"),
        (form("t", b"#EXTM3U\nhttp://127.0.0.1:1/x.ts\n"), 422, "playlist"),
        (form("t", b""), 422, "empty"),
        (form("t", &clip()[..clip().len() / 2]), 422, "truncated"),
        (form(&"\u{1F3AC}".repeat(1101), clip()), 422, "title_too_long"),
        (whole().text("privacyLevel", "EVERYONE"), 422, "privacy_invalid"),
        (whole().text("brandedContent", "true"), 422, "branded_content_private"),
        (whole().text("allowDuet", "perhaps"), 422, "flag_invalid"),
        (whole().text("publishAt", "tomorrow"), 422, "publish_at_invalid"),
        (whole().text("priority", "urgent"), 422, "priority_invalid"),
        (whole().text("brand", "{"), 422, "brand_invalid"),
        (whole().text("captions", "no captions"), 422, "captions_invalid"),
        (whole().text("captions", "x".repeat(1024 * 1024 + 1)), 413, "field_too_large"),
        (form("t", &[clip(), &vec![0; MAX_UPLOAD as usize]].concat()), 413, "file_too_large"),
    ];
    for (form, status, code) in cases {
        assert_eq!(refusal(&server, form).await, (status, code.to_owned()));
    }
    assert_eq!(videos(&server).await, 0);
    server.until("the refused uploads' bytes are gone", async |server| server.objects().is_empty()).await;
}

#[tokio::test]
async fn a_client_that_vanishes_leaves_no_row_and_no_object() {
    let server = Server::start().await;
    let head = format!(
        "POST /api/videos HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: multipart/form-data; boundary=x\r\n\
         Content-Length: 1000000\r\n\r\n--x\r\nContent-Disposition: form-data; name=\"video\"; filename=\"a\"\r\n\r\nvideo",
        server.address, server.alice
    );
    let mut connection = TcpStream::connect(server.address).await.expect("connected");
    connection.write_all(head.as_bytes()).await.expect("sent");
    connection.write_all(&vec![7; 500_000]).await.expect("sent");
    server
        .until("the upload is under way", async |server| {
            let metrics = server.get(&server.viewer, "/metrics").await.text().await.expect("text");
            metrics.contains("subiteya_uploads_in_flight 1")
        })
        .await;
    drop(connection);
    server
        .until("the server noticed", async |server| {
            let metrics = server.get(&server.viewer, "/metrics").await.text().await.expect("text");
            metrics.contains("subiteya_uploads_in_flight 0")
        })
        .await;
    server.until("the staged bytes are gone", async |server| server.objects().is_empty()).await;
    assert_eq!(videos(&server).await, 0);
}

#[tokio::test]
async fn a_form_without_its_closing_boundary_is_no_upload() {
    let server = Server::start().await;
    let body = "--x\r\nContent-Disposition: form-data; name=\"video\"; filename=\"a\"\r\n\r\nvideo";
    let request = format!(
        "POST /api/videos HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: multipart/form-data; boundary=x\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        server.address,
        server.alice,
        body.len()
    );
    let mut connection = TcpStream::connect(server.address).await.expect("connected");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("form_broken"), "{answer}");
    server.until("the staged bytes are gone", async |server| server.objects().is_empty()).await;
    assert_eq!(videos(&server).await, 0);
}

#[tokio::test]
async fn what_stands_before_the_file_is_refused_before_the_file_is_sent() {
    let server = Server::start().await;
    for (field, code) in
        [("accountId\"\r\n\r\nconn_bob", "unknown_account"), ("privacyLevel\"\r\n\r\nALL", "privacy_invalid")]
    {
        let file = "--x\r\nContent-Disposition: form-data; name=\"video\"; filename=\"a\"\r\n\r\n";
        // The file's bytes never come; its sender waits for an answer.
        let request = format!(
            "POST /api/videos HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: multipart/form-data; boundary=x\r\n\
             Content-Length: 1000000\r\n\r\n--x\r\nContent-Disposition: form-data; name=\"{field}\r\n{file}",
            server.address, server.alice
        );
        let mut connection = TcpStream::connect(server.address).await.expect("connected");
        connection.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = vec![0; 4096];
        let read = connection.read(&mut answer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 422") && answer.contains(code), "{answer}");
    }
    assert!(server.objects().is_empty());
}

async fn keyed(server: &Server, key: &str, title: &str) -> (u16, Value) {
    let request = server.client.post(server.url("/api/videos")).bearer_auth(&server.alice);
    let answer = request.header("Idempotency-Key", key).multipart(form(title, clip())).send().await.expect("sent");
    (answer.status().as_u16(), answer.json().await.expect("json"))
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_and_stores_nothing_twice() {
    let server = Server::start().await;
    let (first, one) = keyed(&server, "k", "t").await;
    let (second, two) = keyed(&server, "k", "t").await;
    assert_eq!((first, second), (201, 201));
    assert_eq!(one["video"]["id"], two["video"]["id"]);
    let (third, three) = keyed(&server, "k", "another title").await;
    assert_eq!((third, three["code"].as_str()), (422, Some("idempotency_key_reused")));
    assert_eq!(videos(&server).await, 1);
    server.until("only one source is left", async |server| server.objects().len() == 1).await;
}

#[tokio::test]
async fn two_requests_at_once_with_one_key_are_one_video() {
    let server = Server::start().await;
    let (one, two, three) = tokio::join!(keyed(&server, "k", "t"), keyed(&server, "k", "t"), keyed(&server, "k", "t"));
    assert_eq!([one.0, two.0, three.0], [201; 3]);
    assert_eq!(one.1["video"]["id"], two.1["video"]["id"]);
    assert_eq!(one.1["video"]["id"], three.1["video"]["id"]);
    assert_eq!(videos(&server).await, 1);
    server.until("only one source is left", async |server| server.objects().len() == 1).await;
}

#[tokio::test]
async fn an_operator_uploads_for_the_accounts_owner() {
    let server = Server::start().await;
    let answer = server.upload(&server.operator, form("t", clip())).await;
    let body: Value = answer.json().await.expect("json");
    let path = format!("/api/videos/{}", body["video"]["id"].as_str().expect("an id"));
    assert_eq!(server.get(&server.alice, &path).await.status(), 200);
    assert_eq!(server.get(&server.bob, &path).await.status(), 404);
}
