//! What one edit worker and one publisher carry: the figures of docs/sizing.md, as Markdown.
//!
//! The real program on SQLite, a folder and a redis-server, with TikTok's sandbox on the same machine. `make sizing` runs
//! it in full; without `--bench` it runs once, small, so that it can't rot. Linux only: it reads /proc.

mod fleet;
mod usage;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fred::interfaces::ClientLike;
use fred::types::config::Config;
use fred::types::{Builder, ClusterHash, CustomCommand};
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use serde_json::{Value, json};

use self::fleet::{Fleet, Upload, stop};

/// How much is done.
struct Extent {
    size: &'static str,
    seconds: u32,
    /// Videos of each round of publishing.
    posts: usize,
    publishers: &'static [usize],
}

const FULL: Extent = Extent { size: "1080x1920", seconds: 10, posts: 30, publishers: &[1, 2, 4] };
const SMALL: Extent = Extent { size: "270x480", seconds: 1, posts: 2, publishers: &[2] };

#[tokio::main]
async fn main() -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!("sizing: skipped, since there is no /proc");
        return Ok(());
    }
    let full = std::env::args().any(|arg| arg == "--bench");
    let extent = if full { FULL } else { SMALL };
    let fleet = Fleet::start().await?;
    let folder = tempfile::tempdir()?;
    let clip = clip(folder.path(), &extent)?;
    println!("{}\n", machine());
    let edited = edit(&fleet, &clip, folder.path(), &extent).await?;
    let posted = publish(&fleet, &clip, edited, &extent).await?;
    stores(&fleet, posted).await
}

fn machine() -> String {
    let first = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).map(str::to_owned).unwrap_or_default();
        line.rsplit_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let ffmpeg = Command::new("ffmpeg").arg("-version").output().map(|output| output.stdout).unwrap_or_default();
    let ffmpeg = String::from_utf8_lossy(&ffmpeg).split_whitespace().nth(2).unwrap_or("?").to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    let model = first("/proc/cpuinfo", "model name");
    format!("{cores} cores of {model}, FFmpeg {ffmpeg}, subiteya {}, {build}", env!("CARGO_PKG_VERSION"))
}

/// Moving shapes under noise, which are about as hard to encode as a handheld shot.
fn clip(folder: &Path, extent: &Extent) -> Result<PathBuf> {
    let file = folder.join("clip.mp4");
    let picture = format!("testsrc2=size={}:rate=30:duration={},noise=alls=8:allf=t", extent.size, extent.seconds);
    let sound = format!("sine=frequency=440:sample_rate=48000:duration={}", extent.seconds);
    ffmpeg(
        &["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound, "-c:v", "libx264", "-preset", "veryfast"],
        &[
            "-b:v",
            "8M",
            "-maxrate",
            "8M",
            "-bufsize",
            "16M",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-movflags",
            "+faststart",
        ],
        &file,
    )?;
    Ok(file)
}

fn ffmpeg(input: &[&str], output: &[&str], file: &Path) -> Result<()> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]).args(input).args(output).arg(file);
    ensure!(command.status()?.success(), "FFmpeg could not make {}", file.display());
    Ok(())
}

/// The brands that are measured, and whether captions come along.
fn brands() -> [(&'static str, Value, bool); 4] {
    let effects = json!(["fade", "grade", "vertical", "loudness"]);
    let watermark = json!({ "corner": "topRight", "width": 0.2, "opacity": 0.8 });
    let captions = json!({ "font": "sans", "size": 0.04, "color": "#FFFFFF", "place": "bottom" });
    [
        ("nothing (remux)", json!({ "watermark": null, "captions": null, "effects": [] }), false),
        ("watermark", json!({ "watermark": watermark, "captions": null, "effects": [] }), false),
        ("demo: four effects", json!({ "watermark": null, "captions": null, "effects": effects }), false),
        ("all parts", json!({ "watermark": watermark, "captions": captions, "effects": effects }), true),
    ]
}

const MB: f64 = 1_000_000.0;

/// Each brand through a worker of its own, from the upload on; one also two at once. Gives the videos, edited.
async fn edit(fleet: &Fleet, clip: &Path, folder: &Path, extent: &Extent) -> Result<Vec<String>> {
    fleet.account("editor").await?;
    let image = folder.join("watermark.png");
    ffmpeg(&["-f", "lavfi", "-i", "color=white:size=400x200"], &["-frames:v", "1"], &image)?;
    fleet.put_watermark("editor", &image).await?;
    let source = std::fs::metadata(clip)?.len() as f64 / MB;
    println!(
        "| {} s of {}, {source:.1} MB | at once | processor s per s of video | wall s per s of video | FFmpeg's peak, MB | worker's own peak, MB | worker's own processor s | result, MB |",
        extent.seconds, extent.size
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    let mut videos = Vec::new();
    for (name, brand, captions) in &brands() {
        for slots in [1, 2] {
            if slots == 2 && !name.starts_with("demo") {
                continue;
            }
            fleet.configure(slots)?;
            let worker = fleet.worker("edit").await?;
            let (_, before) = usage::cpu(worker.id())?;
            let watch = usage::FfmpegWatch::below(&fleet.data().join("spool"));
            let mut ids = Vec::new();
            let began = Instant::now();
            for _ in 0..slots {
                ids.push(fleet.upload(&Upload { account: "editor", clip, brand, captions: *captions }).await?);
            }
            fleet.until(&ids, &["EDITED"]).await?;
            let seconds = f64::from(extent.seconds) * slots as f64;
            let wall = began.elapsed().as_secs_f64() / seconds;
            let (own, children) = usage::cpu(worker.id())?;
            let (ffmpeg, peak) = (watch.end() as f64 / MB, usage::peak(worker.id())? as f64 / MB);
            stop(worker)?;
            let size = edited_size(fleet, &ids[0]).await? / MB;
            let cpu = (children - before) / seconds;
            println!("| {name} | {slots} | {cpu:.2} | {wall:.2} | {ffmpeg:.0} | {peak:.0} | {own:.2} | {size:.1} |");
            videos.extend(ids);
        }
    }
    println!();
    Ok(videos)
}

async fn edited_size(fleet: &Fleet, id: &str) -> Result<f64> {
    let sql = format!("select edited_size as number from videos where id = '{id}'");
    Ok(number(&database(fleet).await?, &sql).await? as f64)
}

/// Rounds of publishing at each concurrency. Gives how many videos are posted in the end.
async fn publish(fleet: &Fleet, clip: &Path, edited: Vec<String>, extent: &Extent) -> Result<usize> {
    let nothing = &brands()[0].1;
    let mut total = edited.len();
    let first = fleet.worker("publish").await?;
    fleet.until(&edited, &["POSTED"]).await?;
    stop(first)?;
    println!(
        "| publisher, posts at once | posts a minute | processor s per post | its peak, MB | bytes on the stream per queued post |"
    );
    println!("|--:|--:|--:|--:|--:|");
    for &slots in extent.publishers {
        fleet.configure(4)?;
        let mut ids = Vec::new();
        for nth in 0..extent.posts {
            let account = format!("creator-{slots}-{nth}");
            fleet.account(&account).await?;
            ids.push(fleet.upload(&Upload { account: &account, clip, brand: nothing, captions: false }).await?);
        }
        let editor = fleet.worker("edit").await?;
        fleet.until(&ids, &["EDITED"]).await?;
        stop(editor)?;
        let bytes = stream_bytes(fleet).await? / extent.posts as f64;
        fleet.configure(slots)?;
        let publisher = fleet.worker("publish").await?;
        let began = Instant::now();
        fleet.until(&ids, &["PROCESSING", "POSTED"]).await?;
        let rate = extent.posts as f64 * 60.0 / began.elapsed().as_secs_f64();
        fleet.until(&ids, &["POSTED"]).await?;
        let (own, _) = usage::cpu(publisher.id())?;
        let (cpu, peak) = (own / extent.posts as f64, usage::peak(publisher.id())? as f64 / MB);
        stop(publisher)?;
        println!("| {slots} | {rate:.0} | {cpu:.3} | {peak:.0} | {bytes:.0} |");
        total += ids.len();
    }
    println!();
    Ok(total)
}

async fn stream_bytes(fleet: &Fleet) -> Result<f64> {
    let client =
        Builder::from_config(Config::from_url(&format!("redis+unix://{}", fleet.socket().display()))?).build()?;
    client.init().await?;
    let command = CustomCommand::new("MEMORY", ClusterHash::FirstKey, false);
    let bytes: i64 = client.custom(command, vec!["USAGE", "video.edited", "SAMPLES", "0"]).await?;
    client.quit().await?;
    Ok(bytes as f64)
}

async fn database(fleet: &Fleet) -> Result<sea_orm::DatabaseConnection> {
    Ok(Database::connect(format!("sqlite://{}", fleet.data().join("subiteya.db").display())).await?)
}

async fn number(database: &sea_orm::DatabaseConnection, sql: &str) -> Result<i64> {
    let row = database.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?.context("a row")?;
    Ok(row.try_get("", "number")?)
}

/// What `videos` posted videos left in the ledger, and cost in Redis commands.
async fn stores(fleet: &Fleet, videos: usize) -> Result<()> {
    let database = database(fleet).await?;
    let each = |count: i64| count as f64 / videos as f64;
    println!("| per posted video | |\n|---|--:|");
    let mut rows = 0;
    for table in ["videos", "tasks", "publications", "history"] {
        let count = number(&database, &format!("select count(*) as number from {table}")).await?;
        println!("| rows of `{table}` | {:.1} |", each(count));
        rows += count;
    }
    println!("| rows of the ledger | {:.1} |", each(rows));
    let bytes =
        number(&database, "select page_count * page_size as number from pragma_page_count, pragma_page_size").await?;
    println!("| bytes of the ledger, with indexes (SQLite) | {:.0} |", each(bytes));
    let usage = fleet.get("/api/monitor/redis-usage").await?;
    println!("| peak of `serve`, MB, whatever their number | {:.0} |", usage::peak(fleet.serve_id())? as f64 / MB);
    println!(
        "| Redis commands, in bursts of this size | {:.1} |",
        usage["total"].as_f64().context("a total")? / videos as f64
    );
    Ok(())
}
