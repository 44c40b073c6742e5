//! An object store that is away: no work that needs it is begun, and what it interrupted goes on soon after its return,
//! however long it was away.

use std::time::Duration;

use super::{Admission, millis};
use crate::ledger::{Ledger, LedgerError};
use crate::media::Media;
use crate::outcome::Reason;

pub(super) const AWAY: &str = "store_away";
/// The stage is closed until the store answers, so this doesn't have to grow.
const PAUSE: Duration = Duration::from_secs(2);

/// Asks a store that was away whether it is back; one that was not is not asked.
pub(super) async fn look(media: &Media, ledger: &Ledger) -> Result<Admission, LedgerError> {
    if !media.is_away() || media.answers().await {
        return Ok(Admission::Open);
    }
    let reason = Reason::new(AWAY, "the object store is away");
    Ok(Admission::Closed { until: ledger.now().await? + millis(PAUSE), reason })
}

/// After a failure at the store: how long what failed waits, if it is the store's being away that it waits for.
pub(super) async fn pause(media: &Media) -> Option<Duration> {
    if media.answers().await { None } else { Some(PAUSE) }
}
