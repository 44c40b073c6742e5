//! What TikTok told us unasked, until something was made of it, and for a while longer.

use sea_orm::{QueryResult, Value};

use super::{Result, Session, Tx};

/// By name, since a statement that was prepared before a migration keeps what `*` was then.
const COLUMNS: &str = "id, event, open_id, publish_id, body, happened_at, received_at, due_at, outcome";

#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// SHA-256 of the body: a repeated delivery is the same row.
    pub id: String,
    pub event: String,
    pub open_id: Option<String>,
    pub publish_id: Option<String>,
    pub body: String,
    /// By TikTok's account.
    pub happened_at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: String,
    pub event: String,
    pub open_id: Option<String>,
    pub publish_id: Option<String>,
    pub happened_at: i64,
    pub received_at: i64,
    /// None: nothing is left to do.
    pub due_at: Option<i64>,
    pub outcome: Option<String>,
}

impl Session {
    pub async fn due_webhooks(&self, now: i64, most: i64) -> Result<Vec<Webhook>> {
        let sql = format!("select {COLUMNS} from webhooks where due_at <= $1 order by due_at limit $2");
        self.all(&sql, [now.into(), most.into()]).await?.iter().map(read).collect()
    }

    pub async fn webhooks(&self) -> Result<Vec<Webhook>> {
        self.all(&format!("select {COLUMNS} from webhooks order by received_at, id"), [])
            .await?
            .iter()
            .map(read)
            .collect()
    }
}

impl Tx {
    /// False: it was delivered before. `due` None: it is only kept.
    pub async fn insert_webhook(&self, new: &NewWebhook, due: Option<i64>) -> Result<bool> {
        let sql = "insert into webhooks (id, event, open_id, publish_id, body, happened_at, received_at, due_at)
                   values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (id) do nothing";
        let values: [Value; 8] = [
            new.id.as_str().into(),
            new.event.as_str().into(),
            new.open_id.clone().into(),
            new.publish_id.clone().into(),
            new.body.as_str().into(),
            new.happened_at.into(),
            self.now.into(),
            due.into(),
        ];
        Ok(self.run(sql, values).await? == 1)
    }

    /// Puts it off while it is looked at, so that no other process does the same. False: one does.
    pub async fn claim_webhook(&self, webhook: &Webhook, until: i64) -> Result<bool> {
        let sql = "update webhooks set due_at = $3 where id = $1 and due_at = $2";
        Ok(self.run(sql, [webhook.id.as_str().into(), webhook.due_at.into(), until.into()]).await? == 1)
    }

    /// What came of it. `due` None: nothing is left to do.
    pub async fn settle_webhook(&self, id: &str, due: Option<i64>, outcome: &str) -> Result<()> {
        self.run_one(
            "update webhooks set due_at = $2, outcome = $3 where id = $1",
            [id.into(), due.into(), outcome.into()],
        )
        .await
    }

    pub async fn forget_webhooks(&self, received_before: i64) -> Result<u64> {
        self.run("delete from webhooks where received_at < $1", [received_before.into()]).await
    }
}

fn read(row: &QueryResult) -> Result<Webhook> {
    Ok(Webhook {
        id: row.try_get("", "id")?,
        event: row.try_get("", "event")?,
        open_id: row.try_get("", "open_id")?,
        publish_id: row.try_get("", "publish_id")?,
        happened_at: row.try_get("", "happened_at")?,
        received_at: row.try_get("", "received_at")?,
        due_at: row.try_get("", "due_at")?,
        outcome: row.try_get("", "outcome")?,
    })
}
