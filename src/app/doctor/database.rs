//! The ledger's database: reached, with the schema of this program, and taking writes.

use std::path::Path;

use super::super::parts;
use super::super::patience::Patience;
use super::report::Report;
use crate::config::{Config, DatabaseUrl};
use crate::ledger::{Ledger, SchemaStanding};

const PART: &str = "database";

pub(super) async fn look(config: &Config, report: &mut Report) -> Option<Ledger> {
    let shown = config.database.shown();
    let (standing, ledger) = match parts::look(config, Patience::Now).await {
        Ok(found) => found,
        Err(failure) => {
            report.failed(PART, failure);
            return None;
        }
    };
    let alone = match config.defaulted.contains(&"DATABASE_URL") {
        true => " (DATABASE_URL is not set: this machine's alone)",
        false => "",
    };
    let said = format!("{shown}{alone}: {}", parts::said_of(&standing));
    match &standing {
        SchemaStanding::Absent => absent(config, &said, report),
        SchemaStanding::Empty => report.well(PART, &*said),
        SchemaStanding::Behind(_) => report.ill(PART, &*said, "subiteya migrate"),
        SchemaStanding::Newer(_) => report.ill(PART, &*said, "run the subiteya that made it"),
        SchemaStanding::Foreign(_) => report.ill(PART, &*said, "set DATABASE_URL to a database of its own"),
        SchemaStanding::Current => {}
    }
    let ledger = ledger?;
    match ledger.takes_writes().await {
        Ok(true) => report.well(PART, said),
        Ok(false) => report.ill(
            PART,
            format!("{shown}: it only reads (a standby, or default_transaction_read_only)"),
            "set DATABASE_URL to the primary",
        ),
        Err(error) => report.ill(
            PART,
            format!("{shown}: it takes no writes: {error}"),
            "see to it that this user may write to it, and that its disk isn't full",
        ),
    }
    Some(ledger)
}

/// A file that isn't there yet is made by the first start, if its folder lets it.
fn absent(config: &Config, said: &str, report: &mut Report) {
    let DatabaseUrl::Sqlite(path) = &config.database else { return report.well(PART, said) };
    match takes_files(path.parent().unwrap_or(Path::new("."))) {
        Ok(()) => report.well(PART, said),
        Err(error) => report.ill(
            PART,
            format!("{}: it can't be made: {error}", config.database.shown()),
            "set DATABASE_URL (or SUBITEYA_DATA) to a place where this user may write",
        ),
    }
}

/// Whether a file can be made in a folder, or in the one in which it would be made. On Linux it has no name while it is
/// there.
pub(super) fn takes_files(folder: &Path) -> std::io::Result<()> {
    let mut place = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    while !place.exists() {
        place = place.parent().filter(|up| !up.as_os_str().is_empty()).unwrap_or(Path::new("."));
    }
    tempfile::tempfile_in(place).map(drop)
}
