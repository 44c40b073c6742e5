//! The node that has a stream dies, and its replica takes its place.

use rustix::process::Signal;

use super::{MOVES, all_posted, get, logs_are_readable, troubles};
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE, SOON};

const PROCESSES: [&str; 3] = ["serve", "edit", "publish"];

struct Failover {
    fleet: Fleet,
    cluster: Cluster,
    videos: Vec<String>,
}

impl Failover {
    async fn before() -> Self {
        let cluster = Cluster::with_replicas().await;
        let mut fleet = Fleet::on(LOOSE, &[("REDIS_URL", cluster.url())], |_| {}).await;
        fleet.start_all().await;
        fleet.account("ada").await;
        let mut failover = Self { fleet, cluster, videos: Vec::new() };
        failover.upload().await;
        all_posted(&failover.fleet, &failover.videos).await;
        failover
    }

    /// Accepted, whatever the cluster does.
    async fn upload(&mut self) {
        let title = format!("number {}", self.videos.len());
        self.videos.push(self.fleet.upload("ada", &title).await);
    }

    /// Nobody says that Redis works again as long as the stream has no node.
    async fn replaced(&self, stream: &str, dead: u16) -> u16 {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let told: Vec<String> = PROCESSES.iter().flat_map(|process| troubles(&self.fleet, process)).collect();
            if let Some(node) = self.cluster.owner_now(stream).await {
                assert_ne!(node, dead);
                return node;
            }
            assert!(!told.iter().any(|line| line.contains("works again")), "{told:#?}");
            assert!(tokio::time::Instant::now() < deadline, "nobody takes its place");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// What was uploaded last is past this status.
    async fn moves_on_from(&self, status: &str) {
        let video = self.videos.last().expect("a video");
        eventually("it moves", MOVES, || async { self.fleet.video(video).await["status"] != status }).await;
    }

    async fn all_is_well(mut self) {
        self.upload().await;
        all_posted(&self.fleet, &self.videos).await;
        eventually("it is known to work", MOVES, || async {
            get(&self.fleet, "/readyz").await.json()["redis"] == "connected"
        })
        .await;
        logs_are_readable(&self.fleet, &PROCESSES);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_the_place_of_the_node_that_has_a_stream_and_work_moves_on() {
    let mut failover = Failover::before().await;
    let dead = failover.cluster.owner("video.uploaded").await;
    failover.cluster.kill(dead).await;
    failover.upload().await;
    failover.replaced("video.uploaded", dead).await;
    failover.moves_on_from("EDITING_QUEUED").await;
    all_posted(&failover.fleet, &failover.videos).await;
    // Back as a replica, which would answer with a redirection.
    failover.cluster.restart(dead).await;
    failover.cluster.follows(dead).await;
    failover.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_that_was_cut_off_has_missed_is_released_anew() {
    let mut failover = Failover::before().await;
    let dead = failover.cluster.owner("video.edited").await;
    failover.cluster.cut_replica_of(dead).await;
    // Nobody reads what comes now.
    failover.fleet.signal("publish", Signal::STOP);
    for _ in 0..3 {
        failover.upload().await;
    }
    for video in &failover.videos[1..] {
        failover.fleet.until(video, "EDITED").await;
    }
    let last = failover.cluster.command_at(dead, &["XREVRANGE", "video.edited", "+", "-", "COUNT", "1"]).await;
    let last = last.lines().find(|line| line.contains('-')).expect("an id").to_owned();
    failover.cluster.kill(dead).await;
    failover.fleet.signal("publish", Signal::CONT);
    let node = failover.replaced("video.edited", dead).await;
    let known = failover.cluster.command_at(node, &["XRANGE", "video.edited", &last, &last]).await;
    assert_eq!(known, "*0\r\n", "it has never heard of it");
    failover.moves_on_from("EDITED").await;
    failover.all_is_well().await;
}
