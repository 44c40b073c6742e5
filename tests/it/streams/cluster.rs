//! What only a cluster does: two streams on two nodes, slots that move, a node that is away while the other goes on.

use std::time::Duration;

use subiteya::event::Stage;
use subiteya::stream::{Meter, Options, Reader, StreamError, Streams, Woken};

use super::cases::entry;
use crate::support::cluster::Cluster;
use crate::support::eventually;

const SOON: Duration = Duration::from_secs(10);

async fn connect(cluster: &Cluster) -> Streams {
    let options = Options {
        command_timeout: Duration::from_millis(1_000),
        connect_timeout: Duration::from_secs(2),
        longest_pause: Duration::from_millis(500),
        ..Options::default()
    };
    Streams::connect(&cluster.url(), options, Meter::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_takes_its_reader_and_its_commands_along() {
    let cluster = Cluster::start().await;
    let (edit, publish) = (cluster.owner("video.uploaded").await, cluster.owner("video.edited").await);
    assert_ne!(edit, publish, "the two streams are on two nodes");
    let streams = connect(&cluster).await;
    streams.ensure_group(Stage::Edit).await.unwrap();
    let reader = Reader::open(&streams, Stage::Edit, "one").await.unwrap();
    let first = streams.append(Stage::Edit, &entry()).await.unwrap();
    assert_eq!(reader.read_now(1).await.unwrap()[0].id, first);
    let reading = reader.read(1, Duration::from_secs(60));
    tokio::time::sleep(Duration::from_millis(100)).await;

    cluster.migrate("video.uploaded", edit, publish).await;
    let second = streams.append(Stage::Edit, &entry()).await.unwrap();
    let read = match reading.await.unwrap() {
        Ok(read) if !read.is_empty() => read,
        // The move itself ended the read; the loop reads again.
        _ => reader.read(1, Duration::from_secs(5)).await.unwrap().unwrap(),
    };
    assert_eq!(read[0].id, second);
    assert_eq!(reader.own_pending("0", 10).await.unwrap().len(), 2, "the group moved along");
    let reading = reader.read(1, Duration::from_secs(60));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = tokio::time::Instant::now();
    assert!(matches!(reader.wake(reading).await.unwrap(), Woken::Read(read) if read.is_empty()));
    assert!(asked.elapsed() < Duration::from_secs(1), "it is woken on its new node: {:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_stops_its_stream_only_and_is_found_when_it_is_back() {
    for killed in [Stage::Edit, Stage::Publish] {
        let mut cluster = Cluster::start().await;
        let other = if killed == Stage::Edit { Stage::Publish } else { Stage::Edit };
        let node = cluster.owner(killed.stream().unwrap()).await;
        let streams = connect(&cluster).await;
        for stage in Stage::STREAMED {
            streams.ensure_group(stage).await.unwrap();
        }
        let blocked = Reader::open(&streams, killed, "one").await.unwrap();
        let going_on = Reader::open(&streams, other, "two").await.unwrap();
        let reading = blocked.read(1, Duration::from_secs(60));
        cluster.kill(node).await;
        reading.await.unwrap().expect_err("its node is gone");
        for _ in 0..3 {
            let error = streams.append(killed, &entry()).await.unwrap_err();
            assert!(matches!(error, StreamError::Unavailable(_)), "{error:?}");
            let error = blocked.read_now(1).await.unwrap_err();
            assert!(matches!(error, StreamError::Unavailable(_)), "{error:?}");
            let id = streams.append(other, &entry()).await.expect("the other stream goes on");
            assert_eq!(going_on.read_now(1).await.unwrap()[0].id, id);
            streams.acknowledge(other, vec![id]).await.unwrap();
        }
        cluster.restart(node).await;
        eventually("it is found again", SOON, || async { streams.append(killed, &entry()).await.is_ok() }).await;
        eventually("its reader reads", SOON, || async {
            match blocked.read_now(1).await {
                Err(StreamError::NoGroup) => {
                    streams.ensure_group(killed).await.ok();
                    false
                }
                other => other.is_ok_and(|read| read.len() == 1),
            }
        })
        .await;
    }
}
