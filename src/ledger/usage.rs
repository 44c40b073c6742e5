//! Redis commands sent, by month, purpose and process; and by day.

use super::{Result, Session, Tx};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    pub purpose: String,
    pub process: String,
    pub commands: i64,
}

impl Session {
    /// `month` as `2026-11`.
    pub async fn usage(&self, month: &str) -> Result<Vec<UsageRow>> {
        let sql = "select purpose, process, commands from redis_usage where month = $1 order by purpose, process";
        let rows = self.all(sql, [month.into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(UsageRow {
                    purpose: row.try_get("", "purpose")?,
                    process: row.try_get("", "process")?,
                    commands: row.try_get("", "commands")?,
                })
            })
            .collect()
    }
}

impl Session {
    /// By purpose, since the first month.
    pub async fn usage_ever(&self) -> Result<Vec<(String, i64)>> {
        let sql = "select purpose, cast(sum(commands) as bigint) as commands from redis_usage group by purpose order by purpose";
        let rows = self.all(sql, []).await?;
        rows.iter().map(|row| Ok((row.try_get("", "purpose")?, row.try_get("", "commands")?))).collect()
    }
}

impl Session {
    /// Of the month's days, as far as they were counted, in their order. A day as `2026-11-03`.
    pub async fn usage_by_day(&self, month: &str) -> Result<Vec<(String, i64)>> {
        let sql = "select day, commands from redis_usage_days where substr(day, 1, 7) = $1 order by day";
        let rows = self.all(sql, [month.into()]).await?;
        rows.iter().map(|row| Ok((row.try_get("", "day")?, row.try_get("", "commands")?))).collect()
    }
}

impl Tx {
    pub async fn add_usage_of_day(&self, day: &str, commands: i64) -> Result<()> {
        let sql = "insert into redis_usage_days (day, commands) values ($1, $2)
                   on conflict (day) do update set commands = redis_usage_days.commands + excluded.commands";
        self.run_one(sql, [day.into(), commands.into()]).await
    }

    pub async fn add_usage(&self, month: &str, purpose: &str, process: &str, commands: i64) -> Result<()> {
        let sql = "insert into redis_usage (month, purpose, process, commands) values ($1, $2, $3, $4)
                   on conflict (month, purpose, process) do update set commands = redis_usage.commands + excluded.commands";
        self.run_one(sql, [month.into(), purpose.into(), process.into(), commands.into()]).await
    }
}
