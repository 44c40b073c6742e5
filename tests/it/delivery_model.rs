//! The delivery protocol, searched breadth first through every order of its steps and faults.
//!
//! A [`World`] is the ledger's rows, the streams with their pending lists, two workers, the relays and the request that
//! uploads. One step is one commit, one XADD, one XREADGROUP or one XACK, so a crash between any two of them is a state.
//! Rows move by the functions that the ledger uses ([`Task::lease`] and its kin). Time is a rank: a tick is longer than
//! the margin of doubt, and whether a lease is over is a step of its own. Ids, tokens, ranks and times are renamed after each
//! step, so that worlds that differ only in names are one.
//!
//! A doubt needs more than an empty read: its reader has to have waited for longer than the margin, or it doubts what
//! another one has just read from a backlog (`a_reader_that_doubts_without_having_waited_…`).
//!
//! A fault costs one of a few: a crash, a lost command or answer, a wipe, a trim, a doubled entry, a deaf reader, a clock set
//! back, and time that passes while somebody is between two steps (a pause). What must hold is checked in each world,
//! and that each world can come to rest without another fault (every task ended, nothing pending) over all of them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use subiteya::event::{LeaseToken, Stage, TaskId, VideoId};
use subiteya::outcome::{Outcome, Reason};
use subiteya::task::{Claim, HANDED_BACK, Leased, State, Task};

/// The owner of what a dead worker has pending.
const DEAD: u8 = 9;
/// A token that no row has any more.
const STALE: u8 = 99;
/// A name that nothing has yet.
const FRESH: u8 = 98;
/// The task number of an entry that only stands for other people's traffic.
const TRAFFIC: u8 = 97;
const LEASE: i64 = 1 << 40;
const FAR: i64 = 1 << 50;
const ATTEMPTS: u32 = 2;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Row {
    state: State,
    due: bool,
    /// Waits for the next free worker, not for its release.
    handed_back: bool,
    seq: u8,
    queued_at: u8,
    started_at: Option<u8>,
    entry: Option<u8>,
    attempts: u8,
    takeovers: u8,
    token: Option<u8>,
    /// The lease has run out.
    over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Item {
    id: u8,
    task: u8,
    /// In whose pending list it is; none: not read yet.
    owner: Option<u8>,
    /// Trimmed from the stream, and still pending.
    gone: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    /// Has read or claimed an entry, or found stalled work; wants the lease.
    Has {
        task: u8,
        entry: Option<u8>,
    },
    Run {
        task: u8,
        entry: Option<u8>,
        token: u8,
    },
    /// Appends what it has committed, then acknowledges.
    After {
        append: Vec<u8>,
        ack: Option<u8>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Hand {
    phase: Phase,
    own_first: bool,
    deaf: bool,
    /// Deaf, and its blocked read was served already: it sends no other before it reconnects.
    served: bool,
    /// Has waited for an entry for longer than the margin.
    stood: bool,
    /// Entries that are over; their XACK waits for company.
    owed: Vec<u8>,
    /// Read ahead, and nobody told the ledger: task and entry.
    kept: Option<(u8, u8)>,
}

impl Hand {
    fn new() -> Self {
        Hand {
            phase: Phase::Idle,
            own_first: false,
            deaf: false,
            served: false,
            stood: false,
            owed: Vec::new(),
            kept: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    rows: Vec<Option<Row>>,
    /// One for all: what differs between two streams is only who reads them.
    stream: Vec<Item>,
    hands: Vec<Hand>,
    /// What each relay, and last the request, has committed as queued and not appended yet.
    relays: Vec<Vec<u8>>,
    now: u8,
    /// Of the traffic's last task: sequence number, queued at, started at.
    traffic: Option<(u8, u8, Option<u8>)>,
    faults: u8,
    /// Of these, how often the clock was set back.
    set_back: u8,
    operator: u8,
    /// How often a generation's effect was committed.
    effects: Vec<u8>,
    /// How often a task was doubted although its entry was on its way.
    needless: Vec<u8>,
}

/// Which doubts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubts {
    /// The protocol's: overtaken, or read until nothing was left.
    Rules,
    Nothing,
    Blind,
    OnlyOvertaken,
    OnlyIdle,
    /// Overtaken by the clock, not by the sequence number.
    ClockAlone,
    DeafIsIdle,
    /// A reader that found nothing doubts without having waited.
    AtOnce,
}

/// What becomes of entries that are read ahead of a free slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    /// There are none.
    Nothing,
    /// The protocol's: set aside in the ledger.
    Marked,
    /// Kept in the worker's memory.
    Silent,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    doubts: Doubts,
    videos: usize,
    stages: usize,
    relays: usize,
    faults: u8,
    operator: u8,
    retries: bool,
    traffic: bool,
    /// The clock may be set back (a fault).
    clock: bool,
    ahead: Ahead,
    /// Acknowledgements wait for company.
    batched: bool,
    most: usize,
}

const SMALL: Bounds = Bounds {
    doubts: Doubts::Rules,
    videos: 1,
    stages: 1,
    relays: 1,
    faults: 2,
    operator: 0,
    retries: false,
    traffic: false,
    clock: false,
    ahead: Ahead::Nothing,
    batched: false,
    most: 400_000,
};

#[derive(Debug)]
struct Found {
    states: usize,
    /// The rule that fails, and in how many steps.
    broken: Option<(&'static str, usize, Vec<&'static str>)>,
}

struct Next {
    world: World,
    name: &'static str,
    fault: bool,
}

fn uuid<T: std::str::FromStr>(number: u8) -> T
where
    T::Err: std::fmt::Debug,
{
    format!("{number:032x}").parse().expect("an id")
}

fn millis(rank: u8) -> i64 {
    (i64::from(rank) + 1) * 1_000
}

fn rank(millis: i64) -> u8 {
    u8::try_from((millis / 1_000 - 1).max(0)).expect("a small rank")
}

impl Row {
    fn task(&self, number: u8, now: u8) -> Task {
        Task {
            id: uuid::<TaskId>(number + 1),
            video: uuid::<VideoId>(1),
            stage: Stage::Edit,
            state: self.state,
            due_at: match (self.handed_back, self.due) {
                (true, _) => HANDED_BACK,
                (false, true) => 1,
                (false, false) => FAR,
            },
            wait: None,
            seq: i64::from(self.seq),
            queued_at: millis(self.queued_at),
            entry: self.entry.map(|entry| entry.to_string()),
            started_at: self.started_at.map(millis),
            holder: None,
            attempts: u32::from(self.attempts),
            takeovers: u32::from(self.takeovers),
            token: self.token.map(|token| uuid::<LeaseToken>(token + 1)),
            lease_until: match (self.state, self.over) {
                (State::Running | State::Canceled, false) if self.state == State::Running || self.token.is_none() => {
                    millis(now) + LEASE
                }
                _ => 1,
            },
        }
    }

    fn of(task: &Task, now: u8) -> Row {
        let token = task.token.map(|token| {
            let text = token.to_string();
            u8::from_str_radix(&text[text.len() - 2..], 16).expect("a number") - 1
        });
        Row {
            state: task.state,
            due: task.due_at <= millis(now),
            handed_back: task.state == State::Waiting && task.due_at == HANDED_BACK,
            seq: u8::try_from(task.seq).expect("a small number"),
            queued_at: rank(task.queued_at),
            started_at: task.started_at.map(rank),
            entry: task.entry.as_ref().map(|entry| entry.parse().expect("a number")),
            attempts: u8::try_from(task.attempts).expect("small"),
            takeovers: u8::try_from(task.takeovers).expect("small"),
            token,
            over: match task.state {
                State::Running | State::Canceled => task.lease_until < millis(now),
                _ => false,
            },
        }
    }
}

impl World {
    fn new(bounds: Bounds) -> World {
        World {
            rows: vec![None; bounds.videos * bounds.stages],
            stream: Vec::new(),
            hands: vec![Hand::new(); 2],
            relays: vec![Vec::new(); bounds.relays + 1],
            now: 0,
            traffic: None,
            faults: 0,
            set_back: 0,
            operator: 0,
            effects: vec![0; bounds.videos * bounds.stages],
            needless: vec![0; bounds.videos * bounds.stages],
        }
    }

    fn task(&self, number: u8) -> Option<Task> {
        self.rows[usize::from(number)].as_ref().map(|row| row.task(number, self.now))
    }

    fn put(&mut self, number: u8, task: &Task) {
        self.rows[usize::from(number)] = Some(Row::of(task, self.now));
    }

    fn next_seq(&self) -> i64 {
        let rows = self.rows.iter().flatten().map(|row| row.seq);
        i64::from(rows.chain(self.traffic.map(|traffic| traffic.0)).max().unwrap_or(0)) + 1
    }

    /// Releases a task; false where it may not be.
    fn release(&mut self, number: u8) -> bool {
        let Some(task) = self.task(number) else { return false };
        let Ok(queued) = task.release(self.next_seq(), millis(self.now)) else { return false };
        self.put(number, &queued);
        true
    }

    fn create(&mut self, number: u8) {
        let new = Task { id: uuid::<TaskId>(number + 1), ..Task::new(uuid::<VideoId>(1), Stage::Edit, 0) };
        self.put(number, &Task { queued_at: millis(0), ..new });
        self.release(number);
    }

    fn append(&mut self, task: u8) {
        let id = self.stream.iter().map(|item| item.id + 1).max().unwrap_or(0);
        self.stream.push(Item { id, task, owner: None, gone: false });
    }

    fn acknowledge(&mut self, entry: u8) {
        self.stream.retain(|item| item.id != entry || item.owner.is_none());
    }

    fn unread(&self) -> Option<usize> {
        self.stream.iter().position(|item| item.owner.is_none())
    }

    /// Whether an entry of the task is still to be read, or in somebody's hands.
    fn on_its_way(&self, task: u8) -> bool {
        self.stream.iter().any(|item| item.task == task && item.owner.is_none())
            || self.relays.iter().any(|appends| appends.contains(&task))
            || self.hands.iter().any(|hand| hand.kept.is_some_and(|(kept, _)| kept == task))
            || self.hands.iter().any(|hand| match &hand.phase {
                Phase::Has { task: held, .. } => *held == task,
                Phase::After { append, .. } => append.contains(&task),
                Phase::Idle | Phase::Run { .. } => false,
            })
    }

    fn doubt(&mut self, number: u8) {
        let Some(waiting) = self.task(number).and_then(|task| task.doubt(millis(self.now)).ok()) else { return };
        if self.on_its_way(number) {
            self.needless[usize::from(number)] += 1;
        }
        self.put(number, &waiting);
    }

    fn queued_long(&self, row: &Row) -> bool {
        row.state == State::Queued && row.entry.is_none() && row.queued_at < self.now
    }

    fn overtaken(&self, number: usize, by_clock: bool) -> bool {
        let Some(row) = self.rows[number].as_ref().filter(|row| self.queued_long(row)) else { return false };
        let later = self.rows.iter().flatten().map(|row| (row.seq, row.queued_at, row.started_at));
        later.chain(self.traffic).any(|(seq, queued_at, started_at)| {
            (by_clock || seq > row.seq)
                && queued_at > row.queued_at
                && started_at.is_some_and(|started| started < self.now)
        })
    }

    fn between_steps(&self) -> bool {
        self.relays.iter().any(|appends| !appends.is_empty())
            || self.hands.iter().any(|hand| match &hand.phase {
                Phase::Has { .. } => true,
                Phase::After { append, .. } => !append.is_empty(),
                Phase::Idle | Phase::Run { .. } => false,
            })
    }

    /// Every task that was made has ended, and nothing is pending or in anybody's hands.
    fn at_rest(&self) -> bool {
        self.rows.iter().flatten().all(|row| row.state.ended())
            && self.stream.iter().all(|item| item.task == TRAFFIC)
            && self.hands.iter().all(|hand| hand.phase == Phase::Idle && hand.owed.is_empty() && hand.kept.is_none())
            && self.relays.iter().all(Vec::is_empty)
    }

    fn rest(append: Vec<u8>, ack: Option<u8>) -> Phase {
        if append.is_empty() && ack.is_none() { Phase::Idle } else { Phase::After { append, ack } }
    }

    /// What no world may show.
    fn broken(&self) -> Option<&'static str> {
        for (number, row) in self.rows.iter().enumerate() {
            let Some(row) = row else { continue };
            let holders = self.hands.iter().filter(|hand| {
                matches!(&hand.phase, Phase::Run { task, token, .. } if usize::from(*task) == number && Some(*token) == row.token)
            });
            if holders.count() > 1 {
                return Some("S1");
            }
            if self.effects[number] > 1 {
                return Some("S2");
            }
            if self.needless[number] > self.faults - self.set_back + self.operator {
                return Some("L2");
            }
            if row.takeovers > self.faults {
                return Some("C");
            }
        }
        None
    }

    /// Renames everything by order, so that equal worlds are equal.
    fn canonical(mut self) -> World {
        let order = |mut values: Vec<u8>| {
            values.sort_unstable();
            values.dedup();
            move |value: u8| u8::try_from(values.binary_search(&value).unwrap_or(0)).expect("few")
        };
        let seqs = order(
            self.rows.iter().flatten().map(|row| row.seq).chain(self.traffic.map(|one| one.0)).chain([0]).collect(),
        );
        let times = order(
            self.rows
                .iter()
                .flatten()
                .flat_map(|row| [Some(row.queued_at), row.started_at])
                .chain(self.traffic.iter().flat_map(|one| [Some(one.1), one.2]))
                .chain([Some(self.now)])
                .flatten()
                .collect(),
        );
        let ids: Vec<u8> = self.stream.iter().map(|item| item.id).collect();
        let entry = |id: Option<u8>| {
            id.and_then(|id| ids.iter().position(|&one| one == id)).map(|place| u8::try_from(place).expect("few"))
        };
        let mut tokens = HashMap::new();
        for (number, row) in (0..).zip(&mut self.rows) {
            let Some(row) = row else { continue };
            (row.seq, row.queued_at) = (seqs(row.seq), times(row.queued_at));
            row.started_at = row.started_at.map(&times);
            row.entry = entry(row.entry);
            if let Some(token) = row.token {
                tokens.insert(token, number);
                row.token = Some(number);
            }
        }
        for hand in &mut self.hands {
            hand.owed = hand.owed.iter().filter_map(|&owed| entry(Some(owed))).collect();
            hand.owed.sort_unstable();
            hand.kept = hand.kept.and_then(|(task, kept)| Some((task, entry(Some(kept))?)));
            match &mut hand.phase {
                Phase::Idle => {}
                Phase::Has { entry: held, .. } => *held = entry(*held),
                Phase::Run { entry: held, token, .. } => {
                    *held = entry(*held);
                    *token = tokens.get(token).copied().unwrap_or(STALE);
                }
                Phase::After { append, ack } => {
                    let ack = entry(*ack);
                    hand.phase = World::rest(std::mem::take(append), ack);
                }
            }
        }
        for hand in &mut self.hands {
            hand.stood &= hand.phase == Phase::Idle && !hand.own_first;
        }
        self.now = times(self.now);
        self.traffic = self.traffic.map(|(seq, at, started)| (seqs(seq), times(at), started.map(&times)));
        for (place, item) in (0..).zip(&mut self.stream) {
            item.id = place;
        }
        self
    }

    fn successors(&self, bounds: Bounds) -> Vec<Next> {
        let mut next = Vec::new();
        let mut step = |name: &'static str, fault: bool, change: &mut dyn FnMut(&mut World) -> bool| {
            if fault && self.faults >= bounds.faults {
                return;
            }
            let mut world = self.clone();
            world.faults += u8::from(fault);
            if change(&mut world) {
                next.push(Next { world: world.canonical(), name, fault });
            }
        };
        let tasks = u8::try_from(self.rows.len()).expect("few");
        let stages = u8::try_from(bounds.stages).expect("few");
        let request = self.relays.len() - 1;

        for first in (0..tasks).step_by(bounds.stages) {
            if self.rows[usize::from(first)].is_none() {
                step("upload", false, &mut |world| {
                    world.create(first);
                    world.relays[request].push(first);
                    true
                });
                break;
            }
        }
        for relay in 0..self.relays.len() {
            if let Some(&task) = self.relays[relay].first() {
                let pop = |world: &mut World, append: bool| {
                    world.relays[relay].remove(0);
                    if append {
                        world.append(task);
                    }
                    true
                };
                step("relay XADD", false, &mut |world| pop(world, true));
                step("relay XADD lost", true, &mut |world| pop(world, false));
            } else if relay != request {
                for task in 0..tasks {
                    step("release", false, &mut |world| {
                        let waits = !world.rows[usize::from(task)].as_ref().is_some_and(|row| row.handed_back);
                        let released = waits && world.release(task);
                        if released {
                            world.relays[relay].push(task);
                        }
                        released
                    });
                }
            }
        }
        self.doubting(bounds, &mut step);
        for hand in 0..self.hands.len() {
            self.working(bounds, hand, stages, &mut step);
        }
        self.passing(bounds, &mut step);
        next
    }

    /// Doubts that somebody raises who is at no task.
    fn doubting(&self, bounds: Bounds, step: &mut Step<'_>) {
        let asks = matches!(
            bounds.doubts,
            Doubts::Rules | Doubts::OnlyOvertaken | Doubts::ClockAlone | Doubts::DeafIsIdle | Doubts::AtOnce
        );
        let by_clock = bounds.doubts == Doubts::ClockAlone;
        for number in 0..self.rows.len() {
            let task = u8::try_from(number).expect("few");
            if asks && self.overtaken(number, by_clock) {
                step("doubt: overtaken", false, &mut |world| {
                    world.doubt(task);
                    true
                });
            }
            let long = self.rows[number].as_ref().is_some_and(|row| self.queued_long(row));
            if bounds.doubts == Doubts::Blind && long {
                step("doubt: blindly", false, &mut |world| {
                    world.doubt(task);
                    true
                });
            }
        }
    }

    fn working(&self, bounds: Bounds, hand: usize, stages: u8, step: &mut Step<'_>) {
        let me = u8::try_from(hand).expect("few");
        let state = &self.hands[hand];
        match &state.phase {
            Phase::Idle => self.idle(bounds, hand, me, step),
            Phase::Has { task, entry } => {
                let (task, entry) = (*task, *entry);
                let lease = |world: &mut World, answered: bool| {
                    let claim = Claim {
                        token: uuid::<LeaseToken>(FRESH + 1),
                        holder: String::new(),
                        entry: entry.map(|entry| entry.to_string()),
                        lease: Duration::from_millis(LEASE.unsigned_abs()),
                    };
                    let old = world.task(task);
                    let granted = old.and_then(|old| old.lease(claim, millis(world.now)).ok());
                    world.hands[hand].phase = match granted {
                        Some(Leased::Granted(leased)) => {
                            world.put(task, &leased);
                            Phase::Run { task, entry, token: FRESH }
                        }
                        Some(Leased::Poisoned(dead)) => {
                            world.put(task, &dead);
                            World::rest(Vec::new(), entry)
                        }
                        None => {
                            // Another one runs it under this very entry, and acknowledges it.
                            let row = world.rows[usize::from(task)].as_ref();
                            let elsewhere = row.is_some_and(|row| row.state == State::Running && row.entry == entry);
                            World::rest(Vec::new(), entry.filter(|_| !elsewhere))
                        }
                    };
                    if !answered {
                        world.hands[hand].phase = Phase::Idle;
                        world.hands[hand].own_first = true;
                    }
                    true
                };
                step("lease", false, &mut |world| lease(world, true));
                step("lease, its answer lost", true, &mut |world| lease(world, false));
                if let (Ahead::Marked, Some(entry)) = (bounds.ahead, entry) {
                    let aside = |world: &mut World, answered: bool| {
                        let aside = world.task(task).map(|task| task.set_aside(entry.to_string()));
                        world.hands[hand].phase = match aside {
                            Some(Ok(aside)) => {
                                world.put(task, &aside);
                                Phase::Idle
                            }
                            _ => World::rest(Vec::new(), Some(entry)),
                        };
                        if !answered {
                            world.hands[hand].phase = Phase::Idle;
                            world.hands[hand].own_first = true;
                        }
                        true
                    };
                    step("set aside", false, &mut |world| aside(world, true));
                    step("set aside, its answer lost", true, &mut |world| aside(world, false));
                }
                if let (Ahead::Silent, Some(entry), None) = (bounds.ahead, entry, state.kept) {
                    step("keep", false, &mut |world| {
                        world.hands[hand].kept = Some((task, entry));
                        world.hands[hand].phase = Phase::Idle;
                        true
                    });
                }
            }
            Phase::Run { task, entry, token } => {
                let (task, entry, token) = (*task, *entry, *token);
                let held = uuid::<LeaseToken>(token + 1);
                let settle = |world: &mut World, outcome: &Outcome, answered: bool| {
                    let Some(row) = world.task(task) else { return false };
                    let settled =
                        row.settle(held, outcome, ATTEMPTS, Duration::from_millis(1 << 50), millis(world.now));
                    let mut append = Vec::new();
                    if let Ok(settled) = settled {
                        world.put(task, &settled);
                        if *outcome == Outcome::Done {
                            world.effects[usize::from(task)] += 1;
                            if (task + 1) % stages != 0 && world.rows[usize::from(task) + 1].is_none() {
                                world.create(task + 1);
                                append.push(task + 1);
                            }
                        }
                    }
                    if !answered {
                        append.clear();
                    }
                    world.hands[hand].phase = World::rest(append, entry);
                    true
                };
                step("done", false, &mut |world| settle(world, &Outcome::Done, true));
                step("done, its answer lost", true, &mut |world| settle(world, &Outcome::Done, false));
                if bounds.retries {
                    let fault = Outcome::Retry(Reason::new("model", ""));
                    step("retry", false, &mut |world| settle(world, &fault, true));
                    let until = Outcome::Parked { until: FAR, reason: Reason::new("model", "") };
                    step("park", false, &mut |world| settle(world, &until, true));
                    let back = |world: &mut World, alone: bool| {
                        let back = world.task(task).and_then(|row| row.hand_back(held).ok());
                        let mut append = Vec::new();
                        if let Some(back) = back {
                            world.put(task, &back);
                            if alone && world.release(task) {
                                append.push(task);
                            }
                        }
                        world.hands[hand].phase = World::rest(append, entry);
                        true
                    };
                    step("hand back", false, &mut |world| back(world, true));
                    step("hand back, with others on the stream", false, &mut |world| back(world, false));
                }
                step("renew", false, &mut |world| {
                    let Some(row) = world.task(task) else { return false };
                    match row.renew(held, Duration::from_millis(LEASE.unsigned_abs()), millis(world.now)) {
                        Ok(renewed) => world.put(task, &renewed),
                        Err(_) => world.hands[hand].phase = World::rest(Vec::new(), entry),
                    }
                    true
                });
            }
            Phase::After { append, ack } => {
                let (append, ack) = (append.clone(), *ack);
                if let Some((&first, others)) = append.split_first() {
                    let xadd = |world: &mut World, sent: bool| {
                        if sent {
                            world.append(first);
                        }
                        world.hands[hand].phase = World::rest(others.to_vec(), ack);
                        true
                    };
                    step("XADD", false, &mut |world| xadd(world, true));
                    step("XADD lost", true, &mut |world| xadd(world, false));
                } else if let Some(entry) = ack {
                    let xack = |world: &mut World, sent: bool| {
                        if sent {
                            world.acknowledge(entry);
                        }
                        world.hands[hand].phase = Phase::Idle;
                        true
                    };
                    step("XACK", false, &mut |world| xack(world, true));
                    step("XACK lost", true, &mut |world| xack(world, false));
                    if bounds.batched {
                        step("XACK waits", false, &mut |world| {
                            world.hands[hand].owed.push(entry);
                            world.hands[hand].phase = Phase::Idle;
                            true
                        });
                    }
                }
            }
        }
        if state.phase != Phase::Idle || state.own_first || self.stream.iter().any(|item| item.owner == Some(me)) {
            step("crash", true, &mut |world| {
                world.hands[hand] = Hand::new();
                for item in world.stream.iter_mut().filter(|item| item.owner == Some(me)) {
                    item.owner = Some(DEAD);
                }
                true
            });
        }
    }

    fn idle(&self, bounds: Bounds, hand: usize, me: u8, step: &mut Step<'_>) {
        let state = &self.hands[hand];
        let take = |world: &mut World, place: usize| {
            let item = world.stream[place].clone();
            world.stream[place].owner = Some(me);
            world.hands[hand].stood = false;
            world.hands[hand].phase = match item {
                Item { gone: true, id, .. } => World::rest(Vec::new(), Some(id)),
                Item { id, task, .. } => Phase::Has { task, entry: Some(id) },
            };
        };
        // Rule 7, before the read.
        for (number, row) in (0..).zip(&self.rows) {
            let Some(row) = row.as_ref().filter(|row| row.state == State::Running && row.over) else { continue };
            step("take over", false, &mut |world| {
                let pending = |item: &&mut Item| Some(item.id) == row.entry && item.owner.is_some();
                let entry = world.stream.iter_mut().find(pending).map(|item| {
                    item.owner = Some(me);
                    item.id
                });
                world.hands[hand].phase = Phase::Has { task: number, entry };
                true
            });
        }
        // Rule 3.
        for (number, row) in (0..).zip(&self.rows) {
            let aside = row.as_ref().filter(|row| row.state == State::Queued && row.entry.is_some());
            if let Some(row) = aside {
                step("take what was set aside", false, &mut |world| {
                    world.hands[hand].phase = Phase::Has { task: number, entry: row.entry };
                    true
                });
            }
        }
        if let Some((task, entry)) = state.kept {
            step("take what was kept", false, &mut |world| {
                world.hands[hand].kept = None;
                world.hands[hand].phase = Phase::Has { task, entry: Some(entry) };
                true
            });
        }
        if !state.owed.is_empty() {
            let xack = |world: &mut World, sent: bool| {
                for entry in std::mem::take(&mut world.hands[hand].owed) {
                    if sent {
                        world.acknowledge(entry);
                    }
                }
                true
            };
            step("XACK of many", false, &mut |world| xack(world, true));
            step("XACK of many lost", true, &mut |world| xack(world, false));
        }
        // Rule 11.
        for (number, row) in (0..).zip(&self.rows) {
            if row.as_ref().is_some_and(|row| row.handed_back) {
                step("take what was handed back", false, &mut |world| {
                    world.hands[hand].phase = Phase::Has { task: number, entry: None };
                    true
                });
            }
        }
        // Rule 10, and what an earlier read left.
        for (place, item) in self.stream.iter().enumerate() {
            let mine = item.owner == Some(me);
            let known = state.owed.contains(&item.id) || state.kept.is_some_and(|(_, kept)| kept == item.id);
            if mine && known || !mine && item.owner != Some(DEAD) {
                continue;
            }
            let under = self.rows.iter().flatten().find(|row| row.entry == Some(item.id));
            if mine && state.own_first || under.is_none_or(|row| row.state.ended()) {
                step("sweep", false, &mut |world| {
                    take(world, place);
                    true
                });
            }
        }
        if state.own_first {
            // What this worker set aside stays pending with it.
            let left = |item: &Item| {
                item.owner == Some(me)
                    && !state.owed.contains(&item.id)
                    && !self.rows.iter().flatten().any(|row| row.state == State::Queued && row.entry == Some(item.id))
            };
            if !self.stream.iter().any(left) {
                step("nothing of one's own", false, &mut |world| {
                    world.hands[hand].own_first = false;
                    true
                });
            }
            return;
        }
        let unread = self.unread();
        if state.deaf {
            step("reconnect", false, &mut |world| {
                world.hands[hand].deaf = false;
                world.hands[hand].served = false;
                world.hands[hand].own_first = true;
                world.hands[hand].stood = false;
                true
            });
            if let Some(place) = unread.filter(|_| !state.served) {
                step("read by the deaf", false, &mut |world| {
                    world.hands[hand].served = true;
                    if world.stream[place].task == TRAFFIC {
                        world.stream.remove(place);
                    } else {
                        world.stream[place].owner = Some(me);
                    }
                    true
                });
            }
        } else if let Some(place) = unread {
            if self.stream[place].task == TRAFFIC {
                step("read traffic", false, &mut |world| {
                    world.stream.remove(place);
                    world.hands[hand].stood = false;
                    world.traffic = world.traffic.map(|(seq, at, _)| (seq, at, Some(world.now)));
                    true
                });
            } else {
                step("read", false, &mut |world| {
                    take(world, place);
                    true
                });
                step("read, its answer lost", true, &mut |world| {
                    world.stream[place].owner = Some(me);
                    world.hands[hand].own_first = true;
                    true
                });
            }
        } else {
            step("go deaf", true, &mut |world| {
                world.hands[hand].deaf = true;
                true
            });
        }
        let idle = unread.is_none() && !state.deaf && (state.stood || bounds.doubts == Doubts::AtOnce);
        let believes = idle || (bounds.doubts == Doubts::DeafIsIdle && state.deaf && state.stood);
        let asks = matches!(
            bounds.doubts,
            Doubts::Rules | Doubts::OnlyIdle | Doubts::ClockAlone | Doubts::DeafIsIdle | Doubts::AtOnce
        );
        if asks && believes && !bounds.traffic && self.rows.iter().flatten().any(|row| self.queued_long(row)) {
            step("doubt: nothing left", false, &mut |world| {
                let mut append = Vec::new();
                for number in (0..).take(world.rows.len()) {
                    if world.rows[usize::from(number)].as_ref().is_some_and(|row| world.queued_long(row)) {
                        world.doubt(number);
                        if world.release(number) {
                            append.push(number);
                        }
                    }
                }
                world.hands[hand].phase = World::rest(append, None);
                true
            });
        }
    }

    /// Time, and what befalls the world.
    fn passing(&self, bounds: Bounds, step: &mut Step<'_>) {
        if self.rows.iter().flatten().any(|row| row.state == State::Queued && row.queued_at >= self.now)
            || self.overtakers_are_young()
            || self.somebody_begins_to_wait()
        {
            step("time passes", self.between_steps(), &mut |world| {
                world.now += 1;
                let nothing = world.unread().is_none();
                for hand in &mut world.hands {
                    hand.stood = hand.phase == Phase::Idle && !hand.own_first && (nothing || hand.deaf);
                }
                true
            });
        }
        if bounds.clock {
            step("the clock is set back", true, &mut |world| {
                world.set_back += 1;
                if world.now > 0 {
                    world.now -= 1;
                    return true;
                }
                for row in world.rows.iter_mut().flatten() {
                    row.queued_at += 1;
                    row.started_at = row.started_at.map(|at| at + 1);
                }
                true
            });
        }
        for (number, row) in self.rows.iter().enumerate() {
            let Some(row) = row else { continue };
            let task = u8::try_from(number).expect("few");
            if row.state == State::Waiting && !row.due {
                step("due", false, &mut |world| {
                    world.rows[number].as_mut().expect("there").due = true;
                    true
                });
            }
            if matches!(row.state, State::Running | State::Canceled) && !row.over {
                let held = self.hands.iter().any(|hand| {
                    matches!(&hand.phase, Phase::Run { token, task: held, .. } if *held == task && Some(*token) == row.token)
                });
                step("the lease runs out", held, &mut |world| {
                    world.rows[number].as_mut().expect("there").over = true;
                    true
                });
            }
            if self.operator < bounds.operator {
                let mut move_to = |name, moved: Result<Task, subiteya::task::Refused>, new_turn: bool| {
                    let Ok(moved) = moved else { return };
                    step(name, false, &mut |world| {
                        world.operator += 1;
                        world.put(task, &moved);
                        if new_turn {
                            world.effects[number] = 0;
                        }
                        true
                    });
                };
                let old = row.task(task, self.now);
                move_to("cancel", old.cancel(), false);
                move_to("replay", old.replay(millis(self.now)), true);
                move_to("free", old.free(millis(self.now)), false);
                if row.state == State::Queued {
                    move_to("postpone", old.postpone(FAR, Reason::new("model", ""), millis(self.now)), false);
                }
            }
            if self.stream.len() < 4 {
                step("doubled", true, &mut |world| {
                    world.append(task);
                    true
                });
            }
        }
        if !self.stream.is_empty() {
            step("wipe", true, &mut |world| {
                world.stream.clear();
                true
            });
        }
        for place in 0..self.stream.len() {
            step("trim", true, &mut |world| {
                if world.stream[place].owner.is_some() {
                    world.stream[place].gone = true;
                } else {
                    world.stream.remove(place);
                }
                true
            });
        }
        if bounds.traffic && !self.stream.iter().any(|item| item.task == TRAFFIC) {
            step("traffic", false, &mut |world| {
                let seq = u8::try_from(world.next_seq()).expect("small");
                world.traffic = Some((seq, world.now, None));
                world.append(TRAFFIC);
                true
            });
        }
    }

    fn somebody_begins_to_wait(&self) -> bool {
        self.rows.iter().flatten().any(|row| row.state == State::Queued)
            && self.hands.iter().any(|hand| {
                hand.phase == Phase::Idle && !hand.own_first && !hand.stood && (hand.deaf || self.unread().is_none())
            })
    }

    fn overtakers_are_young(&self) -> bool {
        let queued = self.rows.iter().flatten().any(|row| row.state == State::Queued);
        let young = |started: Option<u8>| started.is_some_and(|started| started >= self.now);
        queued
            && (self.rows.iter().flatten().any(|row| young(row.started_at))
                || self.traffic.is_some_and(|one| young(one.2)))
    }
}

type Step<'a> = dyn FnMut(&'static str, bool, &mut dyn FnMut(&mut World) -> bool) + 'a;

fn search(bounds: Bounds) -> Found {
    let start = World::new(bounds).canonical();
    let mut seen: HashMap<World, u32> = HashMap::from([(start.clone(), 0)]);
    let mut from: Vec<(u32, &'static str)> = vec![(0, "")];
    let mut back: Vec<Vec<u32>> = vec![Vec::new()];
    let mut resting = Vec::new();
    let mut queue = VecDeque::from([(start, 0u32)]);
    let trace = |from: &[(u32, &'static str)], mut at: u32| {
        let mut steps = Vec::new();
        while at != 0 {
            steps.push(from[at as usize].1);
            at = from[at as usize].0;
        }
        steps.reverse();
        steps
    };
    while let Some((world, at)) = queue.pop_front() {
        let rule = world.broken();
        if let Some(rule) = rule {
            let steps = trace(&from, at);
            return Found { states: seen.len(), broken: Some((rule, steps.len(), steps)) };
        }
        if world.at_rest() {
            resting.push(at);
        }
        for Next { world: next, name, fault } in world.successors(bounds) {
            let risen = world.rows.iter().zip(&next.rows).any(|(old, new)| {
                old.as_ref().is_some_and(|old| old.state.ended())
                    && name != "replay"
                    && old.as_ref().map(|row| row.state) != new.as_ref().map(|row| row.state)
            });
            let known = seen.get(&next).copied();
            let number = known.unwrap_or_else(|| {
                let number = u32::try_from(from.len()).expect("few enough");
                from.push((at, name));
                back.push(Vec::new());
                seen.insert(next.clone(), number);
                number
            });
            if risen {
                let steps = trace(&from, number);
                return Found { states: seen.len(), broken: Some(("S3", steps.len(), steps)) };
            }
            if !fault {
                back[number as usize].push(at);
            }
            if known.is_none() {
                assert!(
                    seen.len() <= bounds.most,
                    "more worlds than the bound allows: {next:?} by {:?}",
                    trace(&from, number)
                );
                queue.push_back((next, number));
            }
        }
    }
    let mut rests = vec![false; from.len()];
    let mut todo = resting;
    while let Some(at) = todo.pop() {
        if !std::mem::replace(&mut rests[at as usize], true) {
            todo.extend(&back[at as usize]);
        }
    }
    // Numbers grow with the distance, so the first is a nearest one.
    let broken = rests.iter().position(|&rests| !rests).map(|at| {
        let steps = trace(&from, u32::try_from(at).expect("few enough"));
        ("L1", steps.len(), steps)
    });
    Found { states: from.len(), broken }
}

fn holds(name: &str, bounds: Bounds) {
    let found = search(bounds);
    println!("{name}: {} states", found.states);
    assert!(found.broken.is_none(), "{name}: {found:#?}");
}

fn fails(name: &str, rule: &str, bounds: Bounds) {
    let found = search(bounds);
    println!("{name}: {found:?}");
    let (broken, ..) = found.broken.expect("a known-bad variant fails");
    assert_eq!(broken, rule, "{name}");
}

#[test]
fn one_video_survives_two_faults() {
    holds("one video", SMALL);
}

#[test]
fn one_video_of_two_stages_survives_a_fault() {
    holds("two stages", Bounds { stages: 2, faults: 1, ..SMALL });
}

#[test]
fn two_videos_and_two_relays_survive_a_fault() {
    holds("two videos", Bounds { videos: 2, relays: 2, faults: 1, ..SMALL });
}

#[test]
fn retries_parking_and_shutdowns_survive_a_fault() {
    holds("retries", Bounds { retries: true, faults: 1, ..SMALL });
}

#[test]
fn an_operator_who_cancels_and_replays_breaks_nothing() {
    holds("operator", Bounds { operator: 2, faults: 1, ..SMALL });
}

#[test]
fn a_fault_under_traffic_that_never_pauses_is_survived() {
    holds("traffic", Bounds { traffic: true, faults: 1, ..SMALL });
}

#[test]
fn a_clock_that_is_set_back_is_survived() {
    holds("clock", Bounds { videos: 2, clock: true, faults: 1, ..SMALL });
}

#[test]
fn what_is_read_ahead_and_set_aside_survives_two_faults() {
    holds("set aside", Bounds { ahead: Ahead::Marked, ..SMALL });
}

#[test]
fn two_videos_that_are_set_aside_come_to_their_end() {
    holds("two videos, set aside", Bounds { videos: 2, ahead: Ahead::Marked, faults: 0, ..SMALL });
}

#[test]
fn acknowledgements_that_wait_for_company_survive_two_faults() {
    holds("batched", Bounds { batched: true, ..SMALL });
}

#[test]
fn a_replay_while_its_old_acknowledgement_waits_breaks_nothing() {
    holds("batched, operator", Bounds { batched: true, operator: 1, faults: 1, ..SMALL });
}

#[test]
fn reading_ahead_without_telling_the_ledger_appends_needlessly() {
    fails("silent", "L2", Bounds { ahead: Ahead::Silent, faults: 0, ..SMALL });
}

#[test]
fn without_doubt_a_lost_append_waits_for_ever() {
    fails("nothing doubts", "L1", Bounds { doubts: Doubts::Nothing, ..SMALL });
}

#[test]
fn blind_doubt_appends_a_mere_backlog_again_and_again() {
    fails("blind doubt", "L2", Bounds { doubts: Doubts::Blind, faults: 0, ..SMALL });
}

#[test]
fn overtaking_alone_forgets_the_last_one() {
    fails("only overtaken", "L1", Bounds { doubts: Doubts::OnlyOvertaken, faults: 1, ..SMALL });
}

#[test]
fn an_idle_reader_alone_forgets_everything_under_traffic_that_never_pauses() {
    fails("only idle", "L1", Bounds { doubts: Doubts::OnlyIdle, traffic: true, faults: 1, ..SMALL });
}

#[test]
fn overtaking_by_the_clock_alone_doubts_needlessly_when_it_is_set_back() {
    fails("clock alone", "L2", Bounds { doubts: Doubts::ClockAlone, videos: 2, clock: true, faults: 1, ..SMALL });
}

#[test]
fn a_deaf_reader_that_counts_as_idle_doubts_needlessly() {
    fails("deaf is idle", "L2", Bounds { doubts: Doubts::DeafIsIdle, faults: 1, ..SMALL });
}

#[test]
fn a_reader_that_doubts_without_having_waited_does_so_needlessly() {
    fails("at once", "L2", Bounds { doubts: Doubts::AtOnce, faults: 0, ..SMALL });
}

#[test]
#[ignore = "takes minutes"]
fn larger_bounds_hold_too() {
    let large = Bounds { most: 20_000_000, ..SMALL };
    holds("two videos, two faults", Bounds { videos: 2, relays: 2, ..large });
    holds("two stages, retries", Bounds { stages: 2, retries: true, faults: 1, ..large });
    holds("traffic, two faults", Bounds { traffic: true, ..large });
    holds("two videos, set aside", Bounds { videos: 2, ahead: Ahead::Marked, faults: 1, ..large });
    holds(
        "batched, set aside, operator",
        Bounds { batched: true, ahead: Ahead::Marked, operator: 1, faults: 1, ..large },
    );
}
