//! `serve` and `work`: the parts of a fleet. Everything in one process is `up`.

use std::sync::Arc;

use super::patience::Patience;
use super::process::Process;
use super::signals::Signals;
use super::surroundings::Surroundings;
use super::{Failure, Workers, parts};
use crate::config::Config;
use crate::event::Stage;
use crate::stream::Streams;

/// HTTP, pages, relay.
pub(super) async fn serve(config: Config) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let tools = parts::tools(&config).await?;
    let process = tokio::select! {
        process = stores(config, "serve") => process,
        () = signals.next() => return Ok(()),
    };
    let mut process = process?;
    process.tend_spool(&tools);
    let address = process.serve(Arc::new(tools)).await?;
    process.relay();
    process.webhooks().await?;
    process.upkeep();
    tracing::info!("listening on http://{address}");
    process.until_stopped(&mut signals).await
}

/// The workers of one stage, or of all.
pub(super) async fn work(config: Config, workers: Workers) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let name = match workers {
        Workers::Edit => "work edit",
        Workers::Publish => "work publish",
        Workers::All => "work all",
    };
    let tools = match workers {
        Workers::Edit | Workers::All => Some(parts::tools(&config).await?),
        Workers::Publish => None,
    };
    let tiktok = config.tiktok.clone();
    let process = tokio::select! {
        process = stores(config, name) => process,
        () = signals.next() => return Ok(()),
    };
    let mut process = process?;
    if workers == Workers::Edit {
        process.warns_of_its_key().await?;
    }
    if let Some(tools) = tools {
        process.tend_spool(&tools);
        let edit = parts::edit(&process.config, &process.ledger, &process.dispatch, &process.media, tools);
        process.edit(edit);
    }
    if workers.stages().contains(&Stage::Publish) {
        let tiktok = tiktok.ok_or_else(|| Failure::failed("nothing is known of TikTok"))?;
        let publisher = process.publisher(parts::client(&tiktok)?).await?;
        process.publish(publisher);
    }
    tracing::info!("working: {name}");
    process.until_stopped(&mut signals).await
}

/// Ledger, object store and, where it is enabled, Redis.
pub(super) async fn stores(config: Config, name: &'static str) -> Result<Process, Failure> {
    let ledger = parts::ledger(&config).await?;
    let media = parts::media(&config, Patience::Start).await?;
    let streams: Option<Streams> = match &config.redis.url {
        Some(url) if config.redis.enabled => {
            let streams = parts::streams(url, Patience::Start).await?;
            if let Some(server) = streams.about() {
                parts::warn_of(server, &url.shown());
            }
            Some(streams)
        }
        Some(_) | None => None,
    };
    if streams.is_none() {
        tracing::warn!("Redis is disabled (ENABLE_REDIS=false): uploads are accepted and wait in the ledger");
    }
    // Not before, so that a start that fails says one thing only: what it couldn't reach.
    Surroundings::of(&config).log(name);
    Ok(Process::new(config, ledger, media, streams, name))
}
