//! The tasks' table: each row a [`Task`] and what the ordered release needs to know about it.

use std::collections::HashMap;

use sea_orm::{QueryResult, Value};

use super::release::RESUMES;
use super::{LedgerError, Result, Session, Tx, count, parsed, parsed_option, places};
use crate::event::{Entry, Stage, TaskId, TraceId, VideoId};
use crate::outcome::Reason;
use crate::task::{HANDED_BACK, HELD, State, Task};

/// A task as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    pub task: Task,
    pub account: String,
    /// The account's `open_id`: limits and fairness go by it.
    pub creator: String,
    pub priority: i64,
}

/// A task that was just committed as `queued`, and waits for its XADD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Released {
    pub stage: Stage,
    pub entry: Entry,
}

/// How many tasks of a stage stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageCounts {
    /// Due, and not yet released.
    pub waiting: i64,
    /// Waiting for a time that is still to come.
    pub parked: i64,
    /// Released, and not yet started.
    pub queued: i64,
    pub running: i64,
    pub dead: i64,
    pub review: i64,
}

pub(super) const COLUMNS: &str = "id, video_id, stage, account_id, creator, priority, state, due_at, wait_code, wait_text, seq, queued_at, entry, started_at, holder, attempts, takeovers, token, lease_until";

impl Session {
    pub async fn task(&self, id: TaskId) -> Result<Option<TaskRow>> {
        self.lock_video("(select video_id from tasks where id = $1)", id.to_string()).await?;
        let sql = format!("select {COLUMNS} from tasks where id = $1{}", self.for_update());
        self.one(&sql, [id.to_string().into()]).await?.as_ref().map(read).transpose()
    }

    pub async fn task_of(&self, video: VideoId, stage: Stage) -> Result<Option<TaskRow>> {
        self.lock_video("$1", video.to_string()).await?;
        let sql = format!("select {COLUMNS} from tasks where video_id = $1 and stage = $2{}", self.for_update());
        self.one(&sql, [video.to_string().into(), stage.as_str().into()]).await?.as_ref().map(read).transpose()
    }

    /// These tasks in this order, each with its video's trace; without those that somebody else has locked.
    pub(super) async fn unlocked(&self, ids: &[TaskId]) -> Result<Vec<(TaskRow, TraceId)>> {
        let columns = COLUMNS.split(", ").map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "select {columns}, (select v.trace from videos v where v.id = t.video_id) as trace from tasks t where t.id in ({}){}",
            places(0, ids.len()),
            self.skip_locked().replace(" skip", " of t skip")
        );
        let rows = self.all(&sql, ids.iter().map(|id| id.to_string().into())).await?;
        let rows = rows.iter().map(|row| Ok((read(row)?, parsed(row, "trace")?)));
        let mut rows = rows.collect::<Result<Vec<(TaskRow, TraceId)>>>()?;
        let order: HashMap<TaskId, usize> = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        rows.sort_by_key(|(row, _)| order.get(&row.task.id).copied());
        Ok(rows)
    }

    pub async fn tasks_of(&self, video: VideoId) -> Result<Vec<TaskRow>> {
        self.lock_video("$1", video.to_string()).await?;
        let sql = format!("select {COLUMNS} from tasks where video_id = $1 order by id{}", self.for_update());
        self.all(&sql, [video.to_string().into()]).await?.iter().map(read).collect()
    }

    /// The tasks of an account that wait, of the stages that talk to TikTok. Without those that somebody is just taking
    /// out of their wait.
    pub async fn waiting_at_tiktok(&self, account: &str) -> Result<Vec<TaskRow>> {
        let sql = format!(
            "select {COLUMNS} from tasks where stage in ('publish', 'confirm') and state = 'waiting' and priority in (0, 1, 2)
             and account_id = $1{}",
            self.skip_locked()
        );
        self.all(&sql, [account.into()]).await?.iter().map(read).collect()
    }

    /// Tasks of a stage that are parked for this reason, those that are due first. Without those that somebody is just
    /// taking out of their wait.
    pub async fn parked_for(&self, stage: Stage, code: &str, now: i64, most: i64) -> Result<Vec<TaskRow>> {
        let sql = format!(
            "select {COLUMNS} from tasks where stage = $1 and state = 'waiting' and due_at > $2 and wait_code = $3
             order by due_at limit $4{}",
            self.skip_locked()
        );
        let values: [Value; 4] = [stage.as_str().into(), now.into(), code.into(), most.into()];
        self.all(&sql, values).await?.iter().map(read).collect()
    }

    /// A creator's posts that are held, oldest first. Without those that somebody is just taking out of their wait.
    pub async fn held(&self, creator: &str, most: i64) -> Result<Vec<TaskRow>> {
        let sql = format!(
            "select {COLUMNS} from tasks where stage = 'publish' and creator = $1 and state = 'waiting' and due_at >= $2
             order by id limit $3{}",
            self.skip_locked()
        );
        self.all(&sql, [creator.into(), HELD.into(), most.into()]).await?.iter().map(read).collect()
    }

    /// The task that asks TikTok what became of a publish id, if there is one already.
    pub async fn confirming(&self, publish_id: &str) -> Result<Option<TaskRow>> {
        let sql = format!(
            "select {COLUMNS} from tasks where stage = 'confirm'
             and video_id in (select video_id from publications where publish_id = $1){}",
            self.for_update()
        );
        self.one(&sql, [publish_id.into()]).await?.as_ref().map(read).transpose()
    }

    /// The tasks of these videos that have not ended.
    pub async fn open_tasks(&self, videos: &[VideoId]) -> Result<Vec<TaskRow>> {
        if videos.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "select {COLUMNS} from tasks where state in ('waiting', 'queued', 'running') and video_id in ({})",
            places(0, videos.len())
        );
        self.all(&sql, videos.iter().map(|video| video.to_string().into())).await?.iter().map(read).collect()
    }

    /// Tasks that run, longest first.
    pub async fn running(&self, stage: Stage, most: i64) -> Result<Vec<TaskRow>> {
        let sql =
            format!("select {COLUMNS} from tasks where stage = $1 and state = 'running' order by started_at limit $2");
        self.all(&sql, [stage.as_str().into(), most.into()]).await?.iter().map(read).collect()
    }

    /// The tasks that were last begun, or set aside, under these entries.
    pub async fn tasks_under(&self, stage: Stage, entries: &[String]) -> Result<Vec<TaskRow>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let places = places(1, entries.len());
        let sql = format!("select {COLUMNS} from tasks where stage = $1 and entry in ({places})");
        let values = std::iter::once(stage.as_str().into()).chain(entries.iter().map(|entry| entry.as_str().into()));
        self.all(&sql, values).await?.iter().map(read).collect()
    }

    /// Rule 7: running, and the lease is over.
    pub async fn stalled(&self, stage: Stage, now: i64, most: i64) -> Result<Vec<TaskRow>> {
        let sql = format!(
            "select {COLUMNS} from tasks where stage = $1 and state = 'running' and lease_until < $2 order by lease_until limit $3"
        );
        self.all(&sql, [stage.as_str().into(), now.into(), most.into()]).await?.iter().map(read).collect()
    }

    /// What the next free worker takes straight from the ledger: stalled work (rule 7), what was handed back (rule 11) and
    /// what was read and set aside (rule 3).
    pub async fn abandoned(&self, stage: Stage, now: i64, most: i64) -> Result<Vec<TaskRow>> {
        let sql = format!(
            "select {COLUMNS} from tasks where stage = $1 and (state = 'running' and lease_until < $2
                or state = 'waiting' and due_at = {HANDED_BACK}
                or state = 'queued' and entry is not null) order by seq limit $3"
        );
        self.all(&sql, [stage.as_str().into(), now.into(), most.into()]).await?.iter().map(read).collect()
    }

    /// Whether a task of any stream waits for its release, or was released longer ago than the margin and not started.
    pub async fn relay_is_wanted(&self, now: i64, margin: i64) -> Result<bool> {
        let [one, other] = Stage::STREAMED.map(Stage::as_str);
        let sql = format!(
            "select 1 as one from tasks where stage in ('{one}', '{other}') and (state = 'queued' and entry is null and queued_at < $1
                or state = 'waiting' and due_at > {HANDED_BACK} and due_at <= $2) limit 1"
        );
        Ok(self.one(&sql, [(now - margin).into(), now.into()]).await?.is_some())
    }

    /// Whether anything waits for its release.
    pub async fn anything_due(&self, stage: Stage, now: i64) -> Result<bool> {
        let sql = format!(
            "select 1 as one from tasks where stage = $1 and state = 'waiting' and due_at > {HANDED_BACK} and due_at <= $2 limit 1"
        );
        Ok(self.one(&sql, [stage.as_str().into(), now.into()]).await?.is_some())
    }

    /// Due tasks of a stage that no stream hands out.
    pub async fn due(&self, stage: Stage, now: i64, most: i64) -> Result<Vec<TaskRow>> {
        let sql = format!(
            "select {COLUMNS} from tasks where stage = $1 and state = 'waiting' and due_at <= $2 order by due_at limit $3"
        );
        self.all(&sql, [stage.as_str().into(), now.into(), most.into()]).await?.iter().map(read).collect()
    }

    /// The task that was leased under this entry, if the ledger knows of one.
    pub async fn task_under(&self, stage: Stage, entry: &str) -> Result<Option<TaskRow>> {
        let sql = format!("select {COLUMNS} from tasks where stage = $1 and entry = $2");
        self.one(&sql, [stage.as_str().into(), entry.into()]).await?.as_ref().map(read).transpose()
    }

    /// Rule 8a: queued tasks that were overtaken. A task that was released more than `margin` later has been started
    /// (and not only just now), and streams hand out in order.
    pub async fn overtaken(&self, stage: Stage, now: i64, margin: i64) -> Result<Vec<TaskRow>> {
        let columns = COLUMNS.split(", ").map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "select {columns} from tasks t where t.stage = $1 and t.state = 'queued' and t.entry is null and t.queued_at < $2 and exists (
                select 1 from tasks later where later.stage = t.stage and later.seq > t.seq
                and later.queued_at > t.queued_at + $3 and later.started_at is not null and later.started_at < $4)"
        );
        let values: [Value; 4] =
            [stage.as_str().into(), (now - margin).into(), margin.into(), (now - margin / 2).into()];
        self.by_release(&sql, values).await
    }

    /// In the order of their releases. Sorted here: SQLite would read all of the stage in that order.
    async fn by_release(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<Vec<TaskRow>> {
        let mut rows = self.all(sql, values).await?.iter().map(read).collect::<Result<Vec<TaskRow>>>()?;
        rows.sort_by_key(|row| row.task.seq);
        Ok(rows)
    }

    /// Rule 8b: queued tasks that were released before a reader found its stream empty.
    pub async fn unread_before(&self, stage: Stage, before: i64) -> Result<Vec<TaskRow>> {
        let sql = format!(
            "select {COLUMNS} from tasks where stage = $1 and state = 'queued' and entry is null and queued_at < $2"
        );
        self.by_release(&sql, [stage.as_str().into(), before.into()]).await
    }

    /// Whether anything is out on the stage's stream and not ended.
    pub async fn anything_out(&self, stage: Stage) -> Result<bool> {
        let sql = "select 1 as one from tasks where stage = $1 and state in ('queued', 'running') limit 1";
        Ok(self.one(sql, [stage.as_str().into()]).await?.is_some())
    }

    /// The oldest release that nobody has read, if it is older than `before`.
    pub async fn queued_before(&self, stage: Stage, before: i64) -> Result<bool> {
        let sql = "select 1 as one from tasks where stage = $1 and state = 'queued' and entry is null and queued_at < $2 limit 1";
        Ok(self.one(sql, [stage.as_str().into(), before.into()]).await?.is_some())
    }

    /// How many are out on the stage's stream and not read, as far as the ledger knows.
    pub async fn unread(&self, stage: Stage) -> Result<i64> {
        let sql = "select count(*) as number from tasks where stage = $1 and state = 'queued' and entry is null";
        self.one(sql, [stage.as_str().into()]).await?.map_or(Ok(0), |row| Ok(row.try_get("", "number")?))
    }

    /// How many others run and will still ask for their permit: not those that go on with a publish id that they have.
    pub async fn about_to_ask(&self, stage: Stage, now: i64, others_than: Option<TaskId>) -> Result<i64> {
        let sql = format!(
            "select count(*) as number from tasks t where t.stage = $1 and t.state = 'running' and t.permitted = 0
             and t.lease_until >= $2 and t.id <> $3 and not {RESUMES}"
        );
        let but = others_than.map(|id| id.to_string()).unwrap_or_default();
        self.one(&sql, [stage.as_str().into(), now.into(), but.into()])
            .await?
            .map_or(Ok(0), |row| Ok(row.try_get("", "number")?))
    }

    /// Whether a task of the stage has been running since before then.
    pub async fn started_before(&self, stage: Stage, before: i64) -> Result<bool> {
        let sql = "select 1 as one from tasks where stage = $1 and state = 'running' and started_at < $2 limit 1";
        Ok(self.one(sql, [stage.as_str().into(), before.into()]).await?.is_some())
    }

    pub async fn stage_counts(&self, stage: Stage, now: i64) -> Result<StageCounts> {
        let sql =
            "select state, count(*) as number, cast(sum(case when due_at > $2 then 1 else 0 end) as bigint) as later
                   from tasks where stage = $1 and state in ('waiting', 'queued', 'running', 'dead', 'review') group by state";
        let mut counts = StageCounts::default();
        for row in self.all(sql, [stage.as_str().into(), now.into()]).await? {
            let number: i64 = row.try_get("", "number")?;
            match state(&row)? {
                State::Waiting => {
                    counts.parked = row.try_get("", "later")?;
                    counts.waiting = number - counts.parked;
                }
                State::Queued => counts.queued = number,
                State::Running => counts.running = number,
                State::Dead => counts.dead = number,
                State::Review => counts.review = number,
                State::Done | State::Canceled => {}
            }
        }
        Ok(counts)
    }

    /// Since when the oldest task is due that is not on its stream. What was handed back is taken without one.
    pub async fn due_since(&self, stage: Stage, now: i64) -> Result<Option<i64>> {
        let sql = "select min(due_at) as since from tasks where stage = $1 and state = 'waiting' and due_at > $2 and due_at <= $3";
        let row = self.one(sql, [stage.as_str().into(), HANDED_BACK.into(), now.into()]).await?;
        Ok(row.map(|row| row.try_get("", "since")).transpose()?.flatten())
    }

    /// Parked tasks by the code of what they wait for, most first. Without a code it is the time that somebody chose.
    pub async fn parked_by_reason(&self, stage: Stage, now: i64) -> Result<Vec<(String, i64)>> {
        let sql = "select coalesce(wait_code, 'scheduled') as code, count(*) as number from tasks
                   where stage = $1 and state = 'waiting' and due_at > $2 group by wait_code order by number desc, code";
        let rows = self.all(sql, [stage.as_str().into(), now.into()]).await?;
        rows.iter().map(|row| Ok((row.try_get("", "code")?, row.try_get("", "number")?))).collect()
    }

    /// Below this id nothing on the stream is live: every entry that is older was leased a while ago and has ended.
    /// None while nothing is known. See `stream` for what becomes of it.
    pub async fn trim_bound(&self, stage: Stage, now: i64, margin: i64) -> Result<Option<String>> {
        let live = "select min(entry) as entry from tasks where stage = $1 and state = 'running' and entry is not null";
        let row = self.one(live, [stage.as_str().into()]).await?;
        if let Some(entry) = row.map(|row| row.try_get::<Option<String>>("", "entry")).transpose()?.flatten() {
            return Ok(Some(whole_millisecond(&entry)));
        }
        let ended = "select entry from tasks where stage = $1 and entry is not null and started_at < $2 order by seq desc limit 1";
        let row = self.one(ended, [stage.as_str().into(), (now - margin).into()]).await?;
        Ok(row.map(|row| row.try_get::<String>("", "entry")).transpose()?.map(|entry| whole_millisecond(&entry)))
    }
}

/// The first id of the entry's millisecond: ids of one millisecond don't sort as text.
fn whole_millisecond(entry: &str) -> String {
    format!("{}-0", entry.split('-').next().unwrap_or(entry))
}

impl Tx {
    pub async fn insert_task(&self, row: &TaskRow) -> Result<()> {
        let task = &row.task;
        let sql = "insert into tasks (id, video_id, stage, account_id, creator, priority, state, due_at, wait_code, wait_text, seq, queued_at,
                   entry, started_at, holder, attempts, takeovers, token, lease_until, permitted)
                   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 0)";
        let mut values: Vec<Value> = vec![
            task.id.to_string().into(),
            task.video.to_string().into(),
            task.stage.as_str().into(),
            row.account.as_str().into(),
            row.creator.as_str().into(),
            row.priority.into(),
        ];
        values.extend(moving(task));
        self.run_one(sql, values).await
    }

    /// Writes the new row where the old one still stands.
    pub async fn put_task(&self, old: &Task, new: &Task) -> Result<()> {
        let sql = "update tasks set state = $1, due_at = $2, wait_code = $3, wait_text = $4, seq = $5, queued_at = $6, entry = $7,
                   started_at = $8, holder = $9, attempts = $10, takeovers = $11, token = $12, lease_until = $13,
                   permitted = case when seq = $5 and $1 = 'running' then permitted else 0 end
                   where id = $14 and state = $15 and seq = $16 and lease_until = $17 and coalesce(token, '') = $18";
        let mut values = moving(new);
        values.extend([
            old.id.to_string().into(),
            old.state.as_str().into(),
            old.seq.into(),
            old.lease_until.into(),
            old.token.map(|token| token.to_string()).unwrap_or_default().into(),
        ]);
        self.run_one(sql, values).await
    }

    /// This run has taken its permit.
    pub async fn mark_permitted(&self, id: TaskId) -> Result<()> {
        self.run_one("update tasks set permitted = 1 where id = $1", [id.to_string().into()]).await
    }
}

fn moving(task: &Task) -> Vec<Value> {
    vec![
        task.state.as_str().into(),
        task.due_at.into(),
        task.wait.as_ref().map(|reason| reason.code.clone()).into(),
        task.wait.as_ref().map(|reason| reason.text.clone()).into(),
        task.seq.into(),
        task.queued_at.into(),
        task.entry.clone().into(),
        task.started_at.into(),
        task.holder.clone().into(),
        i64::from(task.attempts).into(),
        i64::from(task.takeovers).into(),
        task.token.map(|token| token.to_string()).into(),
        task.lease_until.into(),
    ]
}

fn state(row: &QueryResult) -> Result<State> {
    let text: String = row.try_get("", "state")?;
    State::ALL
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| LedgerError::Corrupt(format!("the column state holds {text:?}")))
}

pub(super) fn read(row: &QueryResult) -> Result<TaskRow> {
    let wait_code: Option<String> = row.try_get("", "wait_code")?;
    let wait_text: Option<String> = row.try_get("", "wait_text")?;
    Ok(TaskRow {
        task: Task {
            id: parsed(row, "id")?,
            video: parsed(row, "video_id")?,
            stage: parsed(row, "stage")?,
            state: state(row)?,
            due_at: row.try_get("", "due_at")?,
            wait: wait_code.map(|code| Reason::new(code, wait_text.unwrap_or_default())),
            seq: row.try_get("", "seq")?,
            queued_at: row.try_get("", "queued_at")?,
            entry: row.try_get("", "entry")?,
            started_at: row.try_get("", "started_at")?,
            holder: row.try_get("", "holder")?,
            attempts: count(row, "attempts")?,
            takeovers: count(row, "takeovers")?,
            token: parsed_option(row, "token")?,
            lease_until: row.try_get("", "lease_until")?,
        },
        account: row.try_get("", "account_id")?,
        creator: row.try_get("", "creator")?,
        priority: row.try_get("", "priority")?,
    })
}
