//! The stream round trip: append, read, acknowledge on a redis-server of its own, beside a bare fred loop that sends the
//! same commands. Prints medians of several rounds and their ratio; the figures are of this machine and this minute.
//!
//! `make bench` runs it in full. Without `--bench` (as `cargo test --bench streams` starts it) it runs once, small, so that it
//! can't rot.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::config::Config;
use fred::types::streams::{XCap, XID};
use fred::types::{Builder, Value};
use subiteya::child::{Contained, Limits, Running, find};
use subiteya::event::{Entry, Stage, TaskId, TraceId, VideoId};
use subiteya::stream::{Meter, Options, Reader, Streams};

/// Entries of one read and of one acknowledgement.
const BATCH: u64 = 100;

#[tokio::main]
async fn main() -> Result<()> {
    let full = std::env::args().any(|arg| arg == "--bench");
    let (entries, rounds) = if full { (50_000, 5) } else { (500, 1) };
    let folder = tempfile::tempdir()?;
    let _server = redis(folder.path()).await?;
    let url = format!("redis+unix://{}", folder.path().join("redis.sock").display());
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        // One after the other in the same minute, on an empty server each.
        ours.push(engine(&url, entries).await?);
        bare.push(loop_of_fred(&url, entries).await?);
    }
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    println!("streams: {entries} entries a round, {rounds} rounds, {BATCH} a read, one XACK a read, pipelined appends");
    println!("streams: engine     {ours:>9.0} entries/s (median)");
    println!("streams: bare fred  {bare:>9.0} entries/s (median)");
    println!("streams: ratio      {:>9.2}", ours / bare);
    let latency = round_trip(&url, if full { 500 } else { 20 }).await?;
    println!("streams: append to delivery, blocked reader: p50 {:.2} ms, p99 {:.2} ms", latency.0, latency.1);
    Ok(())
}

async fn redis(folder: &Path) -> Result<Running> {
    let program = find(&["redis-server", "valkey-server"]).context("redis-server or valkey-server is not installed")?;
    let server = Contained::new(&program, folder, Limits::default())
        .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"])
        .start()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while tokio::net::UnixStream::connect(folder.join("redis.sock")).await.is_err() {
        ensure!(Instant::now() < deadline, "redis-server does not listen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(server)
}

/// A reply of XREADGROUP: streams, their entries, their fields.
type Read = Vec<(String, Vec<(String, Vec<String>)>)>;

fn entry() -> Entry {
    Entry { task: TaskId::new(), video: VideoId::new(), trace: TraceId::new() }
}

async fn engine(url: &str, entries: usize) -> Result<f64> {
    let streams = Streams::connect(url, Options::default(), Meter::default()).await?;
    wipe(url).await?;
    streams.ensure_group(Stage::Edit).await?;
    let reader = Reader::open(&streams, Stage::Edit, "bench").await?;
    let started = Instant::now();
    let appending = tokio::spawn({
        let streams = streams.clone();
        async move {
            for _ in 0..entries / 50 {
                futures::future::try_join_all((0..50).map(|_| {
                    let streams = streams.clone();
                    async move { streams.append(Stage::Edit, &entry()).await }
                }))
                .await?;
            }
            Ok::<_, subiteya::stream::StreamError>(())
        }
    });
    let mut seen = 0;
    while seen < entries {
        let read = reader.read(BATCH, Duration::from_secs(5)).await??;
        ensure!(!read.is_empty(), "entries are missing");
        seen += read.len();
        streams.acknowledge(Stage::Edit, read.into_iter().map(|delivery| delivery.id).collect()).await?;
    }
    appending.await??;
    let rate = entries as f64 / started.elapsed().as_secs_f64();
    reader.close().await;
    streams.close().await;
    Ok(rate)
}

async fn loop_of_fred(url: &str, entries: usize) -> Result<f64> {
    wipe(url).await?;
    let connect = || async {
        let client = Builder::from_config(Config::from_url(url)?).build()?;
        client.init().await?;
        Ok::<_, fred::error::Error>(client)
    };
    let (client, reader) = (connect().await?, connect().await?);
    let _: Value = client.xgroup_create("bench", "bench", XID::Manual("0".into()), true).await?;
    let started = Instant::now();
    let appending = tokio::spawn({
        let client = client.clone();
        async move {
            for _ in 0..entries / 50 {
                futures::future::try_join_all((0..50).map(|_| {
                    let client = client.clone();
                    async move {
                        let fields: Vec<(&str, String)> = entry().fields().to_vec();
                        client.xadd::<String, _, _, _, _>("bench", false, XCap::from(None), XID::Auto, fields).await
                    }
                }))
                .await?;
            }
            Ok::<_, fred::error::Error>(())
        }
    });
    let mut seen = 0;
    while seen < entries {
        let read: Read = reader.xreadgroup("bench", "bench", Some(BATCH), Some(5_000), false, "bench", ">").await?;
        let ids: Vec<String> = read.into_iter().flat_map(|(_, entries)| entries).map(|(id, _)| id).collect();
        seen += ids.len();
        let _: u64 = client.xack("bench", "bench", ids).await?;
    }
    appending.await??;
    let rate = entries as f64 / started.elapsed().as_secs_f64();
    client.quit().await?;
    reader.quit().await?;
    Ok(rate)
}

/// From the append to the entry in the hands of a reader that waits: p50 and p99, in milliseconds.
async fn round_trip(url: &str, times: usize) -> Result<(f64, f64)> {
    wipe(url).await?;
    let streams = Streams::connect(url, Options::default(), Meter::default()).await?;
    streams.ensure_group(Stage::Edit).await?;
    let reader = Reader::open(&streams, Stage::Edit, "bench").await?;
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let reading = reader.read(1, Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(5)).await;
        let started = Instant::now();
        streams.append(Stage::Edit, &entry()).await?;
        ensure!(reading.await??.len() == 1, "the entry was not delivered");
        took.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    Ok((took[times / 2], took[times * 99 / 100]))
}

async fn wipe(url: &str) -> Result<()> {
    use fred::interfaces::KeysInterface;
    let client = Builder::from_config(Config::from_url(url)?).build()?;
    client.init().await?;
    let _: u64 = client.del(vec!["bench", "video.uploaded"]).await?;
    client.quit().await?;
    Ok(())
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
