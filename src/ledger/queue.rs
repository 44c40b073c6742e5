//! What stands before whom: the work of a stage that has not begun, for an estimate of when it will.
//!
//! A bounded question: of each lane (see [`lanes`](super::lanes)) the first tasks only, so it costs as much as there are
//! accounts that wait, however many videos wait behind these or have ended.

use std::collections::HashMap;

use sea_orm::{QueryResult, Value};

use super::limits::LimitRow;
use super::{Result, Session, parsed};
use crate::event::{Stage, TaskId, VideoId};

/// Tasks of a stage that are looked at, about.
const LOOKED_AT: usize = 2_000;
/// Of one lane at least; more accounts than make this the larger part are looked at no deeper.
const OF_A_LANE: usize = 4;
/// Lanes in one statement.
const AT_ONCE: usize = 50;

/// A task that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub task: TaskId,
    pub video: VideoId,
    pub account: String,
    pub creator: String,
    pub priority: usize,
    pub due_at: i64,
    pub publish_at: Option<i64>,
    pub started_at: Option<i64>,
    /// It has taken its permit, so no limit holds it up any more.
    pub permitted: bool,
}

/// A stage's work, as far as it is looked at.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    /// In the ledger; each lane in its order.
    pub waiting: Vec<Standing>,
    /// On the stream, in the order of their releases.
    pub queued: Vec<Standing>,
    pub running: Vec<Standing>,
    /// The last release of each creator who waits.
    pub served: HashMap<String, i64>,
    /// How far each priority has been served.
    pub passes: [i64; 3],
}

const COLUMNS: &str = "t.id, t.video_id, t.account_id, t.creator, t.priority, t.due_at, t.started_at, t.permitted, \
    (select v.publish_at from videos v where v.id = t.video_id) as publish_at";

impl Session {
    pub async fn queue(&self, stage: Stage) -> Result<Queue> {
        let stage_name = stage.as_str();
        let sql = format!("select {COLUMNS}, t.seq from tasks t where t.stage = $1 and t.state = $2");
        let mut queue = Queue::default();
        for (state, into) in [("queued", &mut queue.queued), ("running", &mut queue.running)] {
            let mut rows = Vec::new();
            for row in self.all(&sql, [stage_name.into(), state.into()]).await? {
                rows.push((row.try_get::<i64>("", "seq")?, read(&row)?));
            }
            // Sorted here: SQLite would read all of the stage in that order.
            rows.sort_by_key(|(seq, _)| *seq);
            into.extend(rows.into_iter().map(|(_, one)| one));
        }
        for row in self.all("select priority, pass from turns where stage = $1", [stage_name.into()]).await? {
            let priority: i64 = row.try_get("", "priority")?;
            if let Some(pass) = usize::try_from(priority).ok().and_then(|priority| queue.passes.get_mut(priority)) {
                *pass = row.try_get("", "pass")?;
            }
        }
        let lanes = self.lanes(stage).await?;
        let depth = (LOOKED_AT / lanes.len().max(1)).max(OF_A_LANE);
        for lanes in lanes.chunks(AT_ONCE) {
            queue.waiting.extend(self.heads(stage, lanes, depth).await?);
        }
        let mut creators: Vec<&str> = queue.waiting.iter().map(|one| one.creator.as_str()).collect();
        creators.sort_unstable();
        creators.dedup();
        for creators in creators.chunks(AT_ONCE) {
            queue.served.extend(self.served(stage, creators).await?);
        }
        Ok(queue)
    }

    /// The limits of these creators, which have a row.
    pub async fn limits_of(&self, creators: &[String]) -> Result<HashMap<String, LimitRow>> {
        let mut limits = HashMap::new();
        for creators in creators.chunks(500) {
            let names: Vec<String> = creators.iter().map(|creator| format!("publish/{creator}")).collect();
            limits.extend(self.limits_named(&names).await?);
        }
        Ok(limits
            .into_iter()
            .filter_map(|(name, row)| Some((name.strip_prefix("publish/")?.to_owned(), row)))
            .collect())
    }

    /// How many wait in a lane behind one of its tasks and up to another, and not more than `most`.
    pub async fn between(&self, stage: Stage, after: &Standing, upto: &Standing, most: i64) -> Result<i64> {
        let sql = "select count(*) as number from (select 1 from tasks where stage = $1 and state = 'waiting'
            and priority = $2 and account_id = $3 and (due_at, id) > ($4, $5) and (due_at, id) <= ($6, $7) limit $8) n";
        let values: [Value; 8] = [
            stage.as_str().into(),
            i64::try_from(upto.priority).unwrap_or(2).into(),
            upto.account.as_str().into(),
            after.due_at.into(),
            after.task.to_string().into(),
            upto.due_at.into(),
            upto.task.to_string().into(),
            most.into(),
        ];
        self.one(sql, values).await?.map_or(Ok(0), |row| Ok(row.try_get("", "number")?))
    }

    /// Priority and account of every lane.
    async fn lanes(&self, stage: Stage) -> Result<Vec<(i64, String)>> {
        let sql = "with recursive lanes (priority, account) as (
                select p.priority, (select min(t.account_id) from tasks t
                    where t.stage = $1 and t.state = 'waiting' and t.priority = p.priority)
                from (select cast(0 as bigint) as priority union all select 1 union all select 2) p
                union all
                select l.priority, (select min(t.account_id) from tasks t
                    where t.stage = $1 and t.state = 'waiting' and t.priority = l.priority and t.account_id > l.account)
                from lanes l where l.account is not null
            )
            select priority, account from lanes where account is not null limit 1000";
        let rows = self.all(sql, [stage.as_str().into()]).await?;
        rows.iter().map(|row| Ok((row.try_get("", "priority")?, row.try_get("", "account")?))).collect()
    }

    /// The first tasks of each of these lanes.
    async fn heads(&self, stage: Stage, lanes: &[(i64, String)], depth: usize) -> Result<Vec<Standing>> {
        let mut values: Vec<Value> = vec![stage.as_str().into(), i64::try_from(depth).unwrap_or(i64::MAX).into()];
        let parts = lanes.iter().map(|(priority, account)| {
            values.push(account.as_str().into());
            format!(
                "select * from (select {COLUMNS} from tasks t where t.stage = $1 and t.state = 'waiting' and t.priority = {priority}
                 and t.account_id = ${} order by t.due_at, t.id limit $2) lane",
                values.len()
            )
        });
        let sql = parts.collect::<Vec<_>>().join(" union all ");
        self.all(&sql, values).await?.iter().map(read).collect()
    }

    async fn served(&self, stage: Stage, creators: &[&str]) -> Result<HashMap<String, i64>> {
        let mut values: Vec<Value> = vec![stage.as_str().into()];
        let parts = creators.iter().map(|creator| {
            values.push((*creator).into());
            format!("select cast(${} as text) as creator", values.len())
        });
        // One step of an index for each; a `group by` would read all of their tasks that have ended.
        let sql = format!(
            "select c.creator, coalesce((select max(s.seq) from tasks s where s.stage = $1 and s.creator = c.creator), 0) as served
             from ({}) c",
            parts.collect::<Vec<_>>().join(" union all ")
        );
        let rows = self.all(&sql, values).await?;
        rows.iter().map(|row| Ok((row.try_get("", "creator")?, row.try_get("", "served")?))).collect()
    }
}

fn read(row: &QueryResult) -> Result<Standing> {
    let priority: i64 = row.try_get("", "priority")?;
    let permitted: i64 = row.try_get("", "permitted")?;
    Ok(Standing {
        task: parsed(row, "id")?,
        video: parsed(row, "video_id")?,
        account: row.try_get("", "account_id")?,
        creator: row.try_get("", "creator")?,
        priority: usize::try_from(priority).unwrap_or(2).min(2),
        due_at: row.try_get("", "due_at")?,
        publish_at: row.try_get("", "publish_at")?,
        started_at: row.try_get("", "started_at")?,
        permitted: permitted == 1,
    })
}
