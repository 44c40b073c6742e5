//! Damage to Redis and to what lies in it.

use sea_orm::{ConnectionTrait, Database};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::Rig;

const STREAM: &str = "video.uploaded";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_redis_is_found_with_few_commands() {
    let rig = Rig::new().await;
    let redis = &rig.fleet.redis;
    redis.reset_calls().await;
    rig.is_sound("as it was set up");
    let mut calls = redis.calls().await;
    calls.retain(|name, _| !name.starts_with("config"));
    assert!(calls.values().sum::<u64>() <= 8, "{calls:?}");

    redis.command(&["CONFIG", "SET", "appendonly", "no"]).await;
    rig.doubts("no persistence", &[], "redis", &["without append-only file", "CONFIG SET appendonly yes"]);
    redis.command(&["CONFIG", "SET", "appendonly", "yes"]).await;
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    rig.finds("eviction", &[], &["redis"], &["evicts keys", "allkeys-lru", "maxmemory-policy noeviction"]);
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    redis.command(&["CONFIG", "SET", "maxmemory", "1000000"]).await;
    rig.finds("a full Redis", &[], &["redis"], &["nine tenths of its memory", "maxmemory"]);
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    rig.finds("a replica", &[], &["redis"], &["it is a replica", "primary"]);
    redis.command(&["REPLICAOF", "NO", "ONE"]).await;
    rig.is_sound("repaired");

    let (_folder, url) = telling(&rig, "redis_version:", "6").await;
    rig.finds("a Redis that is too old", &[("REDIS_URL", &url)], &["redis"], &["version 6", "Redis 7.0"]);
    let (_folder, url) = telling(&rig, "server_time_usec:", "16").await;
    rig.finds("a Redis whose clock is wrong", &[("REDIS_URL", &url)], &["clocks"], &["Redis' clock", "behind"]);
    let away = [("REDIS_URL", "redis://127.0.0.1:1")];
    rig.finds("no Redis", &away, &["redis"], &["can't be reached", "REDIS_URL"]);
    redis.command(&["CONFIG", "SET", "requirepass", "another"]).await;
    rig.finds("a wrong password", &[], &["redis"], &["NOAUTH", "correct the setting"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_streams_lack_beside_the_ledger_is_found() {
    let mut rig = Rig::new().await;
    rig.fleet.start("serve", &["serve"]);
    rig.fleet.ready().await;
    rig.fleet.upload("ada", "waits for an editor").await;
    rig.fleet.kill("serve");
    rig.is_sound("a moment after an upload");
    let file = rig.fleet.data().join("subiteya.db");
    let db = Database::connect(format!("sqlite://{}", file.display())).await.expect("the ledger");
    let redis = &rig.fleet.redis;

    // Since long ago.
    db.execute_unprepared("update tasks set queued_at = 0").await.expect("written");
    rig.finds("a group that is missing", &[], &["streams"], &["the group edit", "XGROUP CREATE video.uploaded edit 0"]);
    redis.command(&["XGROUP", "CREATE", STREAM, "edit", "0"]).await;
    rig.is_sound("with a task that waits on its stream");

    redis.command(&["RENAME", STREAM, "aside"]).await;
    rig.finds("a stream that is missing", &[], &["streams"], &["no such stream", "subiteya work edit"]);
    redis.command(&["SET", STREAM, "another program's"]).await;
    rig.finds(
        "another program's key",
        &[],
        &["streams"],
        &["holds something that is no stream", "RENAME video.uploaded"],
    );
    redis.command(&["RENAME", "aside", STREAM]).await;

    redis.command(&["XGROUP", "CREATE", STREAM, "others", "0"]).await;
    rig.doubts("a foreign group", &[], "streams", &["a group others", "XGROUP DESTROY video.uploaded others"]);
    redis.command(&["XGROUP", "DESTROY", STREAM, "others"]).await;

    redis.command(&["XREADGROUP", "GROUP", "edit", "intruder", "STREAMS", STREAM, ">"]).await;
    rig.finds("a foreign consumer", &[], &["streams"], &["intruder", "holds 1 entries", "XGROUP DELCONSUMER"]);
    redis.command(&["XGROUP", "DELCONSUMER", STREAM, "edit", "intruder"]).await;
    rig.finds("entries that were lost", &[], &["streams"], &["Redis has 0 entries", "subiteya work edit"]);

    let listed = redis.command(&["XRANGE", STREAM, "-", "+"]).await;
    let id = listed.lines().find(|line| line.contains('-')).expect("an id").trim().to_owned();
    db.execute_unprepared(&format!("update tasks set state = 'done', entry = '{id}', started_at = 1"))
        .await
        .expect("written");
    rig.is_sound("with a task that has ended");
    redis.command(&["XGROUP", "SETID", STREAM, "edit", "0"]).await;
    rig.finds(
        "a group that was set back",
        &[],
        &["streams"],
        &["was set back", &format!("SETID video.uploaded edit {id}")],
    );
    redis.command(&["XGROUP", "DESTROY", STREAM, "edit"]).await;
    rig.finds("a group that is gone", &[], &["streams"], &["the group edit of video.uploaded is gone"]);
    redis.command(&["XGROUP", "CREATE", STREAM, "edit", "$"]).await;
    rig.is_sound("repaired");

    let other = uuid::Uuid::now_v7().to_string();
    redis.command(&["XADD", STREAM, "*", "task", &other, "video", &other, "trace", &other]).await;
    rig.finds("another installation's entries", &[], &["streams"], &["another installation", "REDIS_URL"]);
}

/// The rig's Redis behind a socket that changes the beginning of one figure of INFO.
async fn telling(rig: &Rig, name: &'static str, begin: &'static str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("redis.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let redis = rig.fleet.redis.socket();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = UnixStream::connect(&redis).await.expect("Redis answers");
            tokio::spawn(async move {
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(read) = from_server.read(&mut bytes).await {
                    // As long as before, so that the reply's own length stays right.
                    if let Some(at) = bytes[..read].windows(name.len()).position(|part| part == name.as_bytes()) {
                        let at = at + name.len();
                        bytes[at..at + begin.len()].copy_from_slice(begin.as_bytes());
                    }
                    if read == 0 || to_client.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (folder, format!("redis+unix://{}", socket.display()))
}
