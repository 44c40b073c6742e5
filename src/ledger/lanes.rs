//! Who is next: the due tasks that the ordered release may choose from.
//!
//! A lane is the waiting work of one account at one priority, but for what was handed back, which a free worker takes
//! from the ledger itself, and for posts that resume, which need no permit and go first. An index holds each lane's tasks in order, so its head is
//! one step away however many stand behind it, due or parked: a release costs as much as there are accounts with waiting
//! work, and never as much as there are tasks. Lanes of accounts that are paused, lost or closed by their creator's limit
//! are passed over as wholes. Deeper than their heads they are read only where there is room for more than one round.

use std::collections::{BTreeMap, HashMap};

use sea_orm::{QueryResult, Value};

use super::release::{Releasable, Room};
use super::{Result, Session, Tx, parsed, places};
use crate::event::{Stage, TaskId};
use crate::task::HANDED_BACK;

const DAY: i64 = 24 * 3600 * 1000;

/// More than any creator has out.
const UNLIMITED: i64 = 1_000_000;

/// A due task; sorts in the order of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: i64,
    task: TaskId,
}

struct Lane {
    account: String,
    /// Its first tasks, as far as they were read.
    known: Vec<Due>,
    /// How many were asked for.
    asked: usize,
}

/// The lanes of one creator, who takes turns with the others.
struct Creator {
    /// The number of the last release; who was served longest ago goes first.
    served: i64,
    /// How many more may be out.
    allowance: usize,
    lanes: [Vec<Lane>; 3],
    /// What has its publish id already: it needs no permit, so no limit holds it up.
    resumes: [Vec<Due>; 3],
}

impl Creator {
    fn new(served: i64, allowance: i64) -> Self {
        let allowance = usize::try_from(allowance).unwrap_or(0);
        Self { served, allowance, lanes: Default::default(), resumes: Default::default() }
    }

    /// The first that may go of a priority, as far as its heads tell.
    fn head(&self, priority: usize) -> Option<Due> {
        self.lanes[priority].iter().filter_map(|lane| lane.known.first()).min().copied()
    }
}

/// Finds tasks for one release.
struct Search<'t> {
    tx: &'t Tx,
    stage: Stage,
    creators: Vec<Creator>,
}

impl Tx {
    /// For each priority, first all that resumes, then the first `startable` due tasks in the order in which they are to
    /// go: creators in turn, first who was served longest ago.
    pub(super) async fn candidates(
        &self,
        stage: Stage,
        room: Room,
        free: usize,
        startable: usize,
    ) -> Result<Vec<Releasable>> {
        let mut creators = self.creators(stage, self.now(), room.per_creator, room.at_once).await?;
        let mut candidates = Vec::new();
        for priority in 0..3 {
            let of_all = creators.iter_mut().flat_map(|creator| std::mem::take(&mut creator.resumes[priority]));
            let mut due: Vec<Due> = of_all.collect();
            due.sort_unstable();
            due.truncate(free);
            candidates.extend(due.into_iter().map(|due| Releasable { task: due.task, priority, resumes: true }));
        }
        let mut search = Search { tx: self, stage, creators };
        for priority in 0..3 {
            let chosen = search.of_priority(priority, startable).await?;
            candidates.extend(chosen.into_iter().map(|task| Releasable { task, priority, resumes: false }));
        }
        Ok(candidates)
    }
}

impl Session {
    /// How many due tasks no pause and no creator's limit holds up, at most so many: those that need a permit, and those
    /// that resume.
    pub(super) async fn startable(
        &self,
        stage: Stage,
        per_creator: Option<i64>,
        now: i64,
        most: usize,
    ) -> Result<(usize, usize)> {
        let (mut limited, mut resuming) = (0, 0);
        for creator in self.creators(stage, now, per_creator, None).await? {
            resuming += creator.resumes.iter().map(Vec::len).sum::<usize>();
            let mut due = 0;
            for (priority, lanes) in creator.lanes.iter().enumerate() {
                for lane in lanes {
                    let wanted = creator.allowance.min(most - limited).saturating_sub(due);
                    if wanted > 0 {
                        due += self.lane_length(stage, now, priority, &lane.account, wanted).await?;
                    }
                }
            }
            limited += due;
        }
        Ok((limited, resuming))
    }

    async fn lane_length(&self, stage: Stage, now: i64, priority: usize, account: &str, most: usize) -> Result<usize> {
        let sql = format!(
            "select count(*) as number from (select 1 as one from tasks t where t.stage = $1 and t.state = 'waiting'
                and t.priority = $2 and t.account_id = $3 and t.due_at > {HANDED_BACK} and t.due_at <= $4
                and {NEEDS_PERMIT} limit $5) d"
        );
        let values: [Value; 5] =
            [stage.as_str().into(), number(priority).into(), account.into(), now.into(), number(most).into()];
        let length: i64 = self.one(&sql, values).await?.map_or(Ok(0), |row| row.try_get("", "number"))?;
        Ok(usize::try_from(length).unwrap_or(0))
    }

    /// `per_creator` and `at_once` are how many of one creator may be out; the former where a limit says so.
    async fn creators(
        &self,
        stage: Stage,
        now: i64,
        per_creator: Option<i64>,
        at_once: Option<i64>,
    ) -> Result<Vec<Creator>> {
        let most = per_creator.unwrap_or(UNLIMITED).min(at_once.unwrap_or(UNLIMITED));
        let out = if most < UNLIMITED { self.out_by_creator(stage).await? } else { HashMap::new() };
        let mut creators: BTreeMap<String, Creator> = BTreeMap::new();
        let creator = |row: &QueryResult| -> Result<(String, Creator)> {
            let name: String = row.try_get("", "creator")?;
            let allowance = most - out.get(&name).copied().unwrap_or(0);
            Ok((name, Creator::new(row.try_get("", "served")?, allowance)))
        };
        // `min` and `max` of an index are one step each, so the recursion visits every lane and no task behind a head.
        let sql = format!(
            "with recursive lanes (priority, account) as (
                select p.priority, (select min(t.account_id) from tasks t
                    where t.stage = $1 and t.state = 'waiting' and t.priority = p.priority)
                from (select cast(0 as bigint) as priority union all select 1 union all select 2) p
                union all
                select l.priority, (select min(t.account_id) from tasks t
                    where t.stage = $1 and t.state = 'waiting' and t.priority = l.priority and t.account_id > l.account)
                from lanes l where l.account is not null
            )
            select (select t.id from tasks t where t.stage = $1 and t.state = 'waiting' and t.priority = l.priority
                and t.account_id = l.account and t.due_at > {HANDED_BACK} and t.due_at <= $2 and {NEEDS_PERMIT}
                order by t.due_at, t.id limit 1) as head
            from lanes l where l.account is not null"
        );
        let mut heads = Vec::new();
        for row in self.all(&sql, [stage.as_str().into(), now.into()]).await? {
            heads.extend(row.try_get::<Option<String>>("", "head")?);
        }
        let open = match stage {
            Stage::Edit | Stage::Confirm => String::new(),
            Stage::Publish => format!(
                "and exists (select 1 from accounts a where a.id = h.account_id and a.state = 'ACTIVE')
                 and not exists (select 1 from limits c where c.name = 'publish/' || h.creator
                    and (c.closed_until > $2 or c.open_at > $2 and $3 < {UNLIMITED}))
                 and (not exists (select 1 from limits c where c.name = 'newcomers' and c.closed_until > $2)
                    or exists (select 1 from limits c where c.name = 'publish/' || h.creator and c.posted_at > $2 - {DAY}))"
            ),
        };
        // By their ids and not by a join, for which PostgreSQL would read all tasks.
        for heads in heads.chunks(500) {
            let mut values: Vec<Value> = vec![stage.as_str().into(), now.into()];
            if stage == Stage::Publish {
                values.push(per_creator.unwrap_or(UNLIMITED).into());
            }
            let sql = format!(
                "select h.priority, h.account_id, h.creator, h.id, h.due_at,
                    coalesce((select max(s.seq) from tasks s where s.stage = $1 and s.creator = h.creator), 0) as served
                 from tasks h where h.id in ({}) and {NOT_PAUSED} {open}",
                places(values.len(), heads.len())
            );
            values.extend(heads.iter().map(|id| id.as_str().into()));
            for row in self.all(&sql, values).await? {
                let head = Due { at: row.try_get("", "due_at")?, task: parsed(&row, "id")? };
                let lane = Lane { account: row.try_get("", "account_id")?, known: vec![head], asked: 1 };
                let (name, new) = creator(&row)?;
                creators.entry(name).or_insert(new).lanes[place(&row)?].push(lane);
            }
        }
        if stage == Stage::Publish {
            // A publication that has its publish id was released before.
            let sql = format!(
                "select h.id, h.priority, h.creator, h.due_at,
                    (select max(s.seq) from tasks s where s.stage = $1 and s.creator = h.creator) as served
                 from tasks h
                 where h.stage = $1 and h.state = 'waiting' and h.seq > 0 and h.due_at > {HANDED_BACK} and h.due_at <= $2
                    and (select r.publish_id from publications r where r.video_id = h.video_id) is not null
                    and (select a.state from accounts a where a.id = h.account_id) = 'ACTIVE' and {NOT_PAUSED}
                 order by h.due_at, h.id limit 1000"
            );
            for row in self.all(&sql, [stage.as_str().into(), now.into()]).await? {
                let one = Due { at: row.try_get("", "due_at")?, task: parsed(&row, "id")? };
                let (name, new) = creator(&row)?;
                creators.entry(name).or_insert(new).resumes[place(&row)?].push(one);
            }
        }
        Ok(creators.into_values().collect())
    }

    /// Who has how many out that have not taken their permit.
    async fn out_by_creator(&self, stage: Stage) -> Result<HashMap<String, i64>> {
        // Counted here: SQLite would group by reading all of the stage in the order of its creators.
        let sql = "select creator from tasks where stage = $1 and state in ('queued', 'running') and permitted = 0";
        let mut out = HashMap::new();
        for row in self.all(sql, [stage.as_str().into()]).await? {
            *out.entry(row.try_get("", "creator")?).or_default() += 1;
        }
        Ok(out)
    }
}

/// What has its publish id resumes, and stands in no lane.
const NEEDS_PERMIT: &str =
    "(t.seq = 0 or (select r.publish_id from publications r where r.video_id = t.video_id) is null)";

const NOT_PAUSED: &str = "not exists (select 1 from pauses p
    where p.name = 'account/' || h.account_id and coalesce(p.until_at, $2 + 1) > $2)";

fn place(row: &QueryResult) -> Result<usize> {
    let priority: i64 = row.try_get("", "priority")?;
    Ok(usize::try_from(priority).unwrap_or(2).min(2))
}

impl Search<'_> {
    async fn of_priority(&mut self, priority: usize, free: usize) -> Result<Vec<TaskId>> {
        let heads = self.creators.iter().enumerate();
        let mut turn: Vec<_> =
            heads.filter_map(|(at, creator)| creator.head(priority).map(|head| (creator.served, head, at))).collect();
        turn.sort_unstable();
        let mut chosen = Vec::new();
        for round in 1.. {
            let mut next = Vec::with_capacity(turn.len());
            // A deep read of a lane saves one for each round.
            let depth = if round == 1 { 1 } else { round + (free - chosen.len()) / turn.len() };
            for (served, _, at) in turn {
                // In the first round the heads stand in order already, so no more are looked at than there is room for.
                if round == 1 && next.len() >= free {
                    break;
                }
                let due = self.first(at, priority, depth).await?;
                next.extend(due.get(round - 1).map(|&due| (served, due, at)));
            }
            next.sort_unstable();
            chosen.extend(next.iter().map(|(_, due, _)| due.task));
            turn = next;
            if turn.is_empty() || chosen.len() >= free {
                break;
            }
        }
        chosen.truncate(free);
        Ok(chosen)
    }

    /// The first tasks of a creator that may go of a priority.
    async fn first(&mut self, creator: usize, priority: usize, most: usize) -> Result<Vec<Due>> {
        let allowance = self.creators[creator].allowance;
        // What stands at a higher priority uses up the allowance first.
        let mut higher = 0;
        for above in 0..priority {
            if allowance < UNLIMITED as usize && higher < allowance {
                higher += self.read(creator, above, allowance).await?.len();
            }
        }
        self.read(creator, priority, most.min(allowance.saturating_sub(higher))).await
    }

    /// The first tasks of a creator's lanes at a priority.
    async fn read(&mut self, creator: usize, priority: usize, most: usize) -> Result<Vec<Due>> {
        let mut due = Vec::new();
        for lane in &mut self.creators[creator].lanes[priority] {
            if lane.asked < most && lane.known.len() == lane.asked {
                lane.known = self.tx.lane(self.stage, priority, &lane.account, most).await?;
                lane.asked = most;
            }
            due.extend(lane.known.iter().take(most));
        }
        due.sort_unstable();
        due.truncate(most);
        Ok(due)
    }
}

impl Tx {
    async fn lane(&self, stage: Stage, priority: usize, account: &str, most: usize) -> Result<Vec<Due>> {
        let sql = format!(
            "select t.id, t.due_at from tasks t where t.stage = $1 and t.state = 'waiting' and t.priority = $2
             and t.account_id = $3 and t.due_at > {HANDED_BACK} and t.due_at <= $4 and {NEEDS_PERMIT}
             order by t.due_at, t.id limit $5"
        );
        let values: [Value; 5] =
            [stage.as_str().into(), number(priority).into(), account.into(), self.now().into(), number(most).into()];
        let rows = self.all(&sql, values).await?;
        rows.iter().map(|row| Ok(Due { at: row.try_get("", "due_at")?, task: parsed(row, "id")? })).collect()
    }
}

fn number(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
