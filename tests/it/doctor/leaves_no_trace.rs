//! Commands that only look make nothing and migrate nothing.

use std::process::Stdio;

use super::damage::bare;
use crate::support::fleet::Fleet;
use crate::support::postgres::Postgres;

const LOOKING: [&[&str]; 7] = [
    &["doctor"],
    &["doctor", "--dry-run"],
    &["migrate", "status"],
    &["migrate", "up", "--dry-run"],
    &["migrate", "down", "--dry-run"],
    &["keys", "create", "--user", "me", "--dry-run"],
    &["keys", "list"],
];

#[test]
fn in_an_empty_folder_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    for args in LOOKING {
        let output = bare(folder.path(), args);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
        assert!(left.is_empty(), "{args:?}: {left:?}");
        let refused = args[0] == "keys";
        assert_eq!(output.status.code(), Some(i32::from(refused)), "{args:?}: {errors}");
        assert!(!refused || errors.contains("subiteya migrate"), "{args:?}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_stays_as_far_as_it_is() {
    let postgres = Postgres::start().await;
    let at = |args: &[&str], stdin: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_subiteya"));
        command.args(args).current_dir(folder.path()).env_clear().env("PATH", std::env::var_os("PATH").expect("PATH"));
        command.env("DATABASE_URL", postgres.url()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), stdin.as_bytes()).ok();
        let output = child.wait_with_output().expect("it ends");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let tables = || postgres.sql("subiteya", "select count(*) from pg_tables where schemaname = 'public'");
    let add = ["accounts", "add", "--id", "a", "--open-id", "o", "--display-name", "d", "--user", "me", "--dry-run"];
    let tokens = r#"{"access_token":"a","refresh_token":"r"}"#;
    for args in LOOKING.iter().copied().chain([
        &add[..],
        &["keys", "revoke", "x", "--dry-run"],
        &["keys", "rewrap", "--dry-run"],
    ]) {
        at(args, tokens);
        assert_eq!(tables(), "0", "{args:?}");
    }
    assert!(at(&["doctor"], "").contains("holds no tables yet"));

    at(&["migrate"], "");
    at(&["migrate", "down", "--yes"], "");
    let behind = at(&["migrate", "status"], "");
    let schema = || postgres.sql("subiteya", "select string_agg(version, ' ' order by version) from seaql_migrations");
    let before = schema();
    for args in LOOKING.iter().copied().chain([&add[..]]) {
        at(args, tokens);
        assert_eq!(schema(), before, "{args:?}");
    }
    assert!(behind.contains("missing") && at(&["doctor"], "").contains("behind"), "{behind}");
    let down = at(&["migrate", "down", "--dry-run"], "");
    let last = before.split(' ').next_back().expect("a migration");
    assert!(down.contains(&format!("{last} would be taken back; with it goes ")), "{down}");
}

/// Neither does a trial on a sound ledger, also not to SQLite's working files.
#[tokio::test(flavor = "multi_thread")]
async fn a_trial_changes_no_row() {
    let fleet = Fleet::new("").await;
    let before = fleet.run(&["keys", "list"], "");
    let created = fleet.run(&["keys", "create", "--user", "you", "--dry-run"], "");
    assert!(created.contains("would be made"), "{created}");
    let tokens = r#"{"access_token":"a","refresh_token":"r"}"#;
    let add = ["accounts", "add", "--id", "a", "--open-id", "o", "--display-name", "d", "--user", "me"];
    fleet.run(&[&add[..], &["--dry-run"]].concat(), tokens);
    assert_eq!(fleet.run(&["keys", "list"], ""), before);
    let files = || {
        let listed = std::fs::read_dir(fleet.data()).expect("a folder").flatten();
        let mut names: Vec<_> = listed.map(|one| one.file_name()).collect();
        names.sort();
        names
    };
    fleet.run(&["doctor"], "");
    let left = files();
    assert!(!left.iter().any(|name| name == "objects" || name == "spool"), "{left:?}");
    // Really added now: the trial has not.
    assert_eq!(fleet.run(&add, tokens), "a  added\n");
}
