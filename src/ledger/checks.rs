//! What `doctor` asks, and nobody else. Nothing is changed.

use sea_orm::DbBackend;

use super::{Connection, Ledger, LedgerError, Result, Session, SystemClock, places};
use crate::event::{Stage, TaskId};

/// A video that has not ended, and the object that its next step needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    pub video: String,
    pub key: String,
}

impl Ledger {
    /// Leaves the database as it was found: a connection that is only dropped may leave SQLite's working files behind.
    pub async fn close(&self) {
        if let Connection::Pool(reads, _) = &self.inner.reads.connection {
            reads.close_by_ref().await.ok();
        }
        self.inner.writer.close_by_ref().await.ok();
    }

    /// Whether a transaction may write: a file may be read-only, and a PostgreSQL server a standby.
    pub async fn takes_writes(&self) -> Result<bool> {
        let tx = self.begin().await?;
        if tx.backend == DbBackend::Sqlite {
            // Begun with IMMEDIATE, which a file that is read-only refuses.
            return Ok(true);
        }
        let row = tx.one("select current_setting('transaction_read_only') as value", []).await?;
        let value: String = row.map_or(Ok(String::new()), |row| row.try_get("", "value"))?;
        Ok(value != "on")
    }

    /// How far the ledger's clock is ahead of this machine's, in milliseconds.
    pub async fn ahead_of_here(&self) -> Result<i64> {
        let before = SystemClock::now();
        let theirs = self.now().await?;
        Ok(theirs - before.midpoint(SystemClock::now()))
    }
}

impl Session {
    /// The entry with which the task was started that was released last.
    pub async fn newest_started_entry(&self, stage: Stage) -> Result<Option<String>> {
        let sql = "select entry from tasks where stage = $1 and entry is not null order by seq desc limit 1";
        Ok(self.one(sql, [stage.as_str().into()]).await?.map(|row| row.try_get("", "entry")).transpose()?)
    }

    /// Tasks whose entry went out before then, and which nobody has started.
    pub async fn long_queued(&self, stage: Stage, then: i64) -> Result<u64> {
        let sql = "select count(*) as number from tasks where stage = $1 and state = 'queued' and queued_at < $2";
        let row = self.one(sql, [stage.as_str().into(), then.into()]).await?;
        let number: i64 = row.map_or(Ok(0), |row| row.try_get("", "number"))?;
        u64::try_from(number).map_err(|_| LedgerError::Corrupt(format!("a count of {number}")))
    }

    pub async fn has_task(&self, id: TaskId) -> Result<bool> {
        Ok(self.one("select 1 as one from tasks where id = $1", [id.to_string().into()]).await?.is_some())
    }

    /// What the oldest of the videos that are under way need, so many of each kind.
    pub async fn needed_objects(&self, most: i64) -> Result<Vec<Needed>> {
        let mut needed = Vec::new();
        for (key, statuses) in
            [("source_key", &["EDITING_QUEUED", "EDITING"][..]), ("edited_key", &["EDITED", "PUBLISHING"][..])]
        {
            let sql = format!(
                "select id, {key} as needed from videos where status in ({}) and {key} is not null order by id limit $1",
                places(1, statuses.len())
            );
            let values = std::iter::once(most.into()).chain(statuses.iter().map(|&status| status.into()));
            for row in self.all(&sql, values).await? {
                needed.push(Needed { video: row.try_get("", "id")?, key: row.try_get("", "needed")? });
            }
        }
        Ok(needed)
    }
}
