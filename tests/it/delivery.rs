//! How work reaches a worker, whatever is lost, doubled, killed or wiped on the way.

use std::sync::Arc;
use std::time::Duration;

use subiteya::config::Rate;
use subiteya::control;
use subiteya::event::Stage;
use subiteya::ledger::{Pause, Status};
use subiteya::outcome::{Outcome, Reason};
use subiteya::task::State;

use crate::support::eventually;
use crate::support::stage::{Pipeline, Script};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_run_once_and_its_entry_acknowledged() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    let videos = [pipeline.upload().await, pipeline.upload().await, pipeline.upload().await];
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
    assert_eq!(script.runs(), 3);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_18_what_was_appended_before_the_first_worker_came_is_work_too() {
    let pipeline = Pipeline::start().await;
    let video = pipeline.upload().await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    pipeline.all_end(&[video], SOON).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_25_an_entry_that_was_never_appended_is_released_anew() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    let (lost, _) = pipeline.commit_upload().await;
    pipeline.all_end(&[lost], SOON).await;
    assert_eq!(script.runs(), 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_lost_under_traffic_is_overtaken_and_released_anew() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let process = pipeline.process(&script).await;
    // Both slots stay busy with one video each, so the reader never stands idle with nothing to read.
    let (lost, _) = pipeline.commit_upload().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut others = Vec::new();
    while !pipeline.status(lost).await.ended() {
        assert!(tokio::time::Instant::now() < deadline, "the lost one waits for ever");
        others.push(pipeline.upload().await);
        script.gate.add_permits(1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    script.gate.add_permits(1000);
    pipeline.all_end(&others, SOON).await;
    assert_eq!(script.runs(), others.len() + 1, "each one once");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_entry_is_run_once() {
    let pipeline = Pipeline::start().await;
    let (video, released) = pipeline.commit_upload().await;
    pipeline.dispatch.append(&released).await;
    pipeline.dispatch.append(&released).await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    pipeline.all_end(&[video], SOON).await;
    pipeline.nothing_pending().await;
    assert_eq!(script.runs(), 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_redis_costs_time_and_no_video() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let process = pipeline.process(&script).await;
    let mut videos = Vec::new();
    for _ in 0..20 {
        videos.push(pipeline.upload().await);
    }
    eventually("two of them run", SOON, || async { script.runs() == 2 }).await;
    pipeline.redis.command(&["FLUSHALL"]).await;
    script.gate.add_permits(1000);
    pipeline.all_end(&videos, SOON).await;
    assert_eq!(script.runs(), 20);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_wiped_while_the_reader_waits_is_noticed() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    let first = pipeline.upload().await;
    pipeline.all_end(&[first], SOON).await;
    for _ in 0..3 {
        pipeline.redis.command(&["FLUSHALL"]).await;
        let video = pipeline.upload().await;
        pipeline.all_end(&[video], SOON).await;
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_restarts_empty_is_filled_again() {
    let mut pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let process = pipeline.process(&script).await;
    let mut videos = vec![pipeline.upload().await, pipeline.upload().await, pipeline.upload().await];
    eventually("two of them run", SOON, || async { script.runs() == 2 }).await;
    pipeline.redis.kill().await;
    let (while_away, released) = pipeline.commit_upload().await;
    pipeline.dispatch.append(&released).await;
    videos.push(while_away);
    script.gate.add_permits(1000);
    pipeline.redis.restart().await;
    pipeline.all_end(&videos, Duration::from_secs(20)).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_workers_work_is_taken_over_when_its_lease_is_over() {
    let pipeline = Pipeline::start().await;
    let dying = Arc::new(Script::closed());
    let first = pipeline.process(&dying).await;
    let video = pipeline.upload().await;
    eventually("it runs", SOON, || async { dying.runs() == 1 }).await;
    first.kill();
    let script = Arc::new(Script::default());
    let second = pipeline.process(&script).await;
    pipeline.all_end(&[video], SOON).await;
    assert_eq!(script.runs(), 1);
    pipeline.nothing_pending().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_10_work_of_four_leases_is_run_once_by_two_workers() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let (one, two) = (pipeline.process(&script).await, pipeline.process(&script).await);
    let video = pipeline.upload().await;
    eventually("it runs", SOON, || async { script.runs() == 1 }).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(script.runs(), 1);
    script.gate.add_permits(1);
    pipeline.all_end(&[video], SOON).await;
    assert_eq!(script.runs(), 1);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_14_a_task_that_kills_its_workers_is_poison_and_the_next_worker_lives() {
    let pipeline = Pipeline::start().await;
    let video = pipeline.upload().await;
    for _ in 0..3 {
        let script = Arc::new(Script::closed());
        let process = pipeline.process(&script).await;
        eventually("it runs", SOON, || async { script.runs() == 1 }).await;
        process.kill();
    }
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    pipeline.all_end(&[video], SOON).await;
    assert_eq!(pipeline.status(video).await, Status::Failed);
    assert_eq!(script.runs(), 0);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_12_a_shutdown_hands_work_back_uncounted_and_at_once() {
    let pipeline = Pipeline::start().await;
    let video = pipeline.upload().await;
    for _ in 0..5 {
        let script = Arc::new(Script::closed());
        let process = pipeline.process(&script).await;
        let started = tokio::time::Instant::now();
        eventually("it runs", SOON, || async { script.runs() == 1 }).await;
        assert!(started.elapsed() < Duration::from_millis(1900), "no lease was waited for");
        process.stop().await;
    }
    let task = pipeline.ledger.task_of(video, Stage::Edit).await.expect("read").expect("task").task;
    assert_eq!((task.attempts, task.takeovers), (0, 0));
    assert_eq!(pipeline.redis.pending("video.uploaded", "edit").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfalls_03_and_20_a_blocked_reader_stops_at_once_and_leaves_no_consumer() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    for _ in 0..10 {
        let process = pipeline.process(&script).await;
        let video = pipeline.upload().await;
        pipeline.all_end(&[video], SOON).await;
        let asked = tokio::time::Instant::now();
        process.stop().await;
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    let consumers = pipeline.streams.consumers(Stage::Edit).await.expect("a group");
    assert!(consumers.is_empty(), "{consumers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_tried_again_until_its_attempts_are_used_up() {
    let pipeline = Pipeline::start().await;
    let fault = |_| Outcome::Retry(Reason::new("test", "it does not work"));
    let script = Arc::new(Script { outcome: Box::new(fault), ..Script::default() });
    let process = pipeline.process(&script).await;
    let video = pipeline.upload().await;
    pipeline.all_end(&[video], SOON).await;
    assert_eq!(script.runs(), 2);
    assert_eq!(pipeline.status(video).await, Status::Failed);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_13_one_entry_that_is_none_of_ours_stops_nothing() {
    let pipeline = Pipeline::start().await;
    let bad = ["XADD", "video.uploaded", "*", "task", "nonsense"];
    pipeline.redis.command(&bad).await;
    let videos = [pipeline.upload().await, pipeline.upload().await];
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
    let dead = pipeline.ledger.dead_entries(10).await.expect("read");
    assert_eq!(dead.len(), 1);
    assert!(dead[0].reason.contains("task"), "{}", dead[0].reason);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_entries_whose_content_is_gone_are_acknowledged_and_their_videos_end_well() {
    let pipeline = Pipeline::start().await;
    let dying = Arc::new(Script::closed());
    let first = pipeline.process(&dying).await;
    let videos = [pipeline.upload().await, pipeline.upload().await, pipeline.upload().await];
    eventually("two run", SOON, || async { dying.runs() == 2 }).await;
    first.kill();
    pipeline.redis.command(&["XTRIM", "video.uploaded", "MAXLEN", "0"]).await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    pipeline.all_end(&videos, Duration::from_secs(15)).await;
    pipeline.nothing_pending().await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_once_than_there_are_slots() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    let mut videos = Vec::new();
    for _ in 0..50 {
        videos.push(pipeline.upload().await);
    }
    pipeline.all_end(&videos, SOON).await;
    assert!(script.most_at_once.load(std::sync::atomic::Ordering::SeqCst) <= 2);
    assert_eq!(script.runs(), 50);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_costs_one_blocking_read_and_nothing_else() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    let video = pipeline.upload().await;
    pipeline.all_end(&[video], SOON).await;
    pipeline.nothing_pending().await;
    // The sweep that follows the last entry has been made when nothing is out any more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    pipeline.redis.reset_calls().await;
    process.streams.meter().take();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let calls = pipeline.redis.calls().await;
    assert!(calls.is_empty(), "while idle: {calls:?}");
    assert!(process.streams.meter().take().is_empty());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_on_an_idle_system_costs_one_append_one_read_and_one_acknowledgement() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    let first = pipeline.upload().await;
    pipeline.all_end(&[first], SOON).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    pipeline.redis.reset_calls().await;
    for _ in 0..5 {
        let video = pipeline.upload().await;
        pipeline.all_end(&[video], SOON).await;
        pipeline.nothing_pending().await;
    }
    let calls = pipeline.redis.calls().await;
    let of = |name: &str| calls.get(name).copied().unwrap_or(0);
    assert_eq!((of("xadd"), of("xack")), (5, 5), "{calls:?}");
    // A blocked read is counted when it blocks and when it is served, by Redis 7.0.
    assert!((5..=10).contains(&of("xreadgroup")), "{calls:?}");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_paused_waits_and_goes_on_when_it_is_resumed() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::default());
    let process = pipeline.process(&script).await;
    for name in ["stage/edit", "account/conn_1"] {
        let pause = Pause { name: name.to_owned(), until: None, reason: "a look first".to_owned(), set_by: None };
        let tx = pipeline.ledger.begin().await.unwrap();
        tx.put_pause(&pause).await.unwrap();
        tx.commit().await.unwrap();
        let before = script.runs();
        let held = pipeline.upload().await;
        // Longer than a relay and a reader need to find it.
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(script.runs(), before, "{name} is paused");
        let tx = pipeline.ledger.begin().await.unwrap();
        assert!(tx.remove_pause(name).await.unwrap());
        tx.commit().await.unwrap();
        pipeline.all_end(&[held], SOON).await;
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_at_the_full_rate_with_work_always_waiting_costs_less_than_four_commands() {
    let pipeline = Pipeline::start().await;
    pipeline.connect_account().await;
    let limit = Some(Rate { count: 3, window: Duration::from_secs(1) });
    let edit = Arc::new(Script { publish_next: true, limit, ..Script::default() });
    let publish = Arc::new(Script { limit, ..Script::default() });
    let mut videos = Vec::new();
    for _ in 0..36 {
        videos.push(pipeline.upload().await);
    }
    let process = pipeline.process_of_both(&edit, &publish).await;
    eventually("the rate is full", SOON, || async { publish.runs() >= 6 }).await;
    pipeline.redis.reset_calls().await;
    let begun = publish.runs();
    eventually("eight seconds later", 3 * SOON, || async { publish.runs() >= begun + 24 }).await;
    let calls = pipeline.redis.calls().await;
    // Uploads are appended as the limit lets them start, so theirs are among them.
    let sent = calls.values().sum::<u64>();
    println!("{sent} commands for {} videos: {calls:?}", publish.runs() - begun);
    assert!(sent * 100 <= 385 * (publish.runs() - begun) as u64, "{sent} for {}: {calls:?}", publish.runs() - begun);
    pipeline.all_end(&videos, SOON).await;
    pipeline.nothing_pending().await;
    for video in &videos {
        for row in pipeline.ledger.tasks_of(*video).await.expect("read") {
            assert_eq!((row.task.attempts, row.task.takeovers), (0, 0), "{row:?}");
        }
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_stage_finishes_what_runs_costs_no_command_and_goes_on_by_itself() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let process = pipeline.process(&script).await;
    let mut videos = Vec::new();
    for _ in 0..5 {
        videos.push(pipeline.upload().await);
    }
    eventually("two of them run", SOON, || async { script.runs() == 2 }).await;
    let until = pipeline.ledger.now().await.unwrap() + 8_000;
    let pause = Pause { name: "stage/edit".into(), until: Some(until), reason: "a deploy".into(), set_by: None };
    control::pause(&pipeline.ledger, &pause).await.unwrap();
    script.gate.add_permits(1000);
    let ended = || async {
        let mut ended = 0;
        for &video in &videos {
            ended += usize::from(pipeline.status(video).await.ended());
        }
        ended
    };
    eventually("what runs finishes", SOON, || async { ended().await == 2 }).await;
    eventually("it is acknowledged", SOON, || async { pipeline.redis.pending("video.uploaded", "edit").await == 0 })
        .await;
    // Three entries are out on the stream, and one more video comes: longer than a worker and a relay take to look.
    videos.push(pipeline.upload().await);
    pipeline.redis.reset_calls().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let calls = pipeline.redis.calls().await;
    assert!(calls.is_empty(), "waiting costs none: {calls:?}");
    process.stop().await;
    let process = pipeline.process(&script).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(pipeline.ledger.now().await.unwrap() < until, "the test is too slow for its pause");
    assert_eq!(script.runs(), 2, "it survives a restart");
    pipeline.all_end(&videos, SOON + Duration::from_secs(8)).await;
    assert!(pipeline.ledger.now().await.unwrap() >= until);
    for &video in &videos {
        assert_eq!(pipeline.task(video).await.attempts, 0);
    }
    assert_eq!(script.runs(), 6, "each one once");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_account_keeps_its_videos_places_and_lets_others_pass() {
    let pipeline = Pipeline::start().await;
    let script = Arc::new(Script::closed());
    let process = pipeline.process(&script).await;
    let mut videos = Vec::new();
    for _ in 0..4 {
        videos.push(pipeline.upload().await);
    }
    eventually("two of them run", SOON, || async { script.runs() == 2 }).await;
    let pause = Pause { name: "account/conn_1".into(), until: None, reason: String::new(), set_by: None };
    control::pause(&pipeline.ledger, &pause).await.unwrap();
    // The entries of the other two are read, and put back.
    script.gate.add_permits(1000);
    let waits = async |video| {
        let task = pipeline.task(video).await;
        task.state == State::Waiting && task.attempts == 0
    };
    eventually("they wait in the ledger", SOON, || async { waits(videos[2]).await && waits(videos[3]).await }).await;
    pipeline.nothing_pending().await;
    let (first, second) = (pipeline.task(videos[2]).await, pipeline.task(videos[3]).await);
    assert!((first.due_at, first.id) < (second.due_at, second.id), "in their order");
    assert!(control::resume(&pipeline.ledger, &pipeline.dispatch, "account/conn_1", "ann").await.unwrap());
    assert!(!control::resume(&pipeline.ledger, &pipeline.dispatch, "account/conn_1", "ann").await.unwrap());
    pipeline.all_end(&videos, SOON).await;
    assert_eq!(script.runs(), 4);
    process.stop().await;
}
