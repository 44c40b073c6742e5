//! The bytes, whole and in part.

use crate::fixture::{Server, clip};

#[tokio::test]
async fn the_source_comes_back_whole_and_in_ranges() {
    let server = Server::start().await;
    let id = server.video().await;
    let size = clip().len();
    let url = server.url(&format!("/api/videos/{id}/source"));
    let get = |range: Option<&'static str>| {
        let request = server.client.get(&url).bearer_auth(&server.alice);
        match range {
            Some(range) => request.header("range", range).send(),
            None => request.send(),
        }
    };
    let whole = get(None).await.expect("an answer");
    assert_eq!(whole.status(), 200);
    let headers = whole.headers().clone();
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert!(headers["content-disposition"].to_str().expect("text").starts_with("attachment"));
    assert!(headers["content-security-policy"].to_str().expect("text").contains("sandbox"));
    assert_eq!(whole.bytes().await.expect("bytes"), clip());
    let part = get(Some("bytes=6-8")).await.expect("an answer");
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 6-8/{size}"));
    assert_eq!(part.headers()["content-length"], "3");
    assert_eq!(part.bytes().await.expect("bytes"), clip()[6..9]);
    let last = get(Some("bytes=-5")).await.expect("an answer");
    assert_eq!((last.status().as_u16(), last.bytes().await.expect("bytes")), (206, clip()[size - 5..].into()));
    let head = server.client.head(&url).bearer_auth(&server.alice).send().await.expect("an answer");
    assert_eq!(
        (head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()),
        (200, size.to_string().as_str())
    );
    let unchanged = server.client.get(&url).bearer_auth(&server.alice).header("range", "bytes=0-1");
    let unchanged = unchanged.header("if-range", &headers["etag"]).send().await.expect("an answer");
    assert_eq!(unchanged.status(), 206);
    let beyond = get(Some("bytes=99999999-")).await.expect("an answer");
    assert_eq!(beyond.status(), 416);
    assert_eq!(beyond.headers()["content-range"], format!("bytes */{size}"));
    let known = server.client.get(&url).bearer_auth(&server.alice).header("if-none-match", &headers["etag"]);
    assert_eq!(known.send().await.expect("an answer").status(), 304);
    let changed =
        server.client.get(&url).bearer_auth(&server.alice).header("range", "bytes=0-1").header("if-range", "\"x\"");
    assert_eq!(changed.send().await.expect("an answer").status(), 200);
    let edited = server.get(&server.alice, &format!("/api/videos/{id}/edited")).await;
    assert_eq!(edited.status(), 404);
}

#[tokio::test]
async fn a_brand_is_kept_with_its_image_as_bytes() {
    let server = Server::start().await;
    let url = |path: &str| server.url(&format!("/api/accounts/conn_alice/brand{path}"));
    let put = |body: serde_json::Value| server.client.put(url("")).bearer_auth(&server.alice).json(&body).send();
    let watermark = |image: serde_json::Value| {
        serde_json::json!({ "effects": ["fade"], "captions": null,
        "watermark": { "image": image, "corner": "topLeft", "width": 0.2, "opacity": 0.5 } })
    };
    let elsewhere = put(watermark("https://evil.example/x.png".into())).await.expect("an answer");
    assert_eq!(elsewhere.status(), 422);
    let early = put(watermark(serde_json::Value::Null)).await.expect("an answer");
    assert_eq!(early.status(), 422, "there is no image yet");
    let png = png();
    let image = |body: Vec<u8>| server.client.put(url("/watermark")).bearer_auth(&server.alice).body(body).send();
    assert_eq!(image(b"<svg onload=x>".to_vec()).await.expect("an answer").status(), 422);
    let stored: serde_json::Value = image(png.clone()).await.expect("an answer").json().await.expect("json");
    let name = stored["image"].as_str().expect("a name");
    assert_eq!(put(watermark(serde_json::Value::Null)).await.expect("an answer").status(), 200);
    assert_eq!(put(watermark(name.into())).await.expect("an answer").status(), 200);
    let brand: serde_json::Value =
        server.get(&server.alice, "/api/accounts/conn_alice/brand").await.json().await.expect("json");
    assert_eq!(brand, watermark(name.into()));
    let shown = server.get(&server.alice, "/api/accounts/conn_alice/brand/watermark").await;
    assert_eq!(shown.bytes().await.expect("bytes"), png);
}

fn png() -> Vec<u8> {
    let arguments = ["-v", "error", "-f", "lavfi", "-i", "color=red:size=16x16", "-frames:v", "1", "-f", "image2pipe"];
    let made = std::process::Command::new("ffmpeg").args(arguments).args(["-c:v", "png", "-"]).output();
    made.expect("ffmpeg runs").stdout
}
