//! A PostgreSQL that is known to be away is asked by one at a time. Whoever comes meanwhile is told so soon: an attempt
//! to connect takes seconds, and a request that waited for its own would come to the same answer.

use std::time::Duration;

use sea_orm::{DbBackend, DbErr, RuntimeErr};
use tokio::sync::{Mutex, MutexGuard};

use super::{LedgerError, Result};
use crate::outage::Outage;

/// How long one waits for what another's question shows: longer than a database that is there takes to answer.
const PATIENCE: Duration = Duration::from_millis(500);

const KNOWN: &str = "it could not be had a moment ago, and another question is under way";

#[derive(Default)]
pub(super) struct Gate {
    asking: Mutex<()>,
}

impl Gate {
    /// Some: the outage lasts, and the caller is the one who finds out whether it is over.
    pub(super) async fn pass(&self, backend: DbBackend, outage: &Outage) -> Result<Option<MutexGuard<'_, ()>>> {
        // SQLite's outages are locks and disks, where an attempt costs nothing.
        if backend != DbBackend::Postgres || outage.why().is_none() {
            return Ok(None);
        }
        let asking = tokio::time::timeout(PATIENCE, self.asking.lock()).await;
        if outage.why().is_none() {
            return Ok(None);
        }
        let told = |_| LedgerError::Unavailable(DbErr::Conn(RuntimeErr::Internal(KNOWN.to_owned())));
        asking.map(Some).map_err(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_asks_a_database_that_is_away_and_the_others_are_told() {
        let (gate, outage) = (Gate::default(), Outage::of("asking"));
        assert!(gate.pass(DbBackend::Postgres, &outage).await.unwrap().is_none(), "nothing has failed yet");
        outage.failed(&"closed");
        let asking = gate.pass(DbBackend::Postgres, &outage).await.unwrap();
        assert!(asking.is_some());
        let told = gate.pass(DbBackend::Postgres, &outage).await;
        assert!(matches!(told, Err(LedgerError::Unavailable(_))));
        drop(asking);
        let next = gate.pass(DbBackend::Postgres, &outage).await.unwrap();
        assert!(next.is_some(), "the next one asks");
        let (came, ()) = tokio::join!(gate.pass(DbBackend::Postgres, &outage), async { outage.worked() });
        assert!(came.unwrap().is_none(), "what the other's question has shown holds for everybody");
    }
}
