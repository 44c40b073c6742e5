//! What the streams looked like, minute by minute, so that a chart survives a restart.

use super::{Result, Session, Tx, parsed};
use crate::event::Stage;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// A whole minute.
    pub at: i64,
    pub stage: Stage,
    pub length: Option<i64>,
    /// None: nobody could know.
    pub lag: Option<i64>,
    pub pending: Option<i64>,
    pub oldest_ms: Option<i64>,
    pub waiting: i64,
    pub parked: i64,
    pub dead: i64,
    /// Ended well in the minute before.
    pub done: i64,
}

impl Session {
    /// Since then, oldest first, in steps of this many milliseconds: of each step the highest, and all that was done.
    pub async fn samples(&self, from: i64, step: i64) -> Result<Vec<Sample>> {
        let sql = format!(
            "select at / {step} * {step} as begin_at, stage, max(length) as length, max(lag) as lag, max(pending) as pending,
                max(oldest_ms) as oldest_ms, max(waiting) as waiting, max(parked) as parked, max(dead) as dead,
                cast(sum(done) as bigint) as done
             from samples where at >= $1 group by at / {step}, stage order by at / {step}, stage"
        );
        let rows = self.all(&sql, [from.into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(Sample {
                    at: row.try_get("", "begin_at")?,
                    stage: parsed(row, "stage")?,
                    length: row.try_get("", "length")?,
                    lag: row.try_get("", "lag")?,
                    pending: row.try_get("", "pending")?,
                    oldest_ms: row.try_get("", "oldest_ms")?,
                    waiting: row.try_get("", "waiting")?,
                    parked: row.try_get("", "parked")?,
                    dead: row.try_get("", "dead")?,
                    done: row.try_get("", "done")?,
                })
            })
            .collect()
    }

    /// How many runs of a stage ended well. Costs what happened in that time: lines of history stand in its order.
    pub async fn done_between(&self, stage: Stage, from: i64, to: i64) -> Result<i64> {
        let sql = "select count(*) as number from history where id >= $1 and id < $2 and stage = $3 and event = 'done'";
        let values = [format!("{from:015}").into(), format!("{to:015}").into(), stage.as_str().into()];
        self.one(sql, values).await?.map_or(Ok(0), |row| Ok(row.try_get("", "number")?))
    }
}

impl Tx {
    /// Nothing where that minute has one.
    pub async fn put_sample(&self, sample: &Sample) -> Result<()> {
        let sql = "insert into samples (at, stage, length, lag, pending, oldest_ms, waiting, parked, dead, done)
                   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (at, stage) do nothing";
        let values = [
            sample.at.into(),
            sample.stage.as_str().into(),
            sample.length.into(),
            sample.lag.into(),
            sample.pending.into(),
            sample.oldest_ms.into(),
            sample.waiting.into(),
            sample.parked.into(),
            sample.dead.into(),
            sample.done.into(),
        ];
        self.run(sql, values).await?;
        Ok(())
    }

    pub async fn forget_samples(&self, before: i64) -> Result<()> {
        self.run("delete from samples where at < $1", [before.into()]).await?;
        Ok(())
    }
}
