//! What is so now: work that waits and why, limits, workers, the month's commands, and this process.

use std::sync::atomic::Ordering;

use prometheus::GaugeVec;

use super::{Scrape, float, unsigned};
use crate::event::Stage;
use crate::http::monitor::{Snapshot, Usage};
use crate::http::{AppState, Problem};
use crate::ledger::Status;
use crate::limit::{self, Ask, Key};
use crate::stream::{Server, Streams};

const DAY_MS: i64 = 24 * 3600 * 1000;
/// As many reasons of a stage have a series of their own; whatever else there is goes by this name.
const REASONS: usize = 24;
const OTHER: &str = "other";

pub(super) async fn show(scrape: &Scrape, state: &AppState, snapshots: &[Snapshot]) -> Result<(), Problem> {
    let now = state.ledger.now().await?;
    stages(scrape, snapshots)?;
    videos(scrape, state, now).await?;
    waiting(scrape, state, now).await?;
    limits(scrape, state, now).await?;
    people(scrape, state).await?;
    workers(scrape, state, now).await?;
    redis(scrape, state).await?;
    process(scrape, state)
}

fn stages(scrape: &Scrape, snapshots: &[Snapshot]) -> Result<(), Problem> {
    let demand = "What workers could be busy with now: what runs, and what may start under the limits";
    let demand = scrape.gauge("subiteya_demand", demand, &["stage"])?;
    let oldest = "Since the oldest run that still goes on was begun; none: nothing runs";
    let oldest = scrape.gauge("subiteya_oldest_run_seconds", oldest, &["stage"])?;
    let paused = scrape.gauge("subiteya_stage_paused", "Whether an operator has paused the stage", &["stage"])?;
    let dead = "Entries on the stream that could not be read, kept as dead";
    let dead = scrape.gauge("subiteya_dead_entries", dead, &["stream"])?;
    for one in snapshots {
        let stage = [one.stage.as_str()];
        demand.with_label_values(&stage).set(float(one.demand));
        paused.with_label_values(&stage).set(f64::from(u8::from(one.paused.is_some())));
        dead.with_label_values(&[one.stage.stream().unwrap_or_default()]).set(float(one.dead_entries));
        if let Some(milliseconds) = one.oldest_pending_ms {
            oldest.with_label_values(&stage).set(float(milliseconds) / 1000.0);
        }
    }
    Ok(())
}

async fn videos(scrape: &Scrape, state: &AppState, now: i64) -> Result<(), Problem> {
    let help = "Videos by status; of POSTED, FAILED and CANCELED those of the last 24 hours";
    let gauge = scrape.gauge("subiteya_videos", help, &["status"])?;
    for status in Status::ALL {
        gauge.with_label_values(&[&status.to_string()]).set(0.0);
    }
    for (status, number) in state.ledger.status_counts(now - DAY_MS).await? {
        gauge.with_label_values(&[&status.to_string()]).set(float(number));
    }
    Ok(())
}

/// The ledger is the outbox: what waits there, since when, and what for.
async fn waiting(scrape: &Scrape, state: &AppState, now: i64) -> Result<(), Problem> {
    let help = "Tasks by stage and state: waiting ones are due and not yet on the stream, parked ones wait in the ledger for a time to come, queued ones are on the stream and not yet begun";
    let tasks = scrape.gauge("subiteya_tasks", help, &["stage", "state"])?;
    let help = "How long the oldest task that is due has been so, without being on its stream; none: nothing waits";
    let oldest = scrape.gauge("subiteya_outbox_oldest_seconds", help, &["stage"])?;
    let parked = scrape.gauge("subiteya_parked", "Parked tasks, by what they wait for", &["stage", "reason"])?;
    for stage in Stage::ALL {
        let counts = state.ledger.stage_counts(stage, now).await?;
        for (name, number) in [
            ("waiting", counts.waiting),
            ("parked", counts.parked),
            ("queued", counts.queued),
            ("running", counts.running),
            ("dead", counts.dead),
            ("review", counts.review),
        ] {
            tasks.with_label_values(&[stage.as_str(), name]).set(float(number));
        }
        if let Some(since) = state.ledger.due_since(stage, now).await? {
            oldest.with_label_values(&[stage.as_str()]).set(float(now - since) / 1000.0);
        }
        for (place, (reason, number)) in state.ledger.parked_by_reason(stage, now).await?.into_iter().enumerate() {
            let reason = if place < REASONS && is_plain(&reason) { reason.as_str() } else { OTHER };
            parked.with_label_values(&[stage.as_str(), reason]).add(float(number));
        }
    }
    Ok(())
}

/// Codes are ours or TikTok's, of which one may be new to us.
fn is_plain(code: &str) -> bool {
    code.len() <= 48
        && code.bytes().all(|letter| letter.is_ascii_lowercase() || letter == b'_' || letter.is_ascii_digit())
}

/// The stages' keys by themselves; creators, of whom there may be any number, counted.
async fn limits(scrape: &Scrape, state: &AppState, now: i64) -> Result<(), Problem> {
    let help = "Permits that a limit gives in its window, by the kind of its key";
    let permits = scrape.gauge("subiteya_limit_permits", help, &["key"])?;
    let window = scrape.gauge("subiteya_limit_window_seconds", "The limit's sliding window", &["key"])?;
    let used = scrape.gauge("subiteya_limit_permits_used", "Permits taken in the window that ends now", &["key"])?;
    for (stage, key) in [(Stage::Edit, Key::Edit), (Stage::Publish, Key::Publish)] {
        let Some(rate) = state.stages.of(stage).limit else { continue };
        let label = [stage.as_str()];
        permits.with_label_values(&label).set(f64::from(rate.count));
        window.with_label_values(&label).set(rate.window.as_secs_f64());
        let taken = limit::taken(&state.ledger, now, &Ask { key, rate: Some(rate) }).await?;
        used.with_label_values(&label).set(unsigned(taken as u64));
    }
    if let Some(rate) = state.stages.publish.limit_per_account {
        permits.with_label_values(&["creator"]).set(f64::from(rate.count));
        window.with_label_values(&["creator"]).set(rate.window.as_secs_f64());
    }
    let help = "Creators whose posts have to wait: allowance used up here, or closed by TikTok for a while";
    let creators = scrape.gauge("subiteya_creators_held", help, &["by"])?;
    let held = state.ledger.creators_held(now).await?;
    creators.with_label_values(&["limit"]).set(float(held.used_up));
    creators.with_label_values(&["tiktok"]).set(float(held.closed));
    let help = "Whether TikTok has closed posting for all accounts, or for all that have not posted within the day";
    let closed = scrape.gauge("subiteya_limit_closed", help, &["key"])?;
    let closings = limit::closings(&state.ledger, now, &[Key::Publish, Key::Newcomers]).await?;
    for (key, label) in [(Key::Publish, "publish"), (Key::Newcomers, "newcomers")] {
        let is_closed = closings.iter().any(|(closed, ..)| *closed == key);
        closed.with_label_values(&[label]).set(f64::from(u8::from(is_closed)));
    }
    Ok(())
}

async fn people(scrape: &Scrape, state: &AppState) -> Result<(), Problem> {
    let help = "Connected TikTok accounts; those to RECONNECT post nothing until their creator signs in again";
    let accounts = scrape.gauge("subiteya_accounts", help, &["state"])?;
    for (account, number) in state.ledger.account_counts().await? {
        accounts.with_label_values(&[account.as_str()]).set(float(number));
    }
    Ok(())
}

async fn workers(scrape: &Scrape, state: &AppState, now: i64) -> Result<(), Problem> {
    let workers = scrape.gauge("subiteya_workers", "Workers seen within the last minute", &["stage"])?;
    let slots = scrape.gauge("subiteya_worker_slots", "What they can carry at once", &["stage"])?;
    let busy = scrape.gauge("subiteya_worker_slots_busy", "What they carry", &["stage"])?;
    for gauge in [&workers, &slots, &busy] {
        for stage in Stage::STREAMED {
            gauge.with_label_values(&[stage.as_str()]).set(0.0);
        }
    }
    for worker in state.ledger.workers(now - crate::http::monitor::ALIVE_MS).await? {
        let add = |gauge: &GaugeVec, number: i64| gauge.with_label_values(&[worker.stage.as_str()]).add(float(number));
        add(&workers, 1);
        add(&slots, worker.slots);
        add(&busy, worker.busy);
    }
    Ok(())
}

async fn redis(scrape: &Scrape, state: &AppState) -> Result<(), Problem> {
    let usage = Usage::now(state).await?;
    let help = "Redis commands of this month, by purpose";
    let month = scrape.gauge("subiteya_redis_commands_month", help, &["purpose"])?;
    for (purpose, commands) in &usage.by_purpose {
        month.with_label_values(&[purpose]).set(unsigned(*commands));
    }
    let forecast = "Redis commands of the whole month, if it goes on like this";
    scrape
        .gauge("subiteya_redis_commands_month_forecast", forecast, &[])?
        .with_label_values(&[] as &[&str])
        .set(unsigned(usage.forecast));
    let low = "The month is likely to end above this (19 of 20); none: too few days are counted";
    let low = scrape.gauge("subiteya_redis_commands_month_forecast_low", low, &[])?;
    let high = "The month is likely to end below this (19 of 20); none: too few days are counted";
    let high = scrape.gauge("subiteya_redis_commands_month_forecast_high", high, &[])?;
    if let Some(range) = usage.forecast_range {
        low.with_label_values(&[] as &[&str]).set(unsigned(range.low));
        high.with_label_values(&[] as &[&str]).set(unsigned(range.high));
    }
    let plan = "Redis commands that the plan has in a month; none: they are not metered";
    let plan = scrape.gauge("subiteya_redis_commands_month_limit", plan, &[])?;
    if let Some(limit) = state.monthly_commands {
        plan.with_label_values(&[] as &[&str]).set(unsigned(limit));
    }
    let total = "Redis commands ever sent, by purpose";
    let total = scrape.counter("subiteya_redis_commands_total", total, &["purpose"])?;
    for (purpose, commands) in state.ledger.usage_ever().await? {
        total.with_label_values(&[&purpose]).inc_by(float(commands));
    }
    let streams = state.dispatch.streams();
    let server = streams.and_then(Streams::about);
    let flags = [
        ("subiteya_redis_connected", "Whether Redis is connected", streams.map(Streams::connected)),
        (
            "subiteya_redis_over_quota",
            "Whether Redis says that the plan's commands are used up",
            streams.map(|streams| streams.over_quota().is_some()),
        ),
        (
            "subiteya_redis_evicts",
            "Whether Redis throws keys out when it is full, as it was at start",
            server.and_then(Server::evicts),
        ),
        (
            "subiteya_redis_persists",
            "Whether Redis has an append-only file, as it was at start",
            server.and_then(|server| server.append_only),
        ),
    ];
    for (name, help, flag) in flags {
        let gauge = scrape.gauge(name, help, &[])?;
        if let Some(flag) = flag {
            gauge.with_label_values(&[] as &[&str]).set(f64::from(u8::from(flag)));
        }
    }
    Ok(())
}

/// Of the `serve` that answers.
fn process(scrape: &Scrape, state: &AppState) -> Result<(), Problem> {
    let uploads = scrape.gauge("subiteya_uploads_in_flight", "Uploads that this process receives", &[])?;
    uploads.with_label_values(&[] as &[&str]).set(unsigned(state.uploads.load(Ordering::Relaxed) as u64));
    let build = scrape.gauge("subiteya_build_info", "1, with the program's version", &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    Ok(())
}
