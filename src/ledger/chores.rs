//! Chores: what one process of the fleet does at a time, and how far it has come.

use super::{Result, Session, Tx};

impl Session {
    pub async fn chore_is_due(&self, name: &str, now: i64) -> Result<bool> {
        let sql = "select 1 as one from chores where name = $1 and due_at <= $2";
        Ok(self.one(sql, [name.into(), now.into()]).await?.is_some())
    }
}

impl Tx {
    /// Takes a chore that is due until `again_at`, when it is due once more. Some: how far it has come.
    pub async fn take_chore(&self, name: &str, again_at: i64) -> Result<Option<String>> {
        let sql = "update chores set due_at = $2 where name = $1 and due_at <= $3 returning place";
        let row = self.one(sql, [name.into(), again_at.into(), self.now.into()]).await?;
        Ok(row.map(|row| row.try_get("", "place")).transpose()?)
    }

    pub async fn chore_came_to(&self, name: &str, place: &str) -> Result<()> {
        self.run_one("update chores set place = $2 where name = $1", [name.into(), place.into()]).await
    }
}
