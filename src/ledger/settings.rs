//! Values of which there is one each.

use super::{LedgerError, Result, Session, Tx};

impl Session {
    pub async fn setting(&self, name: &str) -> Result<Option<String>> {
        let row = self.one("select value from settings where name = $1", [name.into()]).await?;
        Ok(row.map(|row| row.try_get("", "value")).transpose()?)
    }
}

impl Tx {
    pub async fn put_setting(&self, name: &str, value: &str) -> Result<()> {
        let sql = "insert into settings (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value";
        self.run(sql, [name.into(), value.into()]).await?;
        Ok(())
    }

    /// The id of this installation, made at its first start: what is sealed here opens only here.
    pub async fn instance(&self) -> Result<String> {
        if let Some(id) = self.setting("instance").await? {
            return Ok(id);
        }
        // Of two that start at once the first one's stays, on PostgreSQL too.
        let sql = "insert into settings (name, value) values ('instance', $1) on conflict (name) do nothing";
        self.run(sql, [uuid::Uuid::now_v7().to_string().into()]).await?;
        let made = self.setting("instance").await?;
        made.ok_or_else(|| LedgerError::Corrupt("the instance's id can't be kept".to_owned()))
    }
}
