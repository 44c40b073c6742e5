//! The embedded Redis, as a real child of real processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use subiteya::app::embedded::{DataFolder, EmbeddedRedis};

fn socket(redis: &EmbeddedRedis) -> PathBuf {
    PathBuf::from(redis.url().expose().strip_prefix("redis+unix://").expect("a socket"))
}

/// Sends one inline command and gives the beginning of the answer.
fn say(socket: &Path, command: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = [0u8; 4096];
    let read = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_there_after_a_stop_and_after_a_death_of_redis() {
    let parent = tempfile::tempdir().expect("folder");
    // Too long for a socket's path, and with a space in it.
    let path = parent.path().join("a data folder").join("x".repeat(90));
    let folder = DataFolder::open(&path).expect("folder");
    let redis = EmbeddedRedis::start(&folder).await.expect("redis");
    assert_eq!(say(&socket(&redis), "SET a 1").expect("set"), "+OK\r\n");
    let first = socket(&redis);
    redis.stop().await;
    assert!(say(&first, "PING").is_err(), "it is gone after a stop");

    let redis = EmbeddedRedis::start(&folder).await.expect("redis again");
    let socket = socket(&redis);
    assert_eq!(say(&socket, "GET a").expect("get"), "$1\r\n1\r\n");
    say(&socket, "SHUTDOWN NOSAVE").ok();
    wait_until("it is started again", || say(&socket, "GET a").is_ok_and(|answer| answer == "$1\r\n1\r\n")).await;
    redis.stop().await;
}

fn process_id(socket: &Path) -> Option<String> {
    let info = say(socket, "INFO server").ok()?;
    info.lines().find_map(|line| line.strip_prefix("process_id:").map(str::to_owned))
}

/// The shells that stand between us and the Redis of this folder.
#[cfg(target_os = "linux")]
fn shells_of(folder: &Path) -> Vec<rustix::process::Pid> {
    let entries = std::fs::read_dir("/proc").expect("proc").flatten();
    let shells = entries.filter(|entry| {
        let cwd = std::fs::read_link(entry.path().join("cwd"));
        let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        cwd.is_ok_and(|cwd| cwd == folder) && command.contains("subiteya-child")
    });
    let pids = shells.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(rustix::process::Pid::from_raw).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_whose_watching_shells_are_killed_is_replaced() {
    use rustix::process::{Signal, kill_process};
    let parent = tempfile::tempdir().expect("folder");
    let folder = DataFolder::open(parent.path()).expect("folder");
    let redis = EmbeddedRedis::start(&folder).await.expect("redis");
    let socket = socket(&redis);
    let first = process_id(&socket).expect("a process");
    assert_eq!(say(&socket, "SET a 1").expect("set"), "+OK\r\n");
    let shells = shells_of(&folder.path().join("redis"));
    assert_eq!(shells.len(), 2, "the supervisor and its watcher");
    for shell in shells {
        kill_process(shell, Signal::KILL).expect("killed");
    }
    wait_until("another one answers", || process_id(&socket).is_some_and(|now| now != first)).await;
    // It says who it is while it still loads what the first one wrote.
    let kept = || say(&socket, "GET a").is_ok_and(|reply| reply == "$1\r\n1\r\n");
    wait_until("what was written is there", kept).await;
    redis.stop().await;
    assert!(say(&socket, "PING").is_err(), "none is left");
}

#[tokio::test]
async fn redis_ends_with_a_process_that_is_killed_and_the_next_one_can_start() {
    let parent = tempfile::tempdir().expect("folder");
    let mut helper = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "embedded::helper_that_holds_a_redis_until_it_is_killed", "--ignored", "--nocapture"])
        .env("HELPER_FOLDER", parent.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("helper");
    let lines = BufReader::new(helper.stdout.take().expect("stdout")).lines();
    let ready =
        lines.map_while(Result::ok).find_map(|line| line.split_once("socket=").map(|(_, path)| path.to_owned()));
    let socket = PathBuf::from(ready.expect("a socket"));
    assert!(say(&socket, "PING").is_ok());
    helper.kill().expect("SIGKILL");
    helper.wait().expect("reaped");
    wait_until("redis is gone", || UnixStream::connect(&socket).is_err()).await;
    let folder = DataFolder::open(parent.path()).expect("the lock went with its process");
    EmbeddedRedis::start(&folder).await.expect("redis").stop().await;
}

#[tokio::test]
#[ignore = "run by the test above, as another process"]
async fn helper_that_holds_a_redis_until_it_is_killed() {
    let Some(path) = std::env::var_os("HELPER_FOLDER") else { return };
    let folder = DataFolder::open(Path::new(&path)).expect("folder");
    let redis = EmbeddedRedis::start(&folder).await.expect("redis");
    println!("\nsocket={}", socket(&redis).display());
    std::future::pending::<()>().await;
}
