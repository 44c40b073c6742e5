//! The port's conformance suite, and the loop's, on every kind of Redis.

use super::cases;
use crate::support::kinds::Service;

#[tokio::test(flavor = "multi_thread")]
async fn redis_7_0() {
    cases::all(&Service::redis_7_0().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_8_2() {
    cases::all(&Service::redis_8_2().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_9_1() {
    cases::all(&Service::valkey_9_1().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_cluster_of_three_nodes() {
    cases::all(&Service::cluster().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_behind_tls_with_a_private_authority() {
    cases::all(&Service::tls().await).await;
}
