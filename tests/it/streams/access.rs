//! Whom Redis lets in, and what is said at the start to who can't go on.

use subiteya::event::Stage;
use subiteya::stream::{Meter, Options, Reader, StreamError, Streams, Woken};

use super::cases::entry;
use super::command;
use crate::support::cluster::Cluster;
use crate::support::redis::Redis;
use crate::support::servers::free_port;

/// The permissions that ARCHITECTURE.md names for a user of our own.
fn documented() -> String {
    let text = include_str!("../../../ARCHITECTURE.md");
    let line = text.lines().find(|line| line.trim_start().starts_with("ACL SETUSER")).expect("a line");
    line.trim().to_owned()
}

async fn refused(url: &str) -> String {
    match Streams::connect(url, Options::default(), Meter::default()).await {
        Err(StreamError::Rejected(text)) => text,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_documented_permissions_can_do_all_of_it_and_no_more() {
    let port = free_port();
    let redis = Redis::start_with(&["--port", &port.to_string()]).await;
    let line = documented().replace("PASSWORD", "hush");
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(redis.command(&words).await, "+OK\r\n", "{words:?}");
    let url = format!("redis://subiteya:hush@127.0.0.1:{port}");
    let streams = Streams::connect(&url, Options::default(), Meter::default()).await.unwrap();
    streams.recognise().await.unwrap();
    assert!(!streams.about().unwrap().version.is_empty());
    for stage in Stage::STREAMED {
        streams.ensure_group(stage).await.unwrap();
        streams.append(stage, &entry()).await.unwrap();
        let reader = Reader::open(&streams, stage, "one").await.unwrap();
        let read = reader.read_now(1).await.unwrap();
        let reading = reader.read(1, std::time::Duration::from_secs(60));
        assert!(matches!(reader.wake(reading).await.unwrap(), Woken::Read(read) if read.is_empty()));
        streams.pending(stage, None, 1).await.unwrap();
        streams.claim(stage, "two", &read[0].id).await.unwrap();
        streams.stream_info(stage).await.unwrap();
        streams.acknowledge(stage, vec![read[0].id.clone()]).await.unwrap();
        streams.consumers(stage).await.unwrap();
        assert!(streams.remove_consumer(stage, "two").await.unwrap());
        reader.close().await;
    }
    let log = redis.command(&["ACL", "LOG"]).await;
    assert_eq!(log, "*0\r\n", "nothing was denied");
    redis.command(&["ACL", "SETUSER", "subiteya", "-xadd"]).await;
    let error = streams.append(Stage::Edit, &entry()).await.unwrap_err();
    assert!(matches!(&error, StreamError::Rejected(text) if text.starts_with("NOPERM")), "{error:?}");

    assert!(refused(&format!("redis://subiteya:wrong@127.0.0.1:{port}")).await.starts_with("WRONGPASS"));
    redis.command(&["CONFIG", "SET", "requirepass", "hush"]).await;
    assert!(refused(&format!("redis://127.0.0.1:{port}")).await.starts_with("NOAUTH"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_url_to_a_clusters_node_is_told_the_right_one() {
    let cluster = Cluster::start().await;
    let url = cluster.url().replace("redis-cluster", "redis");
    let (code, said) = command(&[("REDIS_URL", &url)]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.lines().count() == 1 && said.contains("redis-cluster://") && said.contains("REDIS_URL"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clusters_url_to_a_plain_server_serves_as_well() {
    let port = free_port();
    let _redis = Redis::start_with(&["--port", &port.to_string()]).await;
    let url = format!("redis-cluster://127.0.0.1:{port}");
    let streams = Streams::connect(&url, Options::default(), Meter::default()).await.unwrap();
    streams.recognise().await.unwrap();
    for stage in Stage::STREAMED {
        streams.append(stage, &entry()).await.unwrap();
    }
}
