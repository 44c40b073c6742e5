//! What one transaction reads ahead and writes behind, for many videos: rows come in a few statements and go in a few, and
//! whoever works with them in between sees one row at a time, as ever.
//!
//! Only a transaction of [`Ledger::gather`](super::Ledger::gather) has it. Rows that were read ahead are locked, so nothing
//! but this transaction's own writes changes them. Those stand here until the commit, or until a statement of another kind
//! asks the same tables, which then finds them written. A write that finds another row than was read ends the transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::{MutexGuard, PoisonError};

use sea_orm::{DbBackend, Value};

use super::{Connection, LedgerError, Result, Session, Tx, history, tasks, videos};
use crate::event::{Stage, TaskId, VideoId};
use crate::ledger::{TaskRow, Video, VideoPatch};
use crate::task::Task;

/// Rows of one statement: few sizes, so that each statement is prepared once.
const SIZES: [usize; 4] = [64, 16, 4, 1];

#[derive(Default)]
pub(super) struct Gathered {
    /// The transaction's time.
    now: i64,
    tasks: HashMap<TaskId, TaskRow>,
    /// Which task a video has in a stage, as far as it was asked.
    stages: HashMap<(VideoId, Stage), Option<TaskId>>,
    videos: HashMap<VideoId, Video>,
    behind: Behind,
}

/// What is to be written.
#[derive(Default)]
struct Behind {
    videos: Vec<Video>,
    tasks: Vec<TaskRow>,
    permitted: Vec<TaskId>,
    /// From the row that stands to the one that shall.
    moves: Vec<(Task, Task)>,
    patches: BTreeMap<VideoId, VideoPatch>,
    notes: Vec<history::Note>,
}

impl Behind {
    fn is_empty(&self) -> bool {
        self.videos.is_empty()
            && self.tasks.is_empty()
            && self.permitted.is_empty()
            && self.moves.is_empty()
            && self.patches.is_empty()
            && self.notes.is_empty()
    }
}

impl Gathered {
    pub(super) fn at(now: i64) -> Self {
        Self { now, ..Self::default() }
    }

    pub(super) fn task(&self, id: TaskId) -> Option<TaskRow> {
        self.tasks.get(&id).cloned()
    }

    /// Some(None): it is known that there is none.
    pub(super) fn task_of(&self, video: VideoId, stage: Stage) -> Option<Option<TaskRow>> {
        let id = self.stages.get(&(video, stage))?;
        Some(id.and_then(|id| self.task(id)))
    }

    pub(super) fn video(&self, id: VideoId) -> Option<Video> {
        self.videos.get(&id).cloned()
    }

    fn know(&mut self, row: TaskRow) {
        self.stages.insert((row.task.video, row.task.stage), Some(row.task.id));
        self.tasks.insert(row.task.id, row);
    }

    pub(super) fn insert_video(&mut self, video: &Video) {
        self.videos.insert(video.id, video.clone());
        self.behind.videos.push(video.clone());
    }

    pub(super) fn insert_task(&mut self, row: &TaskRow) {
        self.know(row.clone());
        self.behind.tasks.push(row.clone());
    }

    /// The tasks of a stage that are new and due, as they will be written. None, if others have become due as well.
    pub(super) fn new_and_due(&self, stage: Stage) -> Vec<TaskRow> {
        let due = |row: &&TaskRow| row.task.stage == stage && row.task.release(0, self.now).is_ok();
        if self.behind.moves.iter().any(|(_, new)| new.stage == stage && new.release(0, self.now).is_ok()) {
            return Vec::new();
        }
        self.behind.tasks.iter().filter(due).cloned().collect()
    }

    pub(super) fn put_task(&mut self, old: &Task, new: &Task) -> Result<()> {
        if let Some(known) = self.tasks.get_mut(&old.id) {
            if known.task != *old {
                return Err(LedgerError::Conflict);
            }
            known.task = new.clone();
        }
        // What is not yet written is written as it ends up.
        if let Some(row) = self.behind.tasks.iter_mut().find(|row| row.task.id == old.id) {
            row.task = new.clone();
        } else if let Some((_, last)) = self.behind.moves.iter_mut().find(|(_, last)| last.id == old.id) {
            *last = new.clone();
        } else {
            self.behind.moves.push((old.clone(), new.clone()));
        }
        Ok(())
    }

    pub(super) fn mark_permitted(&mut self, id: TaskId) {
        self.behind.permitted.push(id);
    }

    pub(super) fn patch_video(&mut self, id: VideoId, patch: VideoPatch) {
        let now = self.now;
        if let Some(video) = self.videos.get_mut(&id) {
            patch.clone().apply(video, now);
        }
        if let Some(new) = self.behind.videos.iter_mut().find(|video| video.id == id) {
            patch.apply(new, now);
        } else {
            let known = self.behind.patches.remove(&id).unwrap_or_default();
            self.behind.patches.insert(id, known.and_then(patch));
        }
    }

    pub(super) fn note(&mut self, note: history::Note) {
        self.behind.notes.push(note);
    }
}

impl Session {
    pub(super) fn gathered(&self) -> Option<MutexGuard<'_, Gathered>> {
        match &self.connection {
            Connection::Transaction(_, Some(gathered)) => Some(gathered.lock().unwrap_or_else(PoisonError::into_inner)),
            Connection::Transaction(_, None) | Connection::Pool(..) => None,
        }
    }

    /// Before a statement that speaks of the same tables: they have what was written so far.
    pub(super) async fn settled_for(&self, sql: &str) -> Result<()> {
        if ["tasks", "videos", "history"].iter().any(|table| sql.contains(table)) {
            self.write_behind().await?;
        }
        Ok(())
    }

    /// A statement of its own wrote there, so what was read ahead is read again.
    pub(super) fn forget_what(&self, sql: &str) {
        if let Some(mut gathered) = self.gathered()
            && ["update tasks", "update videos"].iter().any(|write| sql.contains(write))
        {
            *gathered = Gathered::at(gathered.now);
        }
    }

    pub(super) async fn write_behind(&self) -> Result<()> {
        let (behind, now) = match self.gathered() {
            Some(mut gathered) if !gathered.behind.is_empty() => (std::mem::take(&mut gathered.behind), gathered.now),
            _ => return Ok(()),
        };
        for videos in sized(&behind.videos) {
            let rows = videos.iter().map(videos::values).collect::<Result<Vec<_>>>()?;
            self.insert("videos", videos::COLUMNS, rows).await?;
        }
        for tasks in sized(&behind.tasks) {
            self.insert("tasks", tasks::WRITTEN, tasks.iter().map(tasks::values).collect()).await?;
        }
        for ids in sized(&behind.permitted) {
            let sql = format!("update tasks set permitted = 1 where id in ({})", super::places(0, ids.len()));
            self.write(&sql, ids.iter().map(|id| id.to_string().into()).collect(), ids.len()).await?;
        }
        for moves in sized(&behind.moves) {
            let rows = moves.iter().map(|(old, new)| tasks::moved(old, new)).collect();
            self.update("tasks", &tasks::MOVED, tasks::MOVE, rows).await?;
        }
        self.patch_behind(behind.patches, now).await?;
        for notes in sized(&behind.notes) {
            self.insert("history", history::COLUMNS, notes.iter().map(history::Note::values).collect()).await?;
        }
        Ok(())
    }

    /// Patches that touch the same columns go together.
    async fn patch_behind(&self, patches: BTreeMap<VideoId, VideoPatch>, now: i64) -> Result<()> {
        let mut alike: BTreeMap<Vec<videos::Set>, Vec<Vec<Value>>> = BTreeMap::new();
        for (id, patch) in patches {
            let (columns, mut values): (Vec<_>, Vec<_>) = patch.sets(now)?.into_iter().unzip();
            values.insert(0, id.to_string().into());
            alike.entry(columns).or_default().push(values);
        }
        for (columns, rows) in alike {
            let mut typed = vec![("id", "text")];
            typed.extend(columns.iter().map(|set| (set.column, set.kind)));
            let sets = columns.iter().map(|set| format!("{0} = given.{0}", set.column)).collect::<Vec<_>>().join(", ");
            let change = format!("{sets} from given where videos.id = given.id");
            for rows in sized(&rows) {
                self.update("videos", &typed, &change, rows.to_vec()).await?;
            }
        }
        Ok(())
    }

    async fn insert(&self, table: &str, columns: &str, rows: Vec<Vec<Value>>) -> Result<()> {
        let sql = format!("insert into {table} ({columns}) values {}", listed(&rows, |_| None));
        let number = rows.len();
        self.write(&sql, rows.into_iter().flatten().collect(), number).await
    }

    async fn update(&self, table: &str, columns: &[(&str, &str)], change: &str, rows: Vec<Vec<Value>>) -> Result<()> {
        let names = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        // PostgreSQL takes a list's types from its first row.
        let rows_sql = listed(&rows, |place| Some(columns[place].1));
        let sql = format!("with given ({names}) as (values {rows_sql}) update {table} set {change}");
        let number = rows.len();
        self.write(&sql, rows.into_iter().flatten().collect(), number).await
    }

    async fn write(&self, sql: &str, values: Vec<Value>, rows: usize) -> Result<()> {
        let Connection::Transaction(transaction, _) = &self.connection else { return Ok(()) };
        let statement = self.statement(sql, values);
        let done = self.bounded(sea_orm::ConnectionTrait::execute_raw(transaction, statement)).await?;
        if done.rows_affected() == rows as u64 { Ok(()) } else { Err(LedgerError::Conflict) }
    }
}

impl Tx {
    /// These tasks and their videos, locked in one order: two that read the same ones never wait for each other.
    pub async fn read_tasks_ahead(&self, ids: &[TaskId]) -> Result<()> {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        if self.backend == DbBackend::Postgres {
            let videos = self.listed("select video_id as id from tasks where id in", &names, "").await?;
            let videos = videos.iter().map(|row| Ok(row.try_get("", "id")?)).collect::<Result<Vec<String>>>()?;
            self.read_videos(&videos).await?;
        }
        let sql = format!("select {} from tasks where id in", tasks::COLUMNS);
        let rows = self.listed(&sql, &names, "order by id").await?;
        let rows = rows.iter().map(tasks::read).collect::<Result<Vec<TaskRow>>>()?;
        if self.backend == DbBackend::Sqlite {
            self.read_videos(&rows.iter().map(|row| row.task.video.to_string()).collect::<Vec<_>>()).await?;
        }
        let Some(mut gathered) = self.gathered() else { return Ok(()) };
        rows.into_iter().for_each(|row| gathered.know(row));
        Ok(())
    }

    /// Which of these videos, which are locked, have a task of the stage already.
    pub async fn read_stage_ahead(&self, videos: &[VideoId], stage: Stage) -> Result<()> {
        let names: Vec<String> = videos.iter().map(ToString::to_string).collect();
        let sql = format!("select {} from tasks where stage = '{stage}' and video_id in", tasks::COLUMNS);
        let rows = self.listed(&sql, &names, "order by id").await?;
        let rows = rows.iter().map(tasks::read).collect::<Result<Vec<TaskRow>>>()?;
        let Some(mut gathered) = self.gathered() else { return Ok(()) };
        for &video in videos {
            gathered.stages.entry((video, stage)).or_insert(None);
        }
        rows.into_iter().for_each(|row| gathered.know(row));
        Ok(())
    }

    async fn read_videos(&self, names: &[String]) -> Result<()> {
        let sql = format!("select {} from videos where id in", videos::COLUMNS);
        let rows = self.listed(&sql, names, "order by id").await?;
        let rows = rows.iter().map(videos::read).collect::<Result<Vec<Video>>>()?;
        let Some(mut gathered) = self.gathered() else { return Ok(()) };
        rows.into_iter().for_each(|video| drop(gathered.videos.insert(video.id, video)));
        Ok(())
    }

    /// Rows by a list of ids, in steps of a few sizes: the last one fills up a step.
    async fn listed(&self, sql: &str, names: &[String], order: &str) -> Result<Vec<sea_orm::QueryResult>> {
        let mut names = names.to_vec();
        names.sort_unstable();
        names.dedup();
        let lock = if order.is_empty() { "" } else { self.for_update() };
        let mut rows = Vec::new();
        for names in names.chunks(SIZES[0]) {
            let size = SIZES.into_iter().rev().find(|&size| size >= names.len()).unwrap_or(names.len());
            let filled = names.iter().chain(std::iter::repeat_n(&names[names.len() - 1], size - names.len()));
            let sql = format!("{sql} ({}) {order}{lock}", super::places(0, size));
            rows.extend(self.all(&sql, filled.map(|name| name.as_str().into()).collect::<Vec<Value>>()).await?);
        }
        Ok(rows)
    }
}

/// In steps of a few sizes.
fn sized<T>(items: &[T]) -> impl Iterator<Item = &[T]> {
    let mut left = items;
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|&size| size <= left.len())?;
        let (now, later) = left.split_at(size);
        left = later;
        Some(now)
    })
}

/// `($1, $2), ($3, $4)`; with a type, where the first row has to say it.
fn listed<'t>(rows: &[Vec<Value>], kind: impl Fn(usize) -> Option<&'t str>) -> String {
    let mut place = 0;
    let mut list = String::new();
    for (number, row) in rows.iter().enumerate() {
        list.push_str(if number == 0 { "(" } else { ", (" });
        for column in 0..row.len() {
            place += 1;
            if column > 0 {
                list.push_str(", ");
            }
            match kind(column).filter(|_| number == 0) {
                Some(kind) => list.push_str(&format!("cast(${place} as {kind})")),
                None => list.push_str(&format!("${place}")),
            }
        }
        list.push(')');
    }
    list
}
