//! Damage to one machine's set-up: database, folder, FFmpeg, keys, accounts, TikTok, settings, clock.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};

use super::Rig;
use crate::support::fleet::LOOSE;

async fn database(rig: &Rig) -> DatabaseConnection {
    let file = rig.fleet.data().join("subiteya.db");
    Database::connect(format!("sqlite://{}", file.display())).await.expect("the ledger")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_settings_is_found() {
    let rig = Rig::new().await;
    rig.is_sound("as it was set up");
    let loose = rig.fleet.folder.path().join("loose.toml");
    std::fs::write(&loose, LOOSE).expect("written");
    let loose = [("SUBITEYA_STREAMS", loose.to_str().expect("a path"))];
    rig.doubts("stage limits lacking", &loose, "settings", &["posts have no limit", "limit_per_account = \"1/5m\""]);
    rig.doubts("a misspelt variable", &[("DATABSE_URL", "x")], "settings", &["DATABSE_URL", "is DATABASE_URL meant"]);
    let store = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];
    rig.doubts("a store without a bucket", &store, "settings", &["S3_BUCKET", "AWS_ENDPOINT_URL"]);

    rig.finds("TikTok away", &[("TIKTOK_API_URL", "http://127.0.0.1:1")], &["tiktok"], &["refused", "TIKTOK_API_URL"]);
    let app = [("TIKTOK_CLIENT_KEY", ""), ("TIKTOK_CLIENT_SECRET", "")];
    rig.finds("no app at TikTok", &app, &["tiktok"], &["1 accounts can't be refreshed", "TIKTOK_CLIENT_KEY"]);
    let other = [("ENCRYPTION_KEY", "another-installation's-key-of-32b")];
    assert_eq!(other[0].1.len(), 33);
    let other = [("ENCRYPTION_KEY", &other[0].1[1..])];
    rig.finds(
        "another installation's key",
        &other,
        &["accounts"],
        &["sealed under the key ", "holds ", "rewrap", "ada"],
    );
    let output =
        rig.fleet.command(&["doctor", "--for", "fleet", "--output", "json"]).env("ENCRYPTION_KEY", "").output();
    let said = super::said(&output.expect("it runs"));
    said.names("no key", "fail", &["key", "accounts"], &["ENCRYPTION_KEY is not set", "openssl rand -base64 32"]);
    assert_eq!(said.report["for"], "fleet");
    let output = rig.fleet.command(&["doctor", "--for", "fleet", "--output", "json"]).env("REDIS_URL", "").output();
    let said = super::said(&output.expect("it runs"));
    said.names("no Redis", "fail", &["redis"], &["REDIS_URL is not set", "ENABLE_REDIS=false"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_ffmpeg_is_found() {
    let rig = Rig::new().await;
    rig.finds(
        "no FFmpeg",
        &[("PATH", "/nowhere")],
        &["ffmpeg"],
        &["ffprobe, ffmpeg missing", "apt-get install ffmpeg"],
    );
    let folder = tempfile::tempdir().expect("a folder");
    let of = |name: &str| subiteya::child::find(&[name]).expect("FFmpeg");
    std::os::unix::fs::symlink(of("ffprobe"), folder.path().join("ffprobe")).expect("linked");
    let script = format!("#!/bin/sh\n{} \"$@\" | grep -v -e libx264 -e ' ass '\n", of("ffmpeg").display());
    let poor = folder.path().join("ffmpeg");
    std::fs::write(&poor, script).expect("written");
    std::fs::set_permissions(&poor, std::fs::Permissions::from_mode(0o755)).expect("runs");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let words = ["the encoder libx264", "the filter ass"];
    rig.finds("an FFmpeg without libx264 and libass", &[("PATH", &path)], &["ffmpeg"], &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_database_is_found() {
    let rig = Rig::new().await;
    rig.fleet.run(&["migrate", "down", "--yes"], "");
    let behind = rig.doctor(&[]);
    behind.names("a database that is behind", "fail", &["database"], &["behind", "subiteya migrate"]);
    rig.fleet.run(&["migrate"], "");
    rig.is_sound("migrated");

    let db = database(&rig).await;
    db.execute_unprepared("insert into seaql_migrations (version, applied_at) values ('m9999_later', 0)")
        .await
        .expect("written");
    rig.finds("a newer database", &[], &["database"], &["newer than this binary", "m9999_later"]);
    db.execute_unprepared("delete from seaql_migrations where version = 'm9999_later'").await.expect("written");

    db.execute_unprepared("update accounts set state = 'RECONNECT', state_reason = 'revoked'").await.expect("written");
    rig.doubts("an account to connect again", &[], "accounts", &["ada", "subiteya accounts connect --account ada"]);
    db.execute_unprepared("update accounts set state = 'ACTIVE', access_token = 'v1:x'").await.expect("written");
    rig.finds("tokens that were changed", &[], &["accounts"], &["don't open", "ada"]);
    // Connected once more, it has new ones.
    rig.fleet.account("ada").await;

    let moved = "update settings set value = substr(value, 1, 36) || '/0' where name = 'clock'";
    let kept = "select value from settings where name = 'clock'";
    let row = db.query_one_raw(sea_orm::Statement::from_string(db.get_database_backend(), kept.to_owned())).await;
    let kept: String = row.expect("read").expect("a row").try_get("", "value").expect("text");
    db.execute_unprepared(moved).await.expect("written");
    rig.finds("a clock that is wrong", &[], &["clocks"], &["behind this machine's", "timedatectl"]);
    db.execute_unprepared(&format!("update settings set value = '{kept}' where name = 'clock'"))
        .await
        .expect("written");
    rig.is_sound("repaired");

    let beside = rig.fleet.folder.path().join("beside.db");
    let old = Database::connect(format!("sqlite://{}?mode=rwc", beside.display())).await.expect("a database");
    old.execute_unprepared("create table \"User\" (id integer)").await.expect("a table");
    let url = format!("sqlite://{}", beside.display());
    rig.finds("foreign tables", &[("DATABASE_URL", &url)], &["database"], &["not SubiteYa's (User)", "DATABASE_URL"]);
    std::fs::write(&beside, "this is a letter and no database, and it is long enough to be looked at. ".repeat(99))
        .expect("written");
    rig.finds("a file that is no database", &[("DATABASE_URL", &url)], &["database"], &["not a database"]);
    let nowhere = [("DATABASE_URL", "sqlite:///proc/nowhere/subiteya.db")];
    rig.finds("a database that can't be made", &nowhere, &["database"], &["can't be made", "DATABASE_URL"]);
    if !rustix::process::geteuid().is_root() {
        let file = rig.fleet.data().join("subiteya.db");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).expect("changed");
        rig.finds("a file that can't be written", &[], &["database"], &["takes no writes"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_folder_of_objects_is_found() {
    let mut rig = Rig::new().await;
    let nowhere =
        [("SUBITEYA_DATA", "/proc/nowhere"), ("DATABASE_URL", &*ledger_url(&rig))].map(|(a, b)| (a, b.to_owned()));
    let nowhere: Vec<(&str, &str)> = nowhere.iter().map(|(name, value)| (*name, value.as_str())).collect();
    rig.finds("a folder that can't be written", &nowhere, &["objects", "ffmpeg"], &["can't be made", "SUBITEYA_DATA"]);

    rig.fleet.start("serve", &["serve"]);
    rig.fleet.ready().await;
    let video = rig.fleet.upload("ada", "soon without its source").await;
    rig.fleet.kill("serve");
    rig.is_sound("with a video that waits");
    let source = rig.fleet.data().join(format!("objects/videos/{video}/source"));
    std::fs::rename(&source, rig.fleet.folder.path().join("source")).expect("moved away");
    let words = ["1 objects of videos under way are gone", &format!("videos cancel {video}")];
    rig.finds("a source that is gone", &[], &["objects"], &words);
    std::fs::rename(rig.fleet.folder.path().join("source"), &source).expect("moved back");

    let owner = rig.fleet.data().join("objects/installation");
    std::fs::write(&owner, "another-one").expect("written");
    rig.finds("another installation's store", &[], &["objects"], &["installation another-one", "S3_BUCKET"]);
    std::fs::remove_file(owner).expect("removed");
    rig.is_sound("repaired");
}

fn ledger_url(rig: &Rig) -> String {
    format!("sqlite://{}", rig.fleet.data().join("subiteya.db").display())
}

/// What scripts read, and what people do.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_has_a_shape_and_fits_80_columns() {
    let rig = Rig::new().await;
    let said = rig.doctor(&[("TIKTOK_API_URL", "http://127.0.0.1:1")]);
    assert_eq!((said.report["ok"].clone(), said.report["for"].clone()), (json!(false), json!("fleet")));
    let fields = |one: &Value| one.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    for finding in said.report["findings"].as_array().expect("findings") {
        assert_eq!(fields(finding), ["level", "mend", "ok", "part", "text"], "{finding}");
        assert_eq!(finding["ok"], finding["level"] != "fail", "{finding}");
    }
    let all = said.report["findings"].as_array().expect("findings").iter();
    let parts: Vec<&str> = all.map(|one| one["part"].as_str().expect("a part")).collect();
    let expected =
        ["settings", "database", "objects", "redis", "streams", "clocks", "ffmpeg", "key", "tiktok", "accounts"];
    assert_eq!(parts, expected);

    let output = rig.fleet.command(&["doctor"]).env("TIKTOK_API_URL", "http://127.0.0.1:1").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.starts_with("for             serve and work") && text.contains("\nFAIL  tiktok    "), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "subiteya: one thing needs mending\n");

    // Nothing is set, in an empty folder: that is sound for `up`.
    let folder = tempfile::tempdir().expect("a folder");
    let said = super::said(&bare(folder.path(), &["doctor", "--output", "json"]));
    assert_eq!((said.code, said.troubles(), &said.report["for"]), (Some(0), vec![], &json!("up")), "{}", said.report);
}

pub(super) fn bare(folder: &Path, args: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_subiteya"));
    command.args(args).current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(std::process::Stdio::null()).output().expect("it runs")
}
