//! The limits' rows. What they mean, and how they move, is `limit`'s.

use sea_orm::QueryResult;

use super::{Result, Session, Tx, json, places, to_json};
use crate::outcome::Reason;

/// By name, since a statement that was prepared before a migration keeps what `*` was then.
const COLUMNS: &str = "name, cells, open_at, closed_until, closed_code, closed_text, version";

/// One limit: its cells (each the time at which it is free again), and until when somebody closed it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LimitRow {
    pub cells: Vec<i64>,
    /// When the next cell is free.
    pub open_at: i64,
    pub closed_until: i64,
    pub closed: Option<Reason>,
    version: i64,
}

impl Session {
    pub async fn limit(&self, name: &str) -> Result<LimitRow> {
        let sql = format!("select {COLUMNS} from limits where name = $1{}", self.for_update());
        let mut row = self.one(&sql, [name.into()]).await?;
        if row.is_none() && !self.for_update().is_empty() {
            // A row that isn't there can't be locked, and two who make it would wait for each other.
            let empty = "insert into limits (name, cells, open_at, closed_until, version) values ($1, '[]', 0, 0, 0)
                         on conflict (name) do nothing";
            self.all(empty, [name.into()]).await?;
            row = self.one(&sql, [name.into()]).await?;
        }
        Ok(row.as_ref().map(read).transpose()?.unwrap_or_default())
    }

    pub(super) async fn limits_named(&self, names: &[String]) -> Result<Vec<(String, LimitRow)>> {
        let sql = format!("select {COLUMNS} from limits where name in ({})", places(0, names.len()));
        let rows = self.all(&sql, names.iter().map(|name| name.as_str().into())).await?;
        rows.iter().map(|row| Ok((row.try_get("", "name")?, read(row)?))).collect()
    }

    pub async fn limits(&self) -> Result<Vec<(String, LimitRow)>> {
        let rows = self.all(&format!("select {COLUMNS} from limits order by name"), []).await?;
        rows.iter().map(|row| Ok((row.try_get("", "name")?, read(row)?))).collect()
    }
}

impl Tx {
    /// Compare-and-set on the version that was read.
    pub async fn put_limit(&self, name: &str, row: &LimitRow) -> Result<()> {
        let sql = "insert into limits (name, cells, open_at, closed_until, closed_code, closed_text, version)
                   values ($1, $2, $3, $4, $5, $6, $7 + 1)
                   on conflict (name) do update set cells = excluded.cells, open_at = excluded.open_at,
                   closed_until = excluded.closed_until, closed_code = excluded.closed_code,
                   closed_text = excluded.closed_text, version = excluded.version
                   where limits.version = $7";
        let values = [
            name.into(),
            to_json(&row.cells)?.into(),
            row.open_at.into(),
            row.closed_until.into(),
            row.closed.as_ref().map(|reason| reason.code.clone()).into(),
            row.closed.as_ref().map(|reason| reason.text.clone()).into(),
            row.version.into(),
        ];
        self.run_one(sql, values).await
    }
}

fn read(row: &QueryResult) -> Result<LimitRow> {
    let code: Option<String> = row.try_get("", "closed_code")?;
    let text: Option<String> = row.try_get("", "closed_text")?;
    Ok(LimitRow {
        cells: json(row, "cells")?,
        open_at: row.try_get("", "open_at")?,
        closed_until: row.try_get("", "closed_until")?,
        closed: code.map(|code| Reason::new(code, text.unwrap_or_default())),
        version: row.try_get("", "version")?,
    })
}
