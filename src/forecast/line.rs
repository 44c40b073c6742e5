//! One stage played through: the ordered release onto the stream, the free slot, the permits.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::Pace;
use crate::event::TaskId;
use crate::ledger::{LimitRow, Queue, Releasable, Standing, interleave};
use crate::limit;

/// A relay looks once a second, so half of one passes until it finds that somebody is open again.
const RELAY: i64 = 500;
/// More than a queue that is looked at can need.
const TURNS: usize = 20_000;

struct Creator {
    served: i64,
    row: LimitRow,
    /// Released and without a permit.
    out: usize,
    /// By priority, in the order in which they are due.
    lanes: [VecDeque<Ready>; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    at: i64,
    task: TaskId,
}

struct Line<'p> {
    pace: &'p Pace,
    creators: Vec<Creator>,
    /// Who has work in the ledger, so that nobody else is looked at.
    waiting: BTreeSet<usize>,
    passes: [i64; 3],
    row: LimitRow,
    /// On the stream: whose, and which.
    stream: VecDeque<(usize, usize, TaskId)>,
    /// When the runs that are under way end.
    busy: Vec<i64>,
    releases: i64,
    starts: HashMap<TaskId, i64>,
}

/// When each task begins. Those of which nobody can say it are left out.
pub(super) fn starts(now: i64, queue: Queue, pace: &Pace) -> HashMap<TaskId, i64> {
    let Some(mut at) = pace.paused.over_at(now) else { return HashMap::new() };
    let mut line = Line::new(now, queue, pace);
    for _ in 0..TURNS {
        line.release(at);
        line.start(at);
        match line.next(at) {
            Some(next) => at = next,
            None => break,
        }
    }
    line.starts
}

impl<'p> Line<'p> {
    fn new(now: i64, queue: Queue, pace: &'p Pace) -> Self {
        let mut line = Self {
            pace,
            creators: Vec::new(),
            waiting: BTreeSet::new(),
            passes: queue.passes,
            row: pace.row.clone(),
            stream: VecDeque::new(),
            busy: Vec::new(),
            releases: queue.served.values().copied().max().unwrap_or(0) + 1,
            starts: HashMap::new(),
        };
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut place = |line: &mut Self, name: &str| {
            *places.entry(name.to_owned()).or_insert_with(|| {
                let row = pace.creators.get(name).cloned().unwrap_or_default();
                let served = queue.served.get(name).copied().unwrap_or(0);
                line.creators.push(Creator { served, row, out: 0, lanes: Default::default() });
                line.creators.len() - 1
            })
        };
        for one in &queue.running {
            line.busy.push((one.started_at.unwrap_or(now) + pace.run).max(now));
            if !one.permitted {
                let at = place(&mut line, &one.creator);
                line.permit(at, now);
            }
        }
        let free = |one: &Standing| pace.held.get(&one.account).copied().unwrap_or_default().over_at(now);
        for one in queue.queued.iter().filter(|one| free(one) == Some(now)) {
            let at = place(&mut line, &one.creator);
            line.creators[at].out += 1;
            line.stream.push_back((at, one.priority, one.task));
        }
        let held = queue.queued.iter().filter(|one| free(one) != Some(now));
        for one in queue.waiting.iter().chain(held) {
            let Some(over) = free(one) else { continue };
            let at = place(&mut line, &one.creator);
            line.creators[at].lanes[one.priority].push_back(Ready { at: one.due_at.max(over), task: one.task });
            line.waiting.insert(at);
        }
        for creator in &mut line.creators {
            creator.lanes.iter_mut().for_each(|lane| lane.make_contiguous().sort_unstable());
        }
        line
    }

    /// As `ledger::release` does it: for each priority the creators in turn, who was served longest ago first.
    fn release(&mut self, now: i64) {
        let free = self.pace.room.saturating_sub(self.stream.len());
        let open: Vec<usize> = self.waiting.iter().copied().filter(|&at| self.is_open(at, now)).collect();
        if free == 0 || open.is_empty() {
            return;
        }
        let (mut due, mut whose) = (Vec::new(), HashMap::new());
        for priority in 0..3 {
            for (at, task) in self.of_priority(&open, priority, free, now) {
                due.push(Releasable { task, priority, resumes: false });
                whose.insert(task, (at, priority));
            }
        }
        if due.is_empty() {
            return;
        }
        for task in interleave(&mut self.passes, &due, free) {
            let Some((at, priority)) = whose.get(&task).copied() else { continue };
            let creator = &mut self.creators[at];
            creator.lanes[priority].retain(|one| one.task != task);
            creator.served = self.releases;
            creator.out += 1;
            self.releases += 1;
            self.stream.push_back((at, priority, task));
            if creator.lanes.iter().all(VecDeque::is_empty) {
                self.waiting.remove(&at);
            }
        }
    }

    fn of_priority(&self, open: &[usize], priority: usize, free: usize, now: i64) -> Vec<(usize, TaskId)> {
        let mut lanes = Vec::new();
        for &at in open {
            let due = self.due(at, priority, free, now);
            if let Some(&head) = due.first() {
                lanes.push((self.creators[at].served, head, at, due));
            }
        }
        lanes.sort_unstable_by_key(|(served, head, at, _)| (*served, *head, *at));
        let mut chosen = Vec::new();
        for round in 0.. {
            let mut turn: Vec<_> =
                lanes.iter().filter_map(|(served, _, at, due)| Some((*served, *due.get(round)?, *at))).collect();
            if turn.is_empty() || chosen.len() >= free {
                break;
            }
            turn.sort_unstable();
            chosen.extend(turn.into_iter().map(|(_, one, at)| (at, one.task)));
        }
        chosen.truncate(free);
        chosen
    }

    /// What of a creator's lane may go now: what stands at a higher priority uses up the allowance first.
    fn due(&self, at: usize, priority: usize, most: usize, now: i64) -> Vec<Ready> {
        let creator = &self.creators[at];
        let due = |lane: &VecDeque<Ready>, most: usize| -> Vec<Ready> {
            lane.iter().take_while(|one| one.at <= now).take(most).copied().collect()
        };
        let allowance = match self.pace.per_creator {
            Some(rate) => usize::try_from(rate.count).unwrap_or(usize::MAX).saturating_sub(creator.out),
            None => return due(&creator.lanes[priority], most),
        };
        let higher: usize = creator.lanes[..priority].iter().map(|lane| due(lane, allowance).len()).sum();
        due(&creator.lanes[priority], most.min(allowance.saturating_sub(higher)))
    }

    /// What is read from the stream begins where slot and permits are there.
    fn start(&mut self, now: i64) {
        self.busy.retain(|&until| until > now);
        while self.busy.len() < self.pace.slots && limit::opens_at(&self.row, self.pace.limit, now) <= now {
            let Some((at, priority, task)) = self.stream.pop_front() else { break };
            self.creators[at].out -= 1;
            let opens = limit::opens_at(&self.creators[at].row, self.pace.per_creator, now);
            if opens > now {
                let lane = &mut self.creators[at].lanes[priority];
                lane.push_back(Ready { at: opens, task });
                lane.make_contiguous().sort_unstable();
                self.waiting.insert(at);
                continue;
            }
            self.permit(at, now);
            self.starts.insert(task, now);
            self.busy.push(now + self.pace.run.max(1));
        }
    }

    fn permit(&mut self, at: usize, now: i64) {
        if let Some(rate) = self.pace.limit {
            self.row = limit::granted(std::mem::take(&mut self.row), rate, now);
        }
        if let Some(rate) = self.pace.per_creator {
            let row = &mut self.creators[at].row;
            *row = limit::granted(std::mem::take(row), rate, now);
        }
    }

    fn is_open(&self, at: usize, now: i64) -> bool {
        limit::opens_at(&self.creators[at].row, self.pace.per_creator, now) <= now
    }

    /// When something next changes; None: everything has begun.
    fn next(&self, now: i64) -> Option<i64> {
        if self.stream.is_empty() && self.waiting.is_empty() {
            return None;
        }
        let ready = self.waiting.iter().flat_map(|&at| {
            let creator = &self.creators[at];
            let opens = limit::opens_at(&creator.row, self.pace.per_creator, now);
            creator.lanes.iter().filter_map(move |lane| lane.iter().map(|one| one.at.max(opens)).find(|&at| at > now))
        });
        let stage = std::iter::once(limit::opens_at(&self.row, self.pace.limit, now));
        let seen = ready.map(|at| at + RELAY);
        seen.chain(stage).chain(self.busy.iter().copied()).filter(|&at| at > now).min()
    }
}
