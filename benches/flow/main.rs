//! Two stages that do nothing, with the whole ledger: what delivery itself costs, beside BullMQ in the same minute.
//!
//! Three processes of ours, as a fleet has them: one that commits uploads (video, task, history; then the release and the
//! append, as `ingest` does it), a worker of the edit stage and one of the publish stage in the program's own loop, each with a
//! [`Work`](subiteya::stage::Work) that does nothing and settles what the real stages settle. Redis, PostgreSQL and the
//! SQLite file are the bench's own. BullMQ's three processes do the same (`peers/bullmq.cjs`), without a database, and
//! against PostgreSQL with the same rows. Ours and theirs take turns.
//!
//! `cargo bench --bench flow` runs it in full (`FLOW_RESULTS=FILE` appends the table there). Without `--bench` (as
//! `cargo test --bench flow` starts it) it runs ours once, small, so that it can't rot. `-- sqlite`, `postgres` or `latency`
//! take one part.

mod figures;
mod peer;
mod roles;
mod servers;
mod turn;

use anyhow::Result;

use figures::Table;
use servers::{Database, Redis};
use turn::{Kind, Turn};

/// How many videos a turn has, how often each side takes one, and how many are in flight or in work at once.
struct Size {
    videos: usize,
    turns: usize,
    at_once: usize,
    latencies: usize,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let [role, what, config] = args.as_slice()
        && role == "role"
    {
        return runtime.block_on(roles::play(what, config));
    }
    let full = args.iter().any(|arg| arg == "--bench");
    let wanted: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-')).collect();
    runtime.block_on(bench(full, &wanted))
}

async fn bench(full: bool, wanted: &[&str]) -> Result<()> {
    let size = if full {
        Size { videos: number("FLOW_VIDEOS", 20_000), turns: number("FLOW_TURNS", 5), at_once: 100, latencies: 500 }
    } else {
        Size { videos: 300, turns: 1, at_once: 20, latencies: 10 }
    };
    let peers = full && std::env::var_os("FLOW_OURS_ONLY").is_none();
    let wants = |part: &str| wanted.is_empty() || wanted.contains(&part);
    let mut table = Table::default();
    for (part, kind) in [("sqlite", Kind::Sqlite), ("postgres", Kind::Postgres)] {
        if !wants(part) || (!full && kind == Kind::Postgres && !servers::has_postgres()) {
            continue;
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for turn in 0..size.turns {
            let redis = Redis::start().await?;
            let database = Database::start(kind).await?;
            let rate = Turn { redis: &redis, database: &database, at_once: size.at_once }.flow(size.videos).await?;
            println!("flow: {part} turn {} ours {rate:.0} videos/s", turn + 1);
            ours.push(rate);
            if peers {
                let redis = Redis::start().await?;
                let database = if kind == Kind::Postgres { Some(Database::start(kind).await?) } else { None };
                let rate = peer::flow(&redis, database.as_ref(), size.videos, size.at_once)?;
                println!("flow: {part} turn {} BullMQ {rate:.0} videos/s", turn + 1);
                theirs.push(rate);
            }
        }
        table.flow(part, &ours, &theirs);
    }
    if wants("latency") {
        let redis = Redis::start().await?;
        let database = Database::start(Kind::Sqlite).await?;
        let ours = Turn { redis: &redis, database: &database, at_once: size.at_once }.latency(size.latencies).await?;
        let theirs = if peers { Some(peer::latency(&Redis::start().await?, size.latencies)?) } else { None };
        table.latency(&ours, theirs.as_ref());
    }
    table.print();
    if full { table.keep() } else { Ok(()) }
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
