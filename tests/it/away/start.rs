//! A process that is started before its services, or with wrong settings for them.

use std::net::TcpListener;
use std::process::{Output, Stdio};

use crate::support::fleet::{Fleet, LOOSE};
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::s3::S3Server;

/// Starts `serve` once with each of these settings, all at once, and waits for their ends.
fn served(fleet: &Fleet, settings: &[Vec<(&str, String)>]) -> Vec<Output> {
    let start = |settings: &Vec<(&str, String)>| {
        let mut command = fleet.command(&["serve"]);
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        command.env("PORT", "0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("it starts")
    };
    let children: Vec<_> = settings.iter().map(start).collect();
    children.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect()
}

fn s3_at(endpoint: String) -> Vec<(&'static str, String)> {
    let setting = |name, value: &str| (name, value.to_owned());
    let keys = [setting("AWS_ACCESS_KEY_ID", "test-key"), setting("AWS_SECRET_ACCESS_KEY", "test-secret")];
    [setting("S3_BUCKET", "videos"), ("AWS_ENDPOINT_URL", endpoint)].into_iter().chain(keys).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_is_silent_or_unknown_is_tried_for_half_a_minute_and_then_it_is_69() {
    let fleet = Fleet::new(LOOSE).await;
    // The kernel takes connections to it, and nobody answers them.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = mute.local_addr().expect("an address").to_string();
    let mut settings = Vec::new();
    for place in ["127.0.0.1:1", "nowhere.invalid:6379", &silent] {
        settings.push(vec![("REDIS_URL", format!("redis://{place}"))]);
        settings.push(vec![("DATABASE_URL", format!("postgres://u:hunter2@{place}/db"))]);
        settings.push(s3_at(format!("http://{place}")));
    }
    for (setting, output) in settings.iter().zip(served(&fleet, &settings)) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{setting:?}: {said}");
        let (name, _) = &setting[0];
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains(*name) && last.contains("tried for 30 s"), "{setting:?}: {said}");
        assert!(said.lines().count() <= 2 && !said.contains("hunter2"), "{setting:?}: {said}");
        if setting[0].1.contains("127.0.0.1:1/") || setting[0].1.ends_with("127.0.0.1:1") {
            assert!(last.to_lowercase().contains("refused"), "{setting:?}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_protocol_or_name_is_78_at_once() {
    let fleet = Fleet::new(LOOSE).await;
    let locked = Redis::start().await;
    locked.command(&["CONFIG", "SET", "requirepass", "right"]).await;
    let door = Proxy::before(&locked.socket()).await;
    let (postgres, s3) = (Postgres::start().await, S3Server::start().await);
    postgres.sql("postgres", "create role ann login password 'right'");
    postgres.ask_for_passwords_of("ann");
    let http = fleet.sandbox.base_url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let host = postgres.socket().parent().expect("a folder").display().to_string();
    let mut wrong_key = s3.variables().to_vec();
    wrong_key.retain(|(name, _)| *name != "AWS_SECRET_ACCESS_KEY");
    wrong_key.push(("AWS_SECRET_ACCESS_KEY", "wrong".to_owned()));
    let mut no_bucket = s3.variables().to_vec();
    no_bucket[0].1 = "no-such-bucket".to_owned();
    let settings = vec![
        vec![("REDIS_URL", format!("redis://:wrong@127.0.0.1:{}", door.port()))],
        vec![("REDIS_URL", locked.url())],
        vec![("REDIS_URL", format!("redis://{http}"))],
        vec![("REDIS_URL", format!("rediss://{http}"))],
        vec![("DATABASE_URL", format!("postgres://ann:wrong@localhost/subiteya?host={host}"))],
        vec![("DATABASE_URL", postgres.url_of("nowhere"))],
        vec![("DATABASE_URL", format!("postgres://u:p@{http}/db"))],
        wrong_key,
        no_bucket,
        s3_at(format!("http://{http}")),
    ];
    for (setting, output) in settings.iter().zip(served(&fleet, &settings)) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{setting:?}: {said}");
        assert!(said.contains(setting[0].0) && said.contains("correct the setting"), "{setting:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{setting:?}: {said}");
    }
}
