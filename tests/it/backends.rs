//! The story of one video on each set of services: what the conformance suites say of each part holds for the whole.

use crate::support::cluster::Cluster;
use crate::support::fleet::{Fleet, LOOSE};
use crate::support::postgres::Postgres;
use crate::support::s3::S3Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_posted_with_postgresql_s3_and_a_redis_cluster() {
    let (postgres, s3, cluster) = (Postgres::start().await, S3Server::start().await, Cluster::start().await);
    let mut services = s3.variables().to_vec();
    services.extend([("DATABASE_URL", postgres.url()), ("REDIS_URL", cluster.url())]);
    let mut fleet = Fleet::on(LOOSE, &services, |_| {}).await;
    fleet.start_all().await;
    fleet.account("ada").await;
    let id = fleet.upload("ada", "on real services").await;
    fleet.posted(&id).await;
}
