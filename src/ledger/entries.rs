//! Stream entries that can't be read: they belong to no task, so they are kept here to be looked at.

use sea_orm::QueryResult;

use super::{Result, Session, Tx};

/// By name, since a statement that was prepared before a migration keeps what `*` was then.
pub(super) const COLUMNS: &str = "stream, entry, fields, reason, at";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadEntry {
    pub stream: String,
    pub entry: String,
    /// The entry's fields, as far as they are text, as JSON.
    pub fields: String,
    pub reason: String,
    pub at: i64,
}

impl Session {
    pub async fn dead_entries(&self, most: i64) -> Result<Vec<DeadEntry>> {
        let rows =
            self.all(&format!("select {COLUMNS} from dead_entries order by at desc limit $1"), [most.into()]).await?;
        rows.iter().map(read).collect()
    }

    pub async fn dead_entry_count(&self, stream: &str) -> Result<i64> {
        let row = self.one("select count(*) as number from dead_entries where stream = $1", [stream.into()]).await?;
        row.map_or(Ok(0), |row| Ok(row.try_get("", "number")?))
    }
}

impl Tx {
    pub async fn bury_entry(&self, stream: &str, entry: &str, fields: &str, reason: &str) -> Result<()> {
        let sql = "insert into dead_entries (stream, entry, fields, reason, at) values ($1, $2, $3, $4, $5)
                   on conflict (stream, entry) do nothing";
        self.run(sql, [stream.into(), entry.into(), fields.into(), reason.into(), self.now.into()]).await?;
        Ok(())
    }
}

pub(super) fn read(row: &QueryResult) -> Result<DeadEntry> {
    Ok(DeadEntry {
        stream: row.try_get("", "stream")?,
        entry: row.try_get("", "entry")?,
        fields: row.try_get("", "fields")?,
        reason: row.try_get("", "reason")?,
        at: row.try_get("", "at")?,
    })
}
