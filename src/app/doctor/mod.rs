//! `doctor`: each part looked at as it is now, and for what is wrong the way to mend it. Nothing is made or changed, and
//! Redis is asked about a dozen commands.

mod accounts;
mod clocks;
mod database;
mod ffmpeg;
mod key;
mod redis;
mod report;
mod settings;
mod store;
mod streams;
mod tiktok;

use self::report::Report;
use super::{Exit, Failure, Judged, Manner, Output};
use crate::config::Config;

pub(super) async fn doctor(config: Config, judged: Option<Judged>, manner: Manner) -> Result<(), Failure> {
    let guess = if config.redis.url.is_some() && config.keys.is_some() { Judged::Fleet } else { Judged::Up };
    let mut report = Report::new(judged.unwrap_or(guess), judged.is_none());
    settings::look(&config, &mut report);
    let ledger = database::look(&config, &mut report).await;
    store::look(&config, ledger.as_ref(), &mut report).await;
    let streams = redis::look(&config, &mut report).await;
    if let (Some(ledger), Some(streams)) = (&ledger, &streams) {
        streams::look(&config, ledger, streams, &mut report).await;
    }
    clocks::look(ledger.as_ref(), streams.as_ref(), &mut report).await;
    if let Some(streams) = &streams {
        streams.close().await;
    }
    ffmpeg::look(&config, &mut report).await;
    let keys = key::look(&config, &mut report);
    tiktok::look(&config, ledger.as_ref(), &mut report).await;
    if let Some(ledger) = &ledger {
        accounts::look(ledger, keys.as_ref(), &mut report).await;
        ledger.close().await;
    }
    match manner.output {
        Output::Json => println!("{:#}", report.json()),
        Output::Table => print!("{}", report.text()),
    }
    match report.ills() {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Failed, "one thing needs mending")),
        ills => Err(Failure::new(Exit::Failed, format!("{ills} things need mending"))),
    }
}
