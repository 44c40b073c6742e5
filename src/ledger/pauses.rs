//! What a person has paused: `stage/edit`, `stage/publish`, `account/<id>`.

use sea_orm::QueryResult;

use super::{Result, Session, Tx};
use crate::event::Stage;

/// By name, since a statement that was prepared before a migration keeps what `*` was then.
const COLUMNS: &str = "name, until_at, reason, set_by";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub name: String,
    /// None: until somebody resumes it.
    pub until: Option<i64>,
    pub reason: String,
    /// The user who did it. None: not known.
    pub set_by: Option<String>,
}

impl Pause {
    /// Of a stage that has a stream.
    pub fn name_of_stage(stage: Stage) -> String {
        format!("stage/{stage}")
    }

    pub fn name_of_account(id: &str) -> String {
        format!("account/{id}")
    }

    pub fn holds_at(&self, now: i64) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Session {
    /// Those that are over, too, for a while.
    pub async fn pauses(&self) -> Result<Vec<Pause>> {
        self.all(&format!("select {COLUMNS} from pauses order by name"), []).await?.iter().map(read).collect()
    }

    async fn pause_at(&self, name: &str, now: i64) -> Result<Option<Pause>> {
        let sql = format!("select {COLUMNS} from pauses where name = $1 and coalesce(until_at, $2 + 1) > $2");
        self.one(&sql, [name.into(), now.into()]).await?.as_ref().map(read).transpose()
    }
}

impl super::Ledger {
    pub async fn paused(&self, name: &str) -> Result<Option<Pause>> {
        self.pause_at(name, self.now().await?).await
    }
}

impl Tx {
    pub async fn paused(&self, name: &str) -> Result<Option<Pause>> {
        self.pause_at(name, self.now).await
    }

    pub async fn put_pause(&self, pause: &Pause) -> Result<()> {
        self.run("delete from pauses where until_at <= $1", [self.now.into()]).await?;
        let sql = "insert into pauses (name, until_at, reason, set_by) values ($1, $2, $3, $4)
                   on conflict (name) do update set until_at = excluded.until_at, reason = excluded.reason,
                   set_by = excluded.set_by";
        let values =
            [pause.name.as_str().into(), pause.until.into(), pause.reason.as_str().into(), pause.set_by.clone().into()];
        self.run_one(sql, values).await
    }

    pub async fn remove_pause(&self, name: &str) -> Result<bool> {
        Ok(self.run("delete from pauses where name = $1", [name.into()]).await? == 1)
    }
}

fn read(row: &QueryResult) -> Result<Pause> {
    Ok(Pause {
        name: row.try_get("", "name")?,
        until: row.try_get("", "until_at")?,
        reason: row.try_get("", "reason")?,
        set_by: row.try_get("", "set_by")?,
    })
}
