//! What has ended: dead letters, and what a replay may choose from.

use sea_orm::Value;

use super::entries::{self, DeadEntry};
use super::videos::{self, Status, Video};
use super::{Result, Session, TaskRow, Tx, parsed, places, tasks};
use crate::event::{Stage, VideoId};

/// How many dead letters are looked through at a time.
const AT_ONCE: usize = 500;
/// How many of them for one page.
const LOOKED_THROUGH: usize = 20_000;

/// A video that failed, and the task that it ended in.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    pub video: Video,
    pub task: TaskRow,
}

/// Which dead letters, newest upload first.
#[derive(Debug, Clone, Default)]
pub struct DeadFilter {
    /// All of them, when it is empty.
    pub stages: Vec<Stage>,
    /// Part of the title, the reason or the account, or a whole id; in any case.
    pub text: Option<String>,
    pub cursor: Option<VideoId>,
    pub limit: usize,
}

#[derive(Debug, Clone, Default)]
pub struct DeadPage {
    pub letters: Vec<DeadLetter>,
    pub next: Option<VideoId>,
}

/// Ended tasks of a stage, by what became of their videos and when their entries were last put on the stream.
#[derive(Debug, Clone)]
pub struct EndedFilter {
    pub stage: Stage,
    pub statuses: Vec<Status>,
    pub from: Option<i64>,
    pub to: Option<i64>,
    pub limit: usize,
}

impl DeadLetter {
    fn speaks_of(&self, text: &str) -> bool {
        let reason = self.video.reason.as_ref();
        let said = reason.map(|reason| [reason.code.as_str(), reason.text.as_str()]).unwrap_or_default();
        let names = [self.video.title.as_str(), &self.video.account];
        said.iter().chain(&names).any(|one| one.to_lowercase().contains(text))
            || [self.video.id.to_string(), self.task.task.id.to_string()].iter().any(|id| id == text)
    }
}

impl Session {
    /// A page may hold fewer than its limit and still have a next one: where few of many match the text.
    pub async fn dead_letters(&self, filter: &DeadFilter) -> Result<DeadPage> {
        let text = filter.text.as_deref().map(str::to_lowercase);
        let (mut letters, mut cursor, mut looked): (Vec<DeadLetter>, _, _) = (Vec::new(), filter.cursor, 0);
        loop {
            let page = self.dead_page(&filter.stages, cursor).await?;
            let last = page.len() < AT_ONCE;
            looked += page.len();
            cursor = page.last().map(|letter| letter.video.id);
            letters.extend(page.into_iter().filter(|one| text.as_deref().is_none_or(|text| one.speaks_of(text))));
            if letters.len() > filter.limit {
                letters.truncate(filter.limit);
                let next = letters.last().map(|letter| letter.video.id);
                return Ok(DeadPage { letters, next });
            }
            if last || looked >= LOOKED_THROUGH {
                return Ok(DeadPage { letters, next: cursor.filter(|_| !last) });
            }
        }
    }

    async fn dead_page(&self, stages: &[Stage], before: Option<VideoId>) -> Result<Vec<DeadLetter>> {
        let mut values: Vec<Value> = vec![i64::try_from(AT_ONCE).unwrap_or(i64::MAX).into()];
        let mut of_stages = String::new();
        if !stages.is_empty() {
            of_stages = format!("and t.stage in ({})", places(values.len(), stages.len()));
            values.extend(stages.iter().map(|stage| Value::from(stage.as_str())));
        }
        let mut behind = String::new();
        if let Some(before) = before {
            values.push(before.to_string().into());
            behind = format!("and v.id < ${}", values.len());
        }
        let sql = format!(
            "select v.id from videos v where v.status = 'FAILED' {behind} and exists (
                select 1 from tasks t where t.video_id = v.id and t.state = 'dead' {of_stages})
             order by v.id desc limit $1"
        );
        let ids = self.all(&sql, values).await?;
        let ids = ids.iter().map(|row| parsed(row, "id")).collect::<Result<Vec<VideoId>>>()?;
        self.dead_of(&ids).await
    }

    /// The dead letters among these videos, newest upload first.
    pub async fn dead_of(&self, ids: &[VideoId]) -> Result<Vec<DeadLetter>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let listed = || ids.iter().map(|id| Value::from(id.to_string()));
        let places = places(0, ids.len());
        let sql = format!(
            "select {} from videos where status = 'FAILED' and id in ({places}) order by id desc",
            videos::COLUMNS
        );
        let videos = self.all(&sql, listed()).await?;
        // What a video went through last is what it ended in.
        let sql = format!(
            "select {} from tasks where state = 'dead' and video_id in ({places}) order by id desc",
            tasks::COLUMNS
        );
        let tasks = self.all(&sql, listed()).await?.iter().map(tasks::read).collect::<Result<Vec<TaskRow>>>()?;
        let mut letters = Vec::new();
        for row in &videos {
            let video = videos::read(row)?;
            if let Some(task) = tasks.iter().find(|row| row.task.video == video.id) {
                letters.push(DeadLetter { task: task.clone(), video });
            }
        }
        Ok(letters)
    }

    pub async fn ended(&self, filter: &EndedFilter) -> Result<Vec<VideoId>> {
        let mut values: Vec<Value> =
            vec![filter.stage.as_str().into(), i64::try_from(filter.limit).unwrap_or(i64::MAX).into()];
        let mut conditions = String::new();
        for (time, compared) in [(filter.from, ">="), (filter.to, "<")] {
            if let Some(time) = time {
                values.push(time.into());
                // What never went out was canceled before: its upload's time stands for it.
                let place = values.len();
                conditions
                    .push_str(&format!(" and coalesce(nullif(t.queued_at, 0), v.created_at) {compared} ${place}"));
            }
        }
        let statuses = places(values.len(), filter.statuses.len());
        values.extend(filter.statuses.iter().map(|status| Value::from(status.as_str())));
        let sql = format!(
            "select v.id from videos v join tasks t on t.video_id = v.id and t.stage = $1
             where v.status in ({statuses}) and t.state in ('done', 'dead', 'review', 'canceled') {conditions}
             order by v.id limit $2"
        );
        self.all(&sql, values).await?.iter().map(|row| parsed(row, "id")).collect()
    }

    /// The video that an operator means: by its own id, that of one of its tasks, or that of an entry.
    pub async fn video_named(&self, name: &str) -> Result<Option<VideoId>> {
        if let Ok(id) = name.parse::<VideoId>() {
            let sql = "select id from videos where id = $1 union all select video_id as id from tasks where id = $1";
            let found = self.one(sql, [id.to_string().into()]).await?;
            return found.map(|row| parsed(&row, "id")).transpose();
        }
        // PostgreSQL refuses a NUL in what it is asked, and no entry holds one.
        if name.contains('\0') {
            return Ok(None);
        }
        for stage in Stage::STREAMED {
            if let Some(row) = self.task_under(stage, name).await? {
                return Ok(Some(row.task.video));
            }
        }
        Ok(None)
    }

    pub async fn dead_entry(&self, stream: &str, entry: &str) -> Result<Option<DeadEntry>> {
        let sql = format!("select {} from dead_entries where stream = $1 and entry = $2", entries::COLUMNS);
        self.one(&sql, [stream.into(), entry.into()]).await?.as_ref().map(entries::read).transpose()
    }
}

impl Tx {
    /// False: it is not there.
    pub async fn remove_dead_entry(&self, stream: &str, entry: &str) -> Result<bool> {
        Ok(self.run("delete from dead_entries where stream = $1 and entry = $2", [stream.into(), entry.into()]).await?
            == 1)
    }
}
