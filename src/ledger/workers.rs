//! Who is alive. A worker's name is also its consumer's name on the stream.

use sea_orm::Value;

use super::{Result, Session, Tx};
use crate::event::Stage;

/// By name, since a statement that was prepared before a migration keeps what `*` was then.
const COLUMNS: &str = "name, stage, host, pid, slots, busy, started_at, seen_at";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Host, process id and a random part: no two are the same, also not after a restart.
    pub name: String,
    pub stage: String,
    pub host: String,
    pub pid: i64,
    pub slots: i64,
    pub busy: i64,
    pub started_at: i64,
    pub seen_at: i64,
}

impl Session {
    /// Everybody seen since then.
    pub async fn workers(&self, since: i64) -> Result<Vec<Worker>> {
        let rows = self
            .all(&format!("select {COLUMNS} from workers where seen_at >= $1 order by stage, name"), [since.into()])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Worker {
                    name: row.try_get("", "name")?,
                    stage: row.try_get("", "stage")?,
                    host: row.try_get("", "host")?,
                    pid: row.try_get("", "pid")?,
                    slots: row.try_get("", "slots")?,
                    busy: row.try_get("", "busy")?,
                    started_at: row.try_get("", "started_at")?,
                    seen_at: row.try_get("", "seen_at")?,
                })
            })
            .collect()
    }

    /// Whether a worker of the stage has not been seen since then and never said goodbye.
    pub async fn died(&self, stage: Stage, since: i64) -> Result<bool> {
        let sql = "select 1 as one from workers where stage = $1 and seen_at < $2 limit 1";
        Ok(self.one(sql, [stage.as_str().into(), since.into()]).await?.is_some())
    }

    /// The slots of all workers of a stage that are alive.
    pub async fn slots(&self, stage: Stage, since: i64) -> Result<usize> {
        let sql =
            "select cast(coalesce(sum(slots), 0) as bigint) as slots from workers where stage = $1 and seen_at >= $2";
        let row = self.one(sql, [stage.as_str().into(), since.into()]).await?;
        let slots: i64 = row.map_or(Ok(0), |row| row.try_get("", "slots"))?;
        Ok(usize::try_from(slots).unwrap_or(0))
    }
}

impl Tx {
    pub async fn seen(&self, worker: &Worker) -> Result<()> {
        let sql = "insert into workers (name, stage, host, pid, slots, busy, started_at, seen_at) values ($1, $2, $3, $4, $5, $6, $7, $7)
                   on conflict (name) do update set slots = excluded.slots, busy = excluded.busy, seen_at = excluded.seen_at";
        let values: [Value; 7] = [
            worker.name.as_str().into(),
            worker.stage.as_str().into(),
            worker.host.as_str().into(),
            worker.pid.into(),
            worker.slots.into(),
            worker.busy.into(),
            self.now.into(),
        ];
        self.run_one(sql, values).await
    }

    pub async fn worker_left(&self, name: &str) -> Result<()> {
        self.run("delete from workers where name = $1", [name.into()]).await?;
        Ok(())
    }

    /// Forgets who has not been seen for long.
    pub async fn forget_workers(&self, before: i64) -> Result<()> {
        self.run("delete from workers where seen_at < $1", [before.into()]).await?;
        Ok(())
    }
}
