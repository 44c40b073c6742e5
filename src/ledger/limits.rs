//! The limits' rows. What they mean, and how they move, is `limit`'s.

use sea_orm::QueryResult;

use super::{Result, Session, Tx, json, places, to_json};
use crate::outcome::Reason;

/// By name, since a statement that was prepared before a migration keeps what `*` was then.
const COLUMNS: &str =
    "name, cells, open_at, closed_until, closed_code, closed_text, version, posts, posted_at, day_cap, day_cap_until";

/// One limit: its cells (each the time at which it is free again), and until when somebody closed it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LimitRow {
    pub cells: Vec<i64>,
    /// When the next cell is free.
    pub open_at: i64,
    pub closed_until: i64,
    pub closed: Option<Reason>,
    /// A creator's inits of the last day that TikTok took, or may have taken: oldest first.
    pub posts: Vec<i64>,
    /// How many posts of a creator TikTok took in a day when it last refused one more; and how long that is believed.
    pub day_cap: Option<i64>,
    pub day_cap_until: i64,
    version: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatorsHeld {
    pub used_up: i64,
    /// By TikTok.
    pub closed: i64,
}

impl LimitRow {
    /// The posts since then, oldest first.
    pub fn posts_of_day(&self, since: i64) -> impl Iterator<Item = i64> {
        self.posts.iter().copied().filter(move |&post| post > since)
    }
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

    /// As it stands, without its lock: for whoever only plans by it.
    pub async fn limit_seen(&self, name: &str) -> Result<LimitRow> {
        let row = self.one(&format!("select {COLUMNS} from limits where name = $1"), [name.into()]).await?;
        Ok(row.as_ref().map(read).transpose()?.unwrap_or_default())
    }

    /// When each creator that posted since then did so last.
    pub async fn last_posts(&self, since: i64) -> Result<Vec<i64>> {
        let rows = self.all("select posted_at from limits where posted_at > $1", [since.into()]).await?;
        rows.iter().map(|row| Ok(row.try_get("", "posted_at")?)).collect()
    }

    /// How many creators' posts wait, and what for.
    pub async fn creators_held(&self, now: i64) -> Result<CreatorsHeld> {
        let number = async |sql: &str| -> Result<i64> {
            Ok(self.one(sql, [now.into()]).await?.map_or(Ok(0), |row| row.try_get("", "number"))?)
        };
        Ok(CreatorsHeld {
            used_up: number("select count(*) as number from limits where open_at > $1 and name like 'publish/%'")
                .await?,
            closed: number("select count(*) as number from limits where closed_until > $1 and name like 'publish/%'")
                .await?,
        })
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
        let sql = "insert into limits (name, cells, open_at, closed_until, closed_code, closed_text, version,
                   posts, posted_at, day_cap, day_cap_until)
                   values ($1, $2, $3, $4, $5, $6, $7 + 1, $8, $9, $10, $11)
                   on conflict (name) do update set cells = excluded.cells, open_at = excluded.open_at,
                   closed_until = excluded.closed_until, closed_code = excluded.closed_code,
                   closed_text = excluded.closed_text, version = excluded.version,
                   posts = excluded.posts, posted_at = excluded.posted_at, day_cap = excluded.day_cap,
                   day_cap_until = excluded.day_cap_until
                   where limits.version = $7";
        let values = [
            name.into(),
            to_json(&row.cells)?.into(),
            row.open_at.into(),
            row.closed_until.into(),
            row.closed.as_ref().map(|reason| reason.code.clone()).into(),
            row.closed.as_ref().map(|reason| reason.text.clone()).into(),
            row.version.into(),
            to_json(&row.posts)?.into(),
            row.posts.iter().copied().max().unwrap_or(0).into(),
            row.day_cap.into(),
            row.day_cap_until.into(),
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
        posts: json(row, "posts")?,
        day_cap: row.try_get("", "day_cap")?,
        day_cap_until: row.try_get("", "day_cap_until")?,
        version: row.try_get("", "version")?,
    })
}
