//! Upstash's manners: commands that it lacks, limits that it holds, idle connections that it closes, plans that are used
//! up. Each command here is one that somebody pays for.

use std::sync::Arc;
use std::time::Duration;

use subiteya::event::Stage;
use subiteya::outcome::{Outcome, Reason};
use subiteya::relay::Dispatch;
use subiteya::stream::{Meter, Options, Reader, StreamError, Streams, Woken};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::eventually;
use crate::support::stage::{Pipeline, Script, connect, stages};
use crate::support::upstash::Plan;

const SOON: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_refuses_what_upstash_refuses_and_bills_the_rest() {
    let pipeline = Pipeline::start().await;
    let plan = Plan::free().cap(9).largest_request(200).most_connections(1);
    let upstash = plan.before(&pipeline.redis.socket()).await;
    let address = upstash.url().replace("redis://", "");
    let mut one = tokio::net::TcpStream::connect(&address).await.unwrap();
    let mut second = tokio::net::TcpStream::connect(&address).await.unwrap();
    let mut answers = Vec::new();
    let long = format!("XADD s * field {}", "x".repeat(200));
    for line in [
        "PING",
        "CLIENT UNBLOCK 1",
        "CONFIG GET maxmemory-policy",
        "INFO commandstats",
        "INFO",
        &long,
        "MULTI",
        "XADD s * a b",
        "EXEC",
        "PING",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        one.write_all(request.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 1 << 16];
        let read = one.read(&mut buffer).await.unwrap();
        answers.push(String::from_utf8_lossy(&buffer[..read]).into_owned());
    }
    let begins = |at: usize, with: &str| assert!(answers[at].starts_with(with), "{at}: {}", answers[at]);
    begins(0, "+PONG");
    begins(1, "-ERR Command is not available: 'CLIENT UNBLOCK'");
    begins(2, "-ERR Command is not available: 'CONFIG'");
    begins(3, "$16\r\n# commandstats");
    assert!(answers[4].contains("redis_version:") && !answers[4].contains("aof_enabled"), "{}", answers[4]);
    begins(5, "-ERR max request size exceeded");
    begins(7, "+QUEUED");
    begins(8, "*1");
    begins(9, "-ERR max requests limit exceeded. Limit: 9, Usage: 9");
    assert_eq!((upstash.usage(), upstash.turned_away()), (9, [("PING".to_owned(), 1)].into()));
    let mut buffer = vec![0; 1 << 10];
    let read = second.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"-ERR max concurrent connections exceeded"));
    eventually("only the first is left", SOON, || async { upstash.connections() == 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_redis_cannot_wake_is_cut_and_loses_nothing() {
    let pipeline = Pipeline::start().await;
    let upstash = Plan::free().before(&pipeline.redis.socket()).await;
    let streams = connect(&upstash.url()).await;
    streams.ensure_group(Stage::Edit).await.unwrap();
    let reader = Reader::open(&streams, Stage::Edit, "one").await.unwrap();
    let blocked = || async { pipeline.redis.command(&["INFO", "clients"]).await.contains("blocked_clients:1") };
    for round in 0..2 {
        upstash.forget();
        let reading = reader.read(1, Duration::from_secs(60));
        eventually("the reader waits", SOON, blocked).await;
        let asked = Instant::now();
        assert!(matches!(reader.wake(reading).await.unwrap(), Woken::Cut));
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        assert_eq!(upstash.refused().get("CLIENT UNBLOCK").copied().unwrap_or(0), 1 - round, "asked once a process");
    }
    pipeline.upload().await;
    assert_eq!(reader.read(1, SOON).await.unwrap().unwrap().len(), 1);
    assert_eq!(reader.own_pending("0", 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_the_loop_does_is_something_upstash_has() {
    let pipeline = Pipeline::start().await;
    let upstash = Plan::free().before(&pipeline.redis.socket()).await;
    let script = Arc::new(Script::default());
    let process = pipeline.process_on(&upstash.url(), &script).await;
    let mut videos = vec![pipeline.upload().await];
    // Lost between commit and append, so that the reader has to be woken.
    videos.push(pipeline.commit_upload().await.0);
    pipeline.all_end(&videos, SOON).await;
    pipeline.redis.command(&["FLUSHALL"]).await;
    videos.push(pipeline.upload().await);
    pipeline.all_end(&videos, SOON).await;
    assert_eq!(script.runs(), 3);
    process.streams.stream_info(Stage::Edit).await.unwrap();
    let server = process.streams.recognise().await.unwrap();
    assert!(!server.version.is_empty() && server.append_only.is_none(), "{server:?}");
    process.stop().await;
    let refused = upstash.refused();
    assert!(refused.keys().all(|command| command == "CLIENT UNBLOCK"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifteen_hundred_tasks_out_on_the_stream_stay_far_below_the_pending_limit() {
    let pipeline = Pipeline::start().await;
    let upstash = Plan::free().before(&pipeline.redis.socket()).await;
    pipeline.streams.ensure_group(Stage::Edit).await.unwrap();
    let mut videos = Vec::new();
    for _ in 0..1_500 {
        videos.push(pipeline.upload().await);
    }
    // Half of them are put off once, as a limit would.
    let put_off = |run| match run {
        0..1_500 if run % 2 == 0 => Outcome::Parked { until: 0, reason: Reason::new("stage_limit", "used up") },
        _ => Outcome::Done,
    };
    let script = Arc::new(Script { outcome: Box::new(put_off), ..Script::default() });
    let process = pipeline.process_on(&upstash.url(), &script).await;
    pipeline.all_end(&videos, Duration::from_secs(120)).await;
    pipeline.nothing_pending().await;
    process.stop().await;
    let most = upstash.most_pending();
    assert!((1..=110).contains(&most), "two slots, and a hundred acknowledgements that wait for company: {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_closed_as_idle_rests_until_it_is_needed() {
    let pipeline = Pipeline::start().await;
    let upstash = Plan::free().closes_idle(Duration::from_millis(200)).before(&pipeline.redis.socket()).await;
    let streams = connect(&upstash.url()).await;
    let dispatch = Dispatch::new(Some(streams.clone()), stages());
    for _ in 0..2 {
        pipeline.upload_by(&dispatch).await;
        upstash.forget();
        let deadline = Instant::now() + SOON;
        while upstash.connections() > 0 || !upstash.billed().contains_key("QUIT") {
            assert!(Instant::now() < deadline, "{} connections, {:?}", upstash.connections(), upstash.billed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let before = upstash.usage();
        assert!(before <= 3 * 3 + 1, "three set-ups and a farewell at most: {:?}", upstash.billed());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(upstash.usage(), before, "resting costs nothing");
        assert!(streams.connected());
    }
    let appended = pipeline.appends().await;
    assert_eq!(appended, 2, "the first one after a rest was delayed by a set-up, not lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_are_closed_as_idle_are_no_trouble_and_lose_nothing() {
    let pipeline = Pipeline::start().await;
    let idle = Duration::from_millis(700);
    let upstash = Plan::free().closes_idle(idle).closes_reads_too().before(&pipeline.redis.socket()).await;
    let script = Arc::new(Script::default());
    let process = pipeline.process_on(&upstash.url(), &script).await;
    let first = pipeline.upload().await;
    pipeline.all_end(&[first], SOON).await;
    upstash.forget();
    let closed = upstash.idle_closes();
    eventually("reads are closed", SOON, || async { upstash.idle_closes() >= closed + 6 }).await;
    let billed = upstash.billed();
    let sets_up = billed.get("CLIENT ID").copied().unwrap_or(0);
    let reads = billed.get("XREADGROUP").copied().unwrap_or(0);
    assert!(
        reads <= 2 * (upstash.idle_closes() - closed) + 2 && sets_up <= upstash.idle_closes() - closed + 2,
        "{billed:?}"
    );
    let second = pipeline.upload().await;
    pipeline.all_end(&[second], SOON).await;
    assert_eq!(script.runs(), 2);
    assert_eq!(process.log.lines(), Vec::<String>::new(), "a routine close is not worth a warning");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_used_up_stops_commands_and_nothing_else() {
    let pipeline = Pipeline::start().await;
    let upstash = Plan::free().before(&pipeline.redis.socket()).await;
    let script = Arc::new(Script::default());
    let process = pipeline.process_on(&upstash.url(), &script).await;
    let streams = connect(&upstash.url()).await;
    let dispatch = Dispatch::new(Some(streams.clone()), stages());
    let first = pipeline.upload().await;
    pipeline.all_end(&[first], SOON).await;
    upstash.cap(Some(0));
    let mut videos = Vec::new();
    for _ in 0..30 {
        videos.push(pipeline.upload_by(&dispatch).await);
    }
    assert!(streams.over_quota().is_some_and(|said| said.contains("Limit: 0")), "{:?}", streams.over_quota());
    assert!(!streams.connected());
    eventually("the other process sees it too", SOON, || async { process.streams.over_quota().is_some() }).await;
    upstash.forget();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(script.runs(), 1);
    let turned_away = upstash.turned_away();
    assert_eq!(turned_away.keys().collect::<Vec<_>>(), ["XLEN"], "one process asks, at most every second");
    assert!(turned_away["XLEN"] <= 8, "{turned_away:?}");
    let refused = Streams::connect(&upstash.url(), Options::default(), Meter::default()).await.unwrap();
    assert!(refused.over_quota().is_some(), "a process that starts now waits like the others");
    assert!(matches!(refused.ensure_group(Stage::Edit).await, Err(StreamError::QuotaExceeded(_))));

    upstash.cap(None);
    pipeline.all_end(&videos, Duration::from_secs(30)).await;
    for video in &videos {
        let task = pipeline.task(*video).await;
        assert_eq!((task.attempts, task.takeovers), (0, 0));
    }
    pipeline.nothing_pending().await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_that_ends_while_redis_is_away_is_no_rest_any_more() {
    let mut pipeline = Pipeline::start().await;
    let upstash = Plan::free().closes_idle(Duration::from_millis(500)).before(&pipeline.redis.socket()).await;
    let streams = connect(&upstash.url()).await;
    eventually("it rests", SOON, || async { upstash.billed().contains_key("QUIT") }).await;
    assert!(streams.connected());
    pipeline.redis.kill().await;
    for _ in 0..3 {
        let refused = streams.ensure_group(Stage::Edit).await;
        assert!(matches!(refused, Err(StreamError::Unavailable(_))), "{refused:?}");
        assert!(!streams.connected());
    }
    pipeline.redis.restart().await;
    let deadline = Instant::now() + SOON;
    while let Err(error) = streams.ensure_group(Stage::Edit).await {
        assert!(Instant::now() < deadline, "it is not found again: {error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(streams.connected());
}
