//! The object store: it answers, is this installation's, and has what the videos under way need.

use super::super::parts;
use super::super::patience::Patience;
use super::super::surroundings::store_shown;
use super::database::takes_files;
use super::report::Report;
use crate::config::{Config, StoreConfig};
use crate::ledger::Ledger;
use crate::media::{Media, MediaError};
use crate::upkeep;

const PART: &str = "objects";
/// Objects that are looked for, of each kind.
const MOST: i64 = 50;

pub(super) async fn look(config: &Config, ledger: Option<&Ledger>, report: &mut Report) {
    let shown = store_shown(&config.store);
    if let StoreConfig::Local(folder) = &config.store
        && !folder.exists()
    {
        match takes_files(folder) {
            Ok(()) => report.well(PART, format!("{shown}: there is no such folder yet; the first start makes it")),
            Err(error) => report.ill(
                PART,
                format!("{shown}: the folder can't be made: {error}"),
                "set SUBITEYA_DATA to a folder where this user may write, or S3_BUCKET",
            ),
        }
        // Videos that are under way would miss their objects.
        if let Some(ledger) = ledger {
            missing(ledger, None, report).await;
        }
        return;
    }
    let media = match parts::media(config, Patience::Now).await {
        Ok(media) => media,
        Err(failure) => return report.failed(PART, failure),
    };
    if let Some(ledger) = ledger {
        whose(ledger, &media, report).await;
        missing(ledger, Some(&media), report).await;
    }
    if report.is_well(PART) {
        let alone = match config.defaulted.contains(&"S3_BUCKET") {
            true => " (S3_BUCKET is not set: this machine's alone)",
            false => "",
        };
        report.well(PART, format!("{shown}{alone}: reachable"));
    }
}

/// Two installations in one bucket: neither sweeps what the other left.
async fn whose(ledger: &Ledger, media: &Media, report: &mut Report) {
    let ours = match ledger.setting("instance").await {
        Ok(ours) => ours,
        Err(error) => return report.ill(PART, error.to_string(), "see to the database"),
    };
    match upkeep::owner(media).await {
        Ok(Some(theirs)) if ours.as_ref() != Some(&theirs) => report.ill(
            PART,
            format!("it belongs to the installation {theirs}, whose database is another one; leftovers stay in it"),
            "set S3_BUCKET (or SUBITEYA_DATA) to one of its own, or DATABASE_URL to that installation's",
        ),
        Ok(_) => {}
        Err(error) => report.ill(PART, error.to_string(), "let the key read the bucket's objects (GetObject)"),
    }
}

async fn missing(ledger: &Ledger, media: Option<&Media>, report: &mut Report) {
    let needed = match ledger.needed_objects(MOST).await {
        Ok(needed) => needed,
        Err(error) => return report.ill(PART, error.to_string(), "see to the database"),
    };
    let mut gone = Vec::new();
    for one in needed {
        let there = match media {
            Some(media) => media.is_there(&one.key).await,
            None => Err(MediaError::Missing(one.key.clone())),
        };
        match there {
            Ok(true) => {}
            Ok(false) | Err(MediaError::Missing(_)) => gone.push(one),
            Err(error) => {
                return report.ill(PART, error.to_string(), "let the key read the bucket's objects (GetObject)");
            }
        }
    }
    if let Some(first) = gone.first() {
        report.ill(
            PART,
            format!("{} objects of videos under way are gone, {} among them", gone.len(), first.key),
            format!(
                "restore the store, or set it to the one that has them; else `subiteya videos cancel {}`",
                first.video
            ),
        );
    }
}
