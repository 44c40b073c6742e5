//! What TikTok last said of each creator, and when it was asked.

use super::{Result, Session, Tx, json};

/// TikTok's answer as it came, and when (milliseconds on the ledger's clock).
#[derive(Debug, Clone, PartialEq)]
pub struct KnownCreator {
    pub info: serde_json::Value,
    pub at: i64,
}

impl Session {
    pub async fn creator(&self, open_id: &str) -> Result<Option<KnownCreator>> {
        let sql = "select info, known_at from creators where open_id = $1 and info is not null";
        let Some(row) = self.one(sql, [open_id.into()]).await? else { return Ok(None) };
        Ok(Some(KnownCreator { info: json(&row, "info")?, at: row.try_get("", "known_at")? }))
    }
}

impl Tx {
    /// Leave to ask TikTok about this creator. False: somebody has asked since then.
    pub async fn claim_creator(&self, open_id: &str, since: i64) -> Result<bool> {
        let sql = "insert into creators (open_id, known_at, asked_at) values ($1, 0, $2)
                   on conflict (open_id) do update set asked_at = excluded.asked_at where creators.asked_at < $3";
        Ok(self.run(sql, [open_id.into(), self.now.into(), since.into()]).await? == 1)
    }

    pub async fn put_creator(&self, open_id: &str, info: &serde_json::Value) -> Result<()> {
        let sql = "insert into creators (open_id, info, known_at, asked_at) values ($1, $2, $3, $3)
                   on conflict (open_id) do update set info = excluded.info, known_at = excluded.known_at,
                   asked_at = excluded.asked_at";
        self.run_one(sql, [open_id.into(), info.to_string().into(), self.now.into()]).await
    }
}
