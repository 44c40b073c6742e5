//! What a process says at its start, and what it doesn't start with.

use std::net::TcpListener;
use std::process::Output;
use std::time::Duration;

use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE, SOON};
use crate::support::servers::free_port;

const OTHER_KEY: &str = "fedcba9876543210fedcba9876543210";

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_line_names_where_a_process_works() {
    let mut fleet = Fleet::new(LOOSE).await;
    fleet.set("DATABSE_URL", "postgres://me:hunter2@db.example/x");
    fleet.set("AWS_ACCESS_KEY_ID", "hunter2");
    for (name, said) in
        [("serve", "starting: serve"), ("edit", "starting: work edit"), ("publish", "starting: work publish")]
    {
        fleet.start_again(name);
        eventually("it says where it works", SOON, || async { fleet.log(name).contains(said) }).await;
        let log = fleet.log(name);
        let line = log.lines().find(|line| line.contains(said)).expect("a line");
        let file = fleet.data().join("subiteya.db").display().to_string();
        let (redis, tiktok) = (fleet.redis.url(), fleet.sandbox.base_url());
        for part in ["INFO", &file, "(DATABASE_URL is not set)", "objects", "(S3_BUCKET is not set)", &redis, tiktok] {
            assert!(line.contains(part), "{part}: {line}");
        }
        for doubt in [
            "DATABSE_URL: nothing reads this variable; is DATABASE_URL meant",
            "S3_BUCKET: is not set, but AWS_ACCESS_KEY_ID is",
        ] {
            assert!(log.lines().any(|line| line.contains("WARN") && line.contains(doubt)), "{log}");
        }
        assert!(!log.contains("hunter2"), "{log}");
        fleet.kill(name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_installations_key_only_an_editor_starts_and_says_so() {
    let mut fleet = Fleet::new(LOOSE).await;
    fleet.account("ada").await;
    fleet.set("ENCRYPTION_KEY", OTHER_KEY);
    for args in [&["serve"][..], &["work", "publish"], &["work", "all"]] {
        let output = fleet.command(args).output().expect("it runs");
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(78), "{args:?}: {said}");
        assert!(said.contains("ENCRYPTION_KEY: the tokens of the account ada are sealed under the key"), "{said}");
    }
    fleet.start_again("edit");
    eventually("the editor works", SOON, || async { fleet.log("edit").contains("working: work edit") }).await;
    let log = fleet.log("edit");
    assert!(log.contains("WARN") && log.contains("editing needs no token and goes on"), "{log}");
    fleet.kill("edit");
    // A new key in front of the old one is no other installation's.
    fleet.set("ENCRYPTION_KEY", &format!("{OTHER_KEY},0123456789abcdef0123456789abcdef"));
    fleet.start_again("serve");
    fleet.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_and_a_host_that_is_not_ours_are_named_with_78() {
    let fleet = Fleet::new(LOOSE).await;
    let port = free_port();
    let _taken = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    for command in ["serve", "up"] {
        let output = fleet.command(&[command]).env("PORT", port.to_string()).output().expect("it runs");
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(78), "{command}: {said}");
        assert!(said.contains(&format!("PORT: something listens on 127.0.0.1:{port} already")), "{said}");
    }
    let output = fleet.command(&["serve"]).env("HOST", "192.0.2.1").output().expect("it runs");
    assert!(output.status.code() == Some(78) && errors(&output).contains("HOST: 192.0.2.1 can't be listened on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_persistence_is_told_of_by_those_who_stay() {
    let mut fleet = Fleet::new(LOOSE).await;
    let output = fleet.command(&["doctor"]).output().expect("it runs");
    assert!(!errors(&output).contains("append-only"), "it is a finding: {}", errors(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("append-only"));
    fleet.start_again("edit");
    eventually("it warns", Duration::from_secs(20), || async { fleet.log("edit").contains("no append-only file") })
        .await;
}
