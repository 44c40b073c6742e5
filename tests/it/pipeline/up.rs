//! `up` on a data folder, killed and started again.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::fleet::{Fleet, LOOSE, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn up_that_is_killed_goes_on_where_it_was_on_the_same_data_folder() {
    let mut fleet = Fleet::new(LOOSE).await;
    fleet.embedded();
    fleet.start_again("up");
    fleet.ready().await;
    fleet.key = std::fs::read_to_string(fleet.data().join("operator.key")).expect("a key").trim().to_owned();
    // A second one is told, and ends.
    fleet.start_again("up2");
    assert_eq!(fleet.ended("up2", Duration::from_secs(10)).await.code(), Some(1), "{}", fleet.log("up2"));

    let sandbox = std::fs::read_to_string(fleet.data().join("sandbox.url")).expect("an address").trim().to_owned();
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut videos = vec![fleet.upload_slow("sandbox", "killed in its edit").await];
    fleet.until_ffmpeg_runs(&videos[0]).await;
    fleet.kill("up");
    fleet.until_no_ffmpeg().await;
    fleet.start_again("up");
    fleet.ready().await;
    assert_eq!(std::fs::read_to_string(fleet.data().join("sandbox.url")).expect("an address").trim(), sandbox);

    let delay = json!({ "faults": ["chunk@2:delay=1s"] });
    assert!(
        http.post(format!("{sandbox}/sandbox/faults"))
            .json(&delay)
            .send()
            .await
            .expect("an answer")
            .status()
            .is_success()
    );
    videos.push(fleet.upload("sandbox", "killed in its upload").await);
    crate::support::eventually("the second chunk is under way", SOON, || async {
        let faults: Value =
            http.get(format!("{sandbox}/sandbox/faults")).send().await.expect("an answer").json().await.expect("json");
        faults["faults"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
    fleet.kill("up");
    fleet.start_again("up");
    fleet.ready().await;
    for video in &videos {
        fleet.until(video, "POSTED").await;
    }
    let posts: Value =
        http.get(format!("{sandbox}/sandbox/posts")).send().await.expect("an answer").json().await.expect("json");
    let titles: Vec<&str> =
        posts["posts"].as_array().expect("posts").iter().filter_map(|post| post["title"].as_str()).collect();
    assert_eq!(titles.len(), 2, "{titles:?}");
    assert!(titles.contains(&"killed in its edit") && titles.contains(&"killed in its upload"), "{titles:?}");
    fleet.signal("up", Signal::TERM);
    assert!(fleet.ended("up", SOON).await.success(), "{}", fleet.log("up"));
    assert!(!fleet.data().join("redis/redis.sock").exists(), "its redis ended with it");
}
