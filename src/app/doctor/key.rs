//! The key that seals tokens.

use super::super::embedded::existing_encryption_keys;
use super::super::{Failure, Judged};
use super::report::Report;
use crate::config::{Config, EncryptionKeys};

const PART: &str = "key";

pub(super) fn look(config: &Config, report: &mut Report) -> Option<EncryptionKeys> {
    if let Some(keys) = &config.keys {
        report.well(PART, "ENCRYPTION_KEY is set");
        return Some(keys.clone());
    }
    match (existing_encryption_keys(&config.data), report.judged()) {
        (Err(error), _) => report.failed(PART, Failure::from(error)),
        (Ok(kept), Judged::Fleet) => {
            report.ill(
                PART,
                "ENCRYPTION_KEY is not set, and serve and work need it",
                "set it to the installation's; for a new one: openssl rand -base64 32",
            );
            return kept;
        }
        (Ok(Some(kept)), Judged::Up) => {
            report.well(PART, "kept in the data folder");
            return Some(kept);
        }
        (Ok(None), Judged::Up) => report.well(PART, "not set; `up` makes its own"),
    }
    None
}
