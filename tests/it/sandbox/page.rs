use serde_json::{Value, json};
use subiteya::sandbox::Tokens;

use super::{Begun, Fixture, INIT, init_body, video};

#[tokio::test]
async fn the_page_shows_posts_and_escapes_their_text() {
    let fixture = Fixture::new().await;
    let creator = json!({"name": "ada", "display_name": "<i>Ada</i>"});
    let made = fixture.http.post(fixture.url("/sandbox/creators")).json(&creator).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let ada: Tokens = made.json().await.unwrap();
    let mut body = init_body(50, 50);
    body["post_info"]["title"] = "<script>alert(1)</script> & \"more\"".into();
    let (_, answer) = fixture.call(&ada, INIT, &body).await;
    let text = |name: &str| answer["data"][name].as_str().unwrap().to_owned();
    let begun = Begun { publish_id: text("publish_id"), upload_url: text("upload_url") };
    fixture.put_ok(&begun, &video(50), 0, 50).await;

    let page = fixture.http.get(fixture.url("/")).send().await.unwrap();
    assert!(page.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    let page = page.text().await.unwrap();
    assert!(!page.contains("<script") && !page.contains("<i>") && page.contains("alert(1)"), "{page}");
    let source = page.split("src=\"").nth(1).unwrap().split('"').next().unwrap();
    let bytes = fixture.http.get(fixture.url(source)).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, video(50));
}

#[tokio::test]
async fn a_posted_video_is_served_in_ranges_over_its_chunks() {
    let fixture = Fixture::new().await;
    let (ada, video) = (fixture.creator("ada").await, video(95));
    let begun = fixture.init(&ada, 95, 30).await;
    for (first, end) in [(0, 30), (30, 60), (60, 95)] {
        fixture.put_ok(&begun, &video, first, end).await;
    }
    let url = fixture.url(&format!("/sandbox/posts/{}/video", begun.publish_id));
    for (range, first, end) in
        [("bytes=0-9", 0, 10), ("bytes=25-64", 25, 65), ("bytes=90-", 90, 95), ("bytes=-40", 55, 95)]
    {
        let response = fixture.http.get(&url).header("range", range).send().await.unwrap();
        assert_eq!(response.status(), 206);
        assert_eq!(response.headers()["content-range"], format!("bytes {first}-{}/95", end - 1));
        assert_eq!(response.bytes().await.unwrap(), video[first..end]);
    }
    let whole = fixture.http.get(&url).send().await.unwrap();
    assert_eq!((whole.status().as_u16(), whole.headers().get("content-range")), (200, None));
    assert_eq!(whole.bytes().await.unwrap(), video);
    assert_eq!(fixture.http.get(&url).header("range", "bytes=95-").send().await.unwrap().status(), 416);
}

#[tokio::test]
async fn the_record_is_read_over_http_with_filters() {
    let fixture = Fixture::new().await;
    let ada = fixture.creator("ada").await;
    let request =
        fixture.post(&ada, INIT, &init_body(50, 50)).header("x-request-id", "r-1").header("user-agent", "tests");
    request.send().await.unwrap();
    fixture.post(&ada, INIT, &json!({})).send().await.unwrap();
    let get = async |path: &str| {
        let response = fixture.http.get(fixture.url(path)).send().await.unwrap();
        response.json::<Value>().await.unwrap()["calls"].clone()
    };
    let all = get("/sandbox/record").await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    let one = get("/sandbox/record?request_id=r-1&kind=init").await;
    assert_eq!((&one[0]["user_agent"], &one[0]["video_size"], &one[1]), (&json!("tests"), &json!(50), &Value::Null));
    assert!(!all.to_string().contains(&ada.access_token));
    let broken = get("/sandbox/violations").await;
    assert_eq!((&broken[0]["rule"], &broken[1]), (&json!("field_missing"), &Value::Null));
    assert_eq!(get("/sandbox/record?limit=1").await, broken);
}
