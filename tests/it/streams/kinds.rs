//! The port's conformance suite, and the loop's, on every kind of Redis.

use super::{cases, delivery};
use crate::support::kinds::Service;

#[tokio::test(flavor = "multi_thread")]
async fn redis_7_0() {
    let service = Service::redis_7_0().await;
    cases::all(&service).await;
    delivery::through_both_streams(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_8_2() {
    let service = Service::redis_8_2().await;
    cases::all(&service).await;
    delivery::through_both_streams(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_9_1() {
    let service = Service::valkey_9_1().await;
    cases::all(&service).await;
    delivery::through_both_streams(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_cluster_of_three_nodes() {
    let service = Service::cluster().await;
    cases::all(&service).await;
    delivery::through_both_streams(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_behind_tls_with_a_private_authority() {
    let service = Service::tls().await;
    cases::all(&service).await;
    delivery::through_both_streams(service).await;
}
