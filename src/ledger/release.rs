//! The ordered release: which due tasks go out to their stream next.
//!
//! Within a priority the creators take turns, so that one creator's thousand videos don't stand in front of fifty
//! others; between priorities the turns go 6 : 3 : 1 (stride scheduling: each priority has a `pass` that grows by one
//! over its weight with every release, and the smallest goes next, so even `low` never starves). A creator who is
//! closed by a limit or a pause, or has as much out as the limit allows, is passed over and costs no command. [`lanes`]
//! finds them.
//!
//! Locks are taken in one order everywhere, so that no two transactions wait for each other on PostgreSQL: a video, its
//! tasks, its publication, limits, the stage's turns, the sequence of releases. A release holds the last two, and passes
//! over a task that somebody else has locked instead of waiting for it.
//!
//! [`lanes`]: super::lanes

use super::tasks::Released;
use super::{LedgerError, Pause, Result, Tx};
use crate::event::{Entry, Stage, TaskId};
use crate::task::{HANDED_BACK, Task};

/// How much may be out on a stage's stream at once.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Tasks of the stage that may be released and not yet started.
    pub queued: i64,
    /// Of these, tasks of one creator, where a limit per account makes more of them pointless.
    pub per_creator: Option<i64>,
    /// The same where no limit does: whoever comes later should not find one creator's tasks before them.
    pub at_once: Option<i64>,
    /// Permits that the stage's limit has for what is out and has taken none. More would only stand on the stream, where
    /// nobody can go before them any more.
    pub permits: Option<i64>,
}

impl Room {
    /// About ten for each slot, and a hundred besides.
    pub fn for_slots(slots: usize, per_creator: Option<u32>) -> Self {
        let slots = i64::try_from(slots).unwrap_or(100);
        Self {
            queued: slots * 10 + 100,
            per_creator: per_creator.map(i64::from),
            at_once: Some(slots * 4 + 8),
            permits: None,
        }
    }
}

/// A due task, in the order within its priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Releasable {
    pub task: TaskId,
    pub priority: usize,
    /// It has its publish id, so it needs no permit.
    pub resumes: bool,
}

/// Due tasks that no pause and no limit of a creator holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready {
    /// They need a permit of the stage's limit to start.
    pub limited: i64,
    /// They go on with a publish id that they have, and need none.
    pub resuming: i64,
}

/// One over the weights 6 : 3 : 1, as whole numbers.
const STRIDES: [i64; 3] = [5, 10, 30];

/// Merges the priorities (each already in order) by their passes, which it moves on.
pub fn interleave(passes: &mut [i64; 3], due: &[Releasable], room: usize) -> Vec<TaskId> {
    let mut queues: [std::collections::VecDeque<TaskId>; 3] = Default::default();
    for one in due {
        queues[one.priority.min(2)].push_back(one.task);
    }
    // A priority that had nothing to send does not save up turns.
    let floor =
        (0..3).filter(|&priority| !queues[priority].is_empty()).map(|priority| passes[priority]).max().unwrap_or(0)
            - 30;
    passes.iter_mut().for_each(|pass| *pass = (*pass).max(floor));
    let mut chosen = Vec::new();
    while chosen.len() < room {
        let next = (0..3)
            .filter(|&priority| !queues[priority].is_empty())
            .min_by_key(|&priority| (passes[priority], priority));
        let Some(priority) = next else { break };
        if let Some(task) = queues[priority].pop_front() {
            passes[priority] += STRIDES[priority];
            chosen.push(task);
        }
    }
    chosen
}

impl Tx {
    /// Releases what is due and has room, in order. The caller commits, then appends.
    pub async fn release(&self, stage: Stage, room: Room) -> Result<Vec<Released>> {
        if self.paused(&Pause::name_of_stage(stage)).await?.is_some()
            || self.free(stage, room).await? == 0
            || self.due(stage, self.now, 1).await?.is_empty()
        {
            return Ok(Vec::new());
        }
        // From here on one release of a stage at a time, so what others have just released is counted again.
        let mut passes = self.passes(stage).await?;
        let free = self.free(stage, room).await?;
        let startable = match room.permits {
            Some(permits) => usize::try_from(permits - self.without_permit(stage).await?).unwrap_or(0).min(free),
            None => free,
        };
        let due = self.candidates(stage, room, free, startable).await?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let (resuming, limited): (Vec<_>, Vec<_>) = due.into_iter().partition(|one| one.resumes);
        let mut chosen = interleave(&mut passes, &resuming, free);
        let left = startable.min(free - chosen.len());
        chosen.extend(interleave(&mut passes, &limited, left));
        self.put_passes(stage, passes).await?;
        let mut queued = Vec::with_capacity(chosen.len());
        for (row, trace) in self.unlocked(&chosen).await? {
            // A worker may have leased it meanwhile.
            if row.task.release(0, self.now).is_ok() {
                queued.push((row.task, trace));
            }
        }
        let mut seq = self.count_releases(queued.len()).await?;
        let mut released = Vec::with_capacity(queued.len());
        for (task, trace) in queued {
            let Ok(queued) = task.release(seq, self.now) else { continue };
            self.put_task(&task, &queued).await?;
            released.push(Released { stage, entry: Entry { task: task.id, video: task.video, trace } });
            seq += 1;
        }
        Ok(released)
    }

    /// Releases one that was just handed back, if nothing stands before it on the stream: a reader that waits gets it at
    /// once. Otherwise the next free worker takes it from the ledger.
    pub async fn release_handed_back(&self, task: &Task) -> Result<Option<Released>> {
        if self.queued_before(task.stage, i64::MAX).await?
            || self.paused(&Pause::name_of_stage(task.stage)).await?.is_some()
        {
            return Ok(None);
        }
        let Some((row, trace)) = self.unlocked(&[task.id]).await?.pop() else { return Ok(None) };
        if self.paused(&Pause::name_of_account(&row.account)).await?.is_some() {
            return Ok(None);
        }
        let Ok(queued) = row.task.release(self.count_releases(1).await?, self.now) else { return Ok(None) };
        self.put_task(&row.task, &queued).await?;
        Ok(Some(Released { stage: task.stage, entry: Entry { task: task.id, video: task.video, trace } }))
    }

    async fn free(&self, stage: Stage, room: Room) -> Result<usize> {
        let sql = "select count(*) as number from tasks where stage = $1 and state = 'queued'";
        let out: i64 = self.one(sql, [stage.as_str().into()]).await?.map_or(Ok(0), |row| row.try_get("", "number"))?;
        Ok(usize::try_from(room.queued - out).unwrap_or(0))
    }

    /// What is out and will ask for a permit.
    async fn without_permit(&self, stage: Stage) -> Result<i64> {
        let sql = format!(
            "select count(*) as number from tasks t where t.stage = $1 and t.state in ('queued', 'running')
             and t.permitted = 0 and not {RESUMES}"
        );
        self.one(&sql, [stage.as_str().into()]).await?.map_or(Ok(0), |row| Ok(row.try_get("", "number")?))
    }

    /// Moves the sequence of releases on; the first number of these.
    async fn count_releases(&self, number: usize) -> Result<i64> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let sql = "update counters set value = value + $1 where name = 'release' returning value";
        let row = self
            .one(sql, [number.into()])
            .await?
            .ok_or_else(|| LedgerError::Corrupt("the counter of releases is gone".to_owned()))?;
        Ok(row.try_get::<i64>("", "value")? - number + 1)
    }

    async fn passes(&self, stage: Stage) -> Result<[i64; 3]> {
        // In one order: each release moves the rows, and two that lock them as they lie would wait for each other.
        let sql = format!("select priority, pass from turns where stage = $1 order by priority{}", self.for_update());
        let mut passes = [0; 3];
        for row in self.all(&sql, [stage.as_str().into()]).await? {
            let priority: i64 = row.try_get("", "priority")?;
            if let Some(pass) = usize::try_from(priority).ok().and_then(|priority| passes.get_mut(priority)) {
                *pass = row.try_get("", "pass")?;
            }
        }
        Ok(passes)
    }

    async fn put_passes(&self, stage: Stage, passes: [i64; 3]) -> Result<()> {
        let sql = "insert into turns (stage, priority, pass) values ($1, 0, $2), ($1, 1, $3), ($1, 2, $4)
                   on conflict (stage, priority) do update set pass = excluded.pass";
        self.run(sql, [stage.as_str().into(), passes[0].into(), passes[1].into(), passes[2].into()]).await?;
        Ok(())
    }
}

/// More than this is no longer counted: nobody starts so many workers.
const COUNTED: usize = 10_000;

impl super::Ledger {
    /// What could be started now, released or not, where neither the stage's limit nor a pause of it stood in the way.
    /// Costs as much as there are accounts with waiting work and tasks on the stream, however many wait.
    pub async fn ready(&self, stage: Stage, per_creator: Option<u32>, now: i64) -> Result<Ready> {
        let of_these =
            format!("select case when {RESUMES} then 1 else 0 end as resumes from tasks t where t.stage = $1");
        // Two questions in one: of an `or` SQLite would make a walk over all of the stage.
        let sql = format!(
            "{of_these} and t.state = 'queued' union all {of_these} and t.state = 'waiting' and t.due_at = {HANDED_BACK}"
        );
        let mut ready = Ready::default();
        for row in self.all(&sql, [stage.as_str().into()]).await? {
            let resumes: i32 = row.try_get("", "resumes")?;
            if resumes == 1 { ready.resuming += 1 } else { ready.limited += 1 }
        }
        let (limited, resuming) = self.startable(stage, per_creator.map(i64::from), now, COUNTED).await?;
        ready.limited += i64::try_from(limited).unwrap_or(i64::MAX);
        ready.resuming += i64::try_from(resuming).unwrap_or(i64::MAX);
        Ok(ready)
    }
}

/// A publication that has its publish id resumes: it needs no permit, so no limit holds it up.
pub(super) const RESUMES: &str =
    "exists (select 1 from publications r where r.video_id = t.video_id and r.publish_id is not null)";

#[cfg(test)]
mod tests {
    use super::*;

    fn due(counts: [usize; 3]) -> Vec<Releasable> {
        (0..3)
            .flat_map(|priority| {
                (0..counts[priority]).map(move |_| Releasable { task: TaskId::new(), priority, resumes: false })
            })
            .collect()
    }

    fn shares(passes: &mut [i64; 3], due: &[Releasable], room: usize) -> [usize; 3] {
        let chosen = interleave(passes, due, room);
        [0, 1, 2]
            .map(|priority| due.iter().filter(|one| one.priority == priority && chosen.contains(&one.task)).count())
    }

    #[test]
    fn ten_releases_are_shared_six_to_three_to_one() {
        assert_eq!(shares(&mut [0; 3], &due([20, 20, 20]), 10), [6, 3, 1]);
    }

    #[test]
    fn the_shares_hold_when_there_is_room_for_one_at_a_time() {
        let mut passes = [0; 3];
        let mut total = [0; 3];
        for _ in 0..100 {
            let one = shares(&mut passes, &due([5, 5, 5]), 1);
            (0..3).for_each(|priority| total[priority] += one[priority]);
        }
        assert_eq!(total, [60, 30, 10]);
    }

    #[test]
    fn a_priority_that_was_empty_for_long_gets_its_share_and_not_the_past() {
        let mut passes = [0; 3];
        shares(&mut passes, &due([1000, 0, 0]), 1000);
        let [high, low] = {
            let got = shares(&mut passes, &due([50, 0, 50]), 14);
            [got[0], got[2]]
        };
        assert!(high >= 10 && (1..=4).contains(&low), "high {high}, low {low}");
    }

    #[test]
    fn nothing_is_chosen_twice_and_no_more_than_there_is_room() {
        let all = due([3, 2, 1]);
        let chosen = interleave(&mut [0; 3], &all, 4);
        assert_eq!(chosen.len(), 4);
        assert_eq!(chosen.iter().collect::<std::collections::HashSet<_>>().len(), 4);
        assert_eq!(interleave(&mut [0; 3], &all, 100).len(), 6);
    }
}
