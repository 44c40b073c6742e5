//! TikTok: its API answers, and we have an app there. Nothing is asked that needs a token or counts against a limit.

use std::time::Duration;

use super::super::{Judged, parts};
use super::report::Report;
use crate::config::{Config, TikTokConfig};
use crate::ledger::Ledger;
use crate::tiktok::audit;

const PART: &str = "tiktok";
const WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn look(config: &Config, ledger: Option<&Ledger>, report: &mut Report) {
    let config = match (&config.tiktok, report.judged()) {
        (Some(tiktok), _) => tiktok.clone(),
        (None, Judged::Up) => return report.well(PART, "not set; `up` starts the sandbox"),
        (None, Judged::Fleet) => match TikTokConfig::default_urls() {
            Some(tiktok) => tiktok,
            None => return,
        },
    };
    if config.app.is_none() {
        app(ledger, report).await;
    }
    let client = match parts::client(&config) {
        Ok(client) => client,
        Err(failure) => return report.failed(PART, failure),
    };
    match client.answers(WITHIN).await {
        Ok(()) if report.is_well(PART) => report.well(PART, format!("{} answers; {}", config.api_url, audit::NOTICE)),
        Ok(()) => {}
        Err(text) => report.ill(
            PART,
            format!("{} can't be reached: {text}", config.api_url),
            "let this machine out to it (firewall, DNS, HTTPS_PROXY), or correct TIKTOK_API_URL",
        ),
    }
}

/// Without accounts it may come later; with them no token can be refreshed.
async fn app(ledger: Option<&Ledger>, report: &mut Report) {
    let accounts = match ledger {
        Some(ledger) => ledger.accounts(None).await.map_or(0, |accounts| accounts.len()),
        None => 0,
    };
    let (unset, mend) =
        ("TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET are not set", "set both as TikTok's developer portal shows them");
    if accounts > 0 {
        report.ill(PART, format!("{unset}: the tokens of {accounts} accounts can't be refreshed"), mend);
    } else {
        report.doubt(PART, format!("{unset}: no account can be connected"), mend);
    }
}
