//! The pitfalls of Redis Streams that others fell into, each by its number in the list of them.
//!
//! Those that are tested elsewhere say so in their documentation; `streams/pitfalls.rs` holds that none is left out.

use std::sync::Arc;
use std::time::Duration;

use subiteya::event::{LeaseToken, Stage, VideoId};
use subiteya::ledger::{Ledger, Worker};
use subiteya::outcome::{Outcome, Reason};
use subiteya::relay::{Dispatch, release_due};
use subiteya::stage::Identity;
use subiteya::stream::{Content, Reader, Woken};
use subiteya::task::{State, Task};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::stage::{Pipeline, Process, Script, connect, stages};

const SOON: Duration = Duration::from_secs(10);
const STREAM: &str = "video.uploaded";

async fn through_a_proxy() -> (Pipeline, Proxy) {
    let pipeline = Pipeline::start().await;
    let proxy = Proxy::before(&pipeline.redis.socket()).await;
    (pipeline, proxy)
}

async fn uploads(pipeline: &Pipeline, number: usize) -> Vec<VideoId> {
    let mut videos = Vec::with_capacity(number);
    for _ in 0..number {
        videos.push(pipeline.upload().await);
    }
    videos
}

/// A worker whose reader has shown that it reads.
async fn at_work(pipeline: &Pipeline, url: &str, script: &Arc<Script>) -> Process {
    let process = pipeline.process_on(url, script).await;
    let video = pipeline.upload().await;
    pipeline.all_end(&[video], SOON).await;
    pipeline.nothing_pending().await;
    eventually("the reader waits", SOON, || async {
        pipeline.redis.command(&["INFO", "clients"]).await.contains("blocked_clients:1")
    })
    .await;
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_01_a_blocked_read_holds_up_nothing_else() {
    let pipeline = Pipeline::start().await;
    pipeline.streams.ensure_group(Stage::Edit).await.unwrap();
    let reader = Reader::open(&pipeline.streams, Stage::Edit, "one").await.unwrap();
    let reading = reader.read(1, Duration::from_secs(60));
    eventually("the reader waits", SOON, || async {
        pipeline.redis.command(&["INFO", "clients"]).await.contains("blocked_clients:1")
    })
    .await;
    let asked = Instant::now();
    pipeline.streams.acknowledge(Stage::Edit, vec!["1-0".to_owned()]).await.unwrap();
    assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
    assert!(matches!(reader.wake(reading).await.unwrap(), Woken::Read(read) if read.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_02_a_read_that_ends_with_nothing_is_no_error() {
    let pipeline = Pipeline::start().await;
    pipeline.streams.ensure_group(Stage::Edit).await.unwrap();
    let reader = Reader::open(&pipeline.streams, Stage::Edit, "one").await.unwrap();
    for _ in 0..3 {
        assert!(reader.read(1, Duration::from_millis(50)).await.unwrap().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_04_a_reader_that_hears_nothing_makes_a_new_connection() {
    let (pipeline, proxy) = through_a_proxy().await;
    let script = Arc::new(Script::default());
    let process = at_work(&pipeline, &proxy.url(), &script).await;
    pipeline.redis.reset_calls().await;
    proxy.silence("XREADGROUP");
    let videos = uploads(&pipeline, 3).await;
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
    assert_eq!(script.runs(), 4);
    assert!(pipeline.appends().await <= 6, "{}", pipeline.appends().await);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_05_a_reader_that_was_dropped_strands_nothing() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    at_work(&pipeline, &pipeline.redis.url(), &script).await.kill();
    let video = pipeline.upload().await;
    let process = pipeline.process(&script).await;
    pipeline.all_end(&[video], SOON).await;
    assert_eq!(script.runs(), 2);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_06_a_lost_answer_to_a_read_skips_no_entry() {
    let (pipeline, proxy) = through_a_proxy().await;
    let script = Arc::new(Script::default());
    let process = at_work(&pipeline, &proxy.url(), &script).await;
    pipeline.redis.reset_calls().await;
    proxy.swallow_reply("XREADGROUP");
    let videos = uploads(&pipeline, 5).await;
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
    assert_eq!((proxy.swallowed(), script.runs(), pipeline.appends().await), (1, 6, 5));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_07_a_lost_answer_to_an_append_makes_no_second_run() {
    let (pipeline, proxy) = through_a_proxy().await;
    let dispatch = Dispatch::new(Some(connect(&proxy.url()).await), stages());
    let (video, released) = pipeline.commit_upload().await;
    proxy.swallow_reply("XADD");
    dispatch.append(&released).await;
    assert_eq!(proxy.swallowed(), 1);
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    pipeline.all_end(&[video], SOON).await;
    pipeline.nothing_pending().await;
    assert_eq!(script.runs(), 1);
    assert!(pipeline.appends().await <= 2);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_07_a_lost_answer_to_an_acknowledgement_leaves_nothing_pending() {
    let (pipeline, proxy) = through_a_proxy().await;
    let script = Arc::new(Script::default());
    let process = at_work(&pipeline, &proxy.url(), &script).await;
    // The command itself is lost here, so that the entry stays pending with a worker that lives on.
    pipeline.redis.command(&["ACL", "SETUSER", "default", "-xack"]).await;
    let video = pipeline.upload().await;
    pipeline.all_end(&[video], SOON).await;
    eventually("it was tried", SOON, || async { process.log.lines().iter().any(|line| line.contains("acknowledged")) })
        .await;
    pipeline.redis.command(&["ACL", "SETUSER", "default", "+xack"]).await;
    let entry = pipeline.task(video).await.entry.unwrap();
    let line = ["XPENDING", STREAM, "edit", &entry, &entry, "1"];
    assert!(pipeline.redis.command(&line).await.contains(&entry));
    eventually("the sweep finds it", SOON, || async {
        pipeline.upload().await;
        !pipeline.redis.command(&line).await.contains(&entry)
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_08_pending_ids_whose_entry_is_gone_are_acknowledged() {
    let pipeline = Pipeline::start().await;
    pipeline.streams.ensure_group(Stage::Edit).await.unwrap();
    let videos = uploads(&pipeline, 3).await;
    let dead = Reader::open(&pipeline.streams, Stage::Edit, "dead").await.unwrap();
    let read = dead.read_now(3).await.unwrap();
    pipeline.redis.command(&["XDEL", STREAM, &read[1].id]).await;
    let own = dead.own_pending("0", 10).await.unwrap();
    assert!(matches!(own[1].content, Content::Gone), "{own:?}");
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
    assert_eq!((script.runs(), pipeline.appends().await), (3, 4), "the lost one is appended once more");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_09_the_tail_of_a_long_pending_list_is_seen() {
    let pipeline = Pipeline::start().await;
    pipeline.streams.ensure_group(Stage::Edit).await.unwrap();
    let add: Vec<_> = (0..1_200).map(|n| (n + 1).to_string()).collect();
    let mut session = pipeline.redis.session().await;
    let mut text = String::new();
    for id in &add {
        text.push_str(&format!("XADD {STREAM} {id}-1 none of-ours\r\n"));
    }
    text.push_str(&format!("XREADGROUP GROUP edit alive COUNT 1200 STREAMS {STREAM} >\r\n"));
    session.write_all(text.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 1 << 16];
    eventually("all are read", SOON, || async { pipeline.redis.pending(STREAM, "edit").await == 1_200 }).await;
    assert!(session.read(&mut buffer).await.unwrap() > 0);
    let video = pipeline.upload().await;
    pipeline.redis.command(&["XREADGROUP", "GROUP", "edit", "dead", "STREAMS", STREAM, ">"]).await;
    alive(&pipeline, "alive").await;
    pipeline.redis.reset_calls().await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    eventually("the dead one's entry is rescued", SOON, || async {
        alive(&pipeline, "alive").await;
        pipeline.status(video).await.ended() && pipeline.redis.pending(STREAM, "edit").await == 1_200
    })
    .await;
    assert_eq!((script.runs(), pipeline.appends().await), (1, 0));
    process.stop().await;
}

async fn alive(pipeline: &Pipeline, name: &str) {
    let tx = pipeline.ledger.begin().await.unwrap();
    let worker = Worker {
        name: name.to_owned(),
        stage: "edit".to_owned(),
        host: "here".to_owned(),
        pid: 1,
        slots: 1,
        busy: 1,
        started_at: tx.now(),
        seen_at: tx.now(),
    };
    tx.seen(&worker).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_11_a_worker_that_lost_its_lease_writes_nothing() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let process = pipeline.process(&script).await;
    let video = pipeline.upload().await;
    eventually("it runs", SOON, || async { script.runs() == 1 }).await;
    // Another one has taken it over, and dies.
    let taken = |task: Task, now| Task { token: Some(LeaseToken::new()), lease_until: now + 1_000, ..task };
    pipeline.change(video, taken).await;
    eventually("the zombie stops", SOON, || async { script.at_once.load(std::sync::atomic::Ordering::SeqCst) == 0 })
        .await;
    assert_eq!(pipeline.task(video).await.state, State::Running);
    assert!(script.done.lock().unwrap().is_empty());
    script.gate.add_permits(1);
    pipeline.all_end(&[video], SOON).await;
    pipeline.nothing_pending().await;
    let ended = script.done.lock().unwrap().len();
    assert_eq!((script.runs(), ended, pipeline.appends().await), (2, 1, 1));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_11_a_worker_does_not_take_over_what_it_is_at_work_on() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let process = pipeline.process(&script).await;
    let video = pipeline.upload().await;
    eventually("it runs", SOON, || async { script.runs() == 1 }).await;
    // As after an outage of the database that was longer than the lease.
    pipeline.change(video, |task, now| Task { lease_until: now - 1, ..task }).await;
    eventually("the lease is renewed", SOON, || async {
        let now = pipeline.ledger.now().await.unwrap();
        pipeline.task(video).await.lease_until > now
    })
    .await;
    script.gate.add_permits(1);
    pipeline.all_end(&[video], SOON).await;
    assert_eq!((script.runs(), pipeline.task(video).await.takeovers), (1, 0));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_13_one_video_whose_rows_cannot_be_read_stops_no_other() {
    let pipeline = Pipeline::start().await;
    let bad = pipeline.upload().await;
    let videos = uploads(&pipeline, 5).await;
    let script = Arc::new(Script { unreadable: Some(bad).into(), ..Script::default() });
    let process = pipeline.process(&script).await;
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
    assert_eq!(pipeline.task(bad).await.state, State::Waiting);
    assert!(process.log.lines().len() < 5, "{:#?}", process.log.lines());
    assert_eq!(pipeline.appends().await, 6);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfalls_15_and_16_a_trim_frees_what_has_ended_and_spares_what_lives() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let process = pipeline.process(&script).await;
    let old = uploads(&pipeline, 210).await;
    script.gate.add_permits(old.len());
    pipeline.all_end(&old, Duration::from_secs(20)).await;
    let first = pipeline.upload().await;
    eventually("it runs", SOON, || async { script.runs() == 211 }).await;
    let held = pipeline.task(first).await.entry.unwrap();
    let new = uploads(&pipeline, 110).await;
    eventually("what lies before the living one is trimmed", SOON, || async {
        release_and_append_again(&pipeline, new[0], &process).await;
        length(&pipeline).await < 200
    })
    .await;
    let still = pipeline.redis.command(&["XRANGE", STREAM, &held, &held]).await;
    assert!(still.contains(&held), "{still}");
    let unread = pipeline.redis.command(&["XRANGE", STREAM, &format!("({held}"), "+"]).await;
    // Sixteen of one creator are out at once, and one of them runs.
    assert!(unread.matches("video").count() >= 15, "what was not read is there: {unread}");
    script.gate.add_permits(1_000);
    pipeline.all_end(&new, Duration::from_secs(20)).await;
    assert_eq!(script.runs(), 321);
    process.stop().await;
}

/// An entry more, appended by a process whose relay knows the bound.
async fn release_and_append_again(pipeline: &Pipeline, video: VideoId, process: &Process) {
    let task = pipeline.task(video).await;
    let entry = subiteya::event::Entry { task: task.id, video, trace: subiteya::event::TraceId::new() };
    process.streams.append(Stage::Edit, &entry).await.unwrap();
}

async fn length(pipeline: &Pipeline) -> u64 {
    pipeline.streams.stream_info(Stage::Edit).await.unwrap().length
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_15_a_redis_whose_clock_is_behind_loses_no_entry_to_a_trim() {
    let pipeline = Pipeline::start().await;
    let ahead = "9999999999999-0";
    let (_, released) = pipeline.commit_upload().await;
    for _ in 0..250 {
        // As the relay says again and again, while a task runs under an entry of the Redis that was replaced.
        pipeline.streams.may_trim(Stage::Edit, Some(ahead.to_owned()));
        pipeline.dispatch.append(&released).await;
    }
    assert_eq!(length(&pipeline).await, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_17_a_wipe_under_load_costs_few_log_lines_and_few_appends() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let process = pipeline.process(&script).await;
    let videos = uploads(&pipeline, 30).await;
    eventually("two of them run", SOON, || async { script.runs() == 2 }).await;
    pipeline.redis.command(&["FLUSHALL"]).await;
    script.gate.add_permits(1_000);
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
    let lines = process.log.lines();
    assert!(lines.len() < 10, "{lines:#?}");
    assert_eq!(script.runs(), 30);
    assert!(pipeline.appends().await <= 60, "{}", pipeline.appends().await);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_19_a_consumer_with_something_pending_is_not_removed() {
    let pipeline = Pipeline::start().await;
    pipeline.streams.ensure_group(Stage::Edit).await.unwrap();
    pipeline.upload().await;
    let reader = Reader::open(&pipeline.streams, Stage::Edit, "one").await.unwrap();
    let read = reader.read_now(1).await.unwrap();
    assert!(!pipeline.streams.remove_consumer(Stage::Edit, "one").await.unwrap());
    pipeline.streams.acknowledge(Stage::Edit, vec![read[0].id.clone()]).await.unwrap();
    assert!(pipeline.streams.remove_consumer(Stage::Edit, "one").await.unwrap());
}

#[test]
fn pitfall_21_two_workers_of_one_process_have_two_names() {
    assert_ne!(Identity::new(Stage::Edit).name, Identity::new(Stage::Edit).name);
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfalls_22_and_32_a_lag_that_redis_does_not_know_is_not_zero() {
    let pipeline = Pipeline::start().await;
    pipeline.streams.ensure_group(Stage::Edit).await.unwrap();
    uploads(&pipeline, 3).await;
    let reader = Reader::open(&pipeline.streams, Stage::Edit, "one").await.unwrap();
    reader.read_now(1).await.unwrap();
    let known = pipeline.streams.stream_info(Stage::Edit).await.unwrap().group.unwrap();
    assert_eq!(known.lag, Some(2));
    let all = pipeline.redis.command(&["XRANGE", STREAM, "-", "+"]).await;
    let second = all.lines().filter(|line| line.contains('-') && line.len() < 20).nth(1).unwrap().trim().to_owned();
    pipeline.redis.command(&["XDEL", STREAM, &second]).await;
    let unknown = pipeline.streams.stream_info(Stage::Edit).await.unwrap().group.unwrap();
    assert_eq!(unknown.lag, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_24_a_redis_that_is_away_is_asked_seldom_and_found_again() {
    let (pipeline, proxy) = through_a_proxy().await;
    let script = Arc::new(Script::default());
    let process = at_work(&pipeline, &proxy.url(), &script).await;
    let before = proxy.connects();
    proxy.close();
    let (lost, _) = pipeline.commit_upload().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let attempts = proxy.connects() - before;
    assert!(attempts < 60, "{attempts} attempts");
    proxy.open();
    pipeline.all_end(&[lost], SOON).await;
    let lines = process.log.lines();
    assert!(lines.len() < 12, "{lines:#?}");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_24_a_worker_stops_in_bounded_time_while_redis_is_away() {
    let (pipeline, proxy) = through_a_proxy().await;
    let script = Arc::new(Script::default());
    let process = at_work(&pipeline, &proxy.url(), &script).await;
    proxy.mute();
    let asked = Instant::now();
    process.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_24_a_command_connection_that_hears_nothing_is_replaced() {
    let (pipeline, proxy) = through_a_proxy().await;
    let script = Arc::new(Script::default());
    let process = at_work(&pipeline, &proxy.url(), &script).await;
    proxy.silence("XACK");
    // Only the process itself can append it.
    let (video, _) = pipeline.commit_upload().await;
    pipeline.all_end(&[video], Duration::from_secs(15)).await;
    assert_eq!(script.runs(), 2);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_24_a_password_that_is_wrong_for_a_while_is_lived_through() {
    let (pipeline, proxy) = through_a_proxy().await;
    let script = Arc::new(Script::default());
    let process = at_work(&pipeline, &proxy.url(), &script).await;
    let mut session = pipeline.redis.session().await;
    session.write_all(b"CONFIG SET requirepass another\r\n").await.unwrap();
    let mut reply = [0; 64];
    assert!(session.read(&mut reply).await.unwrap() > 0);
    proxy.cut();
    let (video, _) = pipeline.commit_upload().await;
    let before = proxy.connects();
    eventually("it is tried in vain", SOON, || async { proxy.connects() >= before + 6 }).await;
    assert!(!pipeline.status(video).await.ended());
    session.write_all(b"AUTH another\r\nCONFIG SET requirepass \"\"\r\n").await.unwrap();
    assert!(session.read(&mut reply).await.unwrap() > 0);
    pipeline.all_end(&[video], Duration::from_secs(15)).await;
    let lines = process.log.lines();
    assert!(lines.len() < 20, "{lines:#?}");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_27_an_ended_videos_entry_that_comes_again_is_acknowledged_and_nothing_else() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    let (video, released) = pipeline.commit_upload().await;
    pipeline.dispatch.append(&released).await;
    pipeline.all_end(&[video], SOON).await;
    let before = pipeline.task(video).await;
    pipeline.dispatch.append(&released).await;
    let after = pipeline.upload().await;
    pipeline.all_end(&[after], SOON).await;
    pipeline.nothing_pending().await;
    assert_eq!(pipeline.task(video).await, before);
    assert_eq!(script.runs(), 2);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_31_what_is_parked_is_not_pending() {
    let pipeline = Pipeline::start().await;
    let far = 1 << 50;
    let parked = move |_| Outcome::Parked { until: far, reason: Reason::new("test", "later") };
    let script = Arc::new(Script { outcome: Box::new(parked), ..Script::default() });
    let process = pipeline.process(&script).await;
    uploads(&pipeline, 100).await;
    eventually("all are parked", SOON, || async { script.runs() == 100 }).await;
    pipeline.nothing_pending().await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_33_uploads_are_accepted_in_bounded_time_while_redis_says_nothing() {
    let (pipeline, proxy) = through_a_proxy().await;
    let streams = connect(&proxy.url()).await;
    let dispatch = Dispatch::new(Some(streams.clone()), stages());
    proxy.mute();
    let asked = Instant::now();
    let mut videos = Vec::new();
    for _ in 0..5 {
        let (video, released) = pipeline.commit_upload().await;
        dispatch.append(&released).await;
        videos.push(video);
    }
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    pipeline.all_end(&videos, SOON).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_release_each_turn_once() {
    let pipeline = Pipeline::start().await;
    // As many as go out of one creator at once.
    let mut videos = Vec::new();
    for _ in 0..16 {
        videos.push(pipeline.commit_upload().await.0);
    }
    for video in videos {
        pipeline.change(video, |task, now| task.doubt(now).unwrap()).await;
    }
    let relays = (0..4).map(|_| async {
        let ledger = Ledger::open(&pipeline.database()).await.unwrap();
        let dispatch = Dispatch::new(Some(pipeline.streams.clone()), stages());
        tokio::spawn(async move { release_due(&ledger, &dispatch, Stage::Edit).await }).await.unwrap().unwrap();
    });
    futures::future::join_all(relays).await;
    assert_eq!(pipeline.appends().await, 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_workers_share_one_sqlite_file() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(pipeline.process(&script).await);
    }
    let videos = uploads(&pipeline, 60).await;
    pipeline.all_end(&videos, Duration::from_secs(20)).await;
    pipeline.nothing_pending().await;
    assert_eq!((script.runs(), pipeline.appends().await), (60, 60));
    for process in processes {
        assert!(process.log.lines().is_empty(), "{:#?}", process.log.lines());
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_28_a_replay_of_a_queued_video_makes_others_doubted_once_at_most() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let process = pipeline.process(&script).await;
    let videos = uploads(&pipeline, 13).await;
    eventually("two of them run", SOON, || async { script.runs() == 2 }).await;
    let old = pipeline.task(videos[12]).await.queued_at;
    eventually("they are older than the margin", SOON, || async { pipeline.ledger.now().await.unwrap() > old + 1_100 })
        .await;
    pipeline.change(videos[2], |task, now| task.cancel().unwrap().replay(now).unwrap()).await;
    eventually("it is released anew", SOON, || async { pipeline.appends().await == 14 }).await;
    for runs in 3..=13 {
        script.gate.add_permits(1);
        eventually("the next one runs", SOON, || async { script.runs() == runs }).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    script.gate.add_permits(100);
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
    assert!(pipeline.appends().await <= 24, "{}", pipeline.appends().await);
    assert_eq!(script.runs(), 13);
    process.stop().await;
}
