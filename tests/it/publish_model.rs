//! The publish protocol, exhausted: every order of steps that two workers, the ledger, the network and TikTok can
//! take, within bounds, driving the very `decide` that the stages run.
//!
//! The data: a [`World`] is the ledger's row with its lease and task, two workers, the requests under way, what TikTok
//! holds, and TikTok's clock. Rows and steps are interned, so that a world is a few bytes and `decide` is called once
//! per distinct question.
//!
//! How it moves ([`Model::successors`]): a worker takes the lease (also when another still believes it holds it: that one
//! was paused), commits its planned write by compare-and-set, sends its call, times out, or is killed; a request is
//! delivered, with its answer arriving or lost, or dropped, also after its sender died; TikTok posts or fails what is
//! complete; the clock ticks.
//!
//! What must hold: never two posts for the video; what ended POSTED has one, what ended FAILED has none; and from every
//! reachable world an end can be reached.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use subiteya::event::LeaseToken;
use subiteya::outcome::{Outcome, Reason};
use subiteya::stage::publish::chunks::ChunkPlan;
use subiteya::stage::publish::operator::{exhausted, may_cancel};
use subiteya::stage::publish::protocol::decide;
use subiteya::stage::publish::row::Publication;
use subiteya::stage::publish::step::{At, End, Event, Guard, Next, Role, Step, Write};
use subiteya::stage::publish::times::Times;
use subiteya::tiktok::refusal::Refusal;
use subiteya::tiktok::wire::{PostStatus, StatusKind};

// ---- the variants

/// How many commits a database forgets that does. The next write of the whole row brings a single one back.
const FORGOTTEN: u8 = 2;

/// The protocol as it is, and the mistakes that it must not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Sound,
    /// The status says "not complete", so init again.
    ReinitOnNotComplete,
    /// The same, with a look at the lease before every PUT.
    ReinitWithLeaseCheck,
    /// Writes are plain UPDATEs.
    PlainUpdate,
    /// PULL_FROM_URL: TikTok starts at init.
    PullFromUrl,
    /// The database forgets commits that it has answered.
    ForgetsCommits,
    /// Death is judged by a clock that runs ahead.
    WrongClock,
    /// A status without `uploaded_bytes` is read as "bytes are missing".
    MissingIsZero,
    /// A PUT that is refused kills the id.
    RefusedPutKills,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Publish ids that TikTok gives out.
    ids: u8,
    /// Requests under way at once.
    net: usize,
    /// Ticks that an upload URL lives. With 0 it is dead as soon as it has expired.
    life: u8,
    /// TikTok's clock stops here.
    clock: u8,
    /// A clear refusal of init (nothing was sent) is one of the things that can happen.
    refusals: bool,
    /// A status without `uploaded_bytes` is one of the things that can happen.
    missing_number: bool,
    /// TikTok may fail a complete video.
    failures: bool,
    /// Whoever takes the lease may find the attempts used up, and a person may cancel while that is allowed.
    given_up: bool,
    chunks: u32,
    /// Lost init answers that end in review.
    lost_inits: i64,
    /// Troubles answered at once. `None`: all of them, and they are not counted, which makes for fewer worlds and leaves
    /// none out: a parked task that is taken again is, to the model, a worker that was killed.
    quick_troubles: Option<i64>,
}

// ---- the world

type RowId = u16;
type StepId = u16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    Init,
    Put(u8),
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    /// Knows its next step, and has not committed it yet.
    Plan(StepId),
    /// Has committed, and has not sent yet.
    Send(Call),
    /// Has sent.
    Wait(Call),
}

/// `row` is the worker's own copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Worker {
    confirm: bool,
    row: RowId,
    phase: Phase,
}

const IDLE: Worker = Worker { confirm: false, row: 0, phase: Phase::Idle };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Request {
    None,
    Init { from: Option<u8> },
    Put { id: u8, chunk: u8, from: Option<u8> },
    Status { id: u8, from: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Task {
    Publish,
    Confirm,
    Posted,
    Failed,
    Review,
}

impl Task {
    fn ended(self) -> bool {
        !matches!(self, Task::Publish | Task::Confirm)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fate {
    Open,
    Posted,
    Failed,
}

/// One publish id at TikTok.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Upload {
    born: u8,
    chunks: u8,
    fate: Fate,
}

const UNBORN: Upload = Upload { born: u8::MAX, chunks: 0, fate: Fate::Open };
const MOST: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    row: RowId,
    task: Task,
    /// Which worker the ledger believes in.
    lease: Option<u8>,
    workers: [Worker; 2],
    net: [Request; MOST],
    uploads: [Upload; MOST],
    clock: u8,
    /// Commits that the database has forgotten.
    forgot: u8,
}

// ---- what is interned

/// An event, small enough to be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Happening {
    Started,
    CreatorAgrees,
    InitAnswered { id: u8, date: u8 },
    InitLost,
    InitNotSent,
    Opened { chunk: u8 },
    PutAnswered { chunk: u8, complete: bool },
    PutLost { chunk: u8 },
    Processing { bytes: Option<u8>, date: u8 },
    Complete { date: u8 },
    FailedByTikTok { date: u8 },
    StatusLost,
    AttemptsUsedUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    AskCreatorInfo,
    Open(u8),
    Call(Call),
    Stop,
    Parked,
    ToConfirm,
    ToPublish,
    Posted,
    Failed,
    Review,
}

struct Planned {
    write: Option<(Guard, RowId)>,
    then: Then,
}

#[derive(Default)]
struct Fast(u64);

impl Hasher for Fast {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u8(*byte);
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Fast>>;

struct Model {
    variant: Variant,
    bounds: Bounds,
    times: Times,
    token: LeaseToken,
    rows: Vec<Publication>,
    steps: Vec<Planned>,
    asked: Map<(RowId, bool, Happening), StepId>,
}

impl Model {
    fn new(variant: Variant, bounds: Bounds) -> Self {
        // Counts are small, times by the ledger's clock play no part: a parked task may be taken
        // at any time, which is more than the real one allows.
        let times = Times {
            url_life: i64::from(bounds.life),
            longest_put: 0,
            margin: 0,
            failed_gap: 1,
            review_after: i64::MAX,
            quick_troubles: bounds.quick_troubles.unwrap_or(i64::MAX),
            lost_inits: bounds.lost_inits,
            failures: 1,
            generations: 3,
            ..Times::default()
        };
        let plan = ChunkPlan { size: u64::from(bounds.chunks), chunk_size: 1, count: bounds.chunks };
        let first = Publication::freeze("hash".to_owned(), plan, false);
        let token = LeaseToken::new();
        Self { variant, bounds, times, token, rows: vec![first], steps: Vec::new(), asked: Map::default() }
    }

    fn first(&self) -> World {
        World {
            row: 0,
            task: Task::Publish,
            lease: None,
            workers: [IDLE; 2],
            net: [Request::None; MOST],
            uploads: [UNBORN; MOST],
            clock: 0,
            forgot: 0,
        }
    }

    /// The row without what no decision looks at.
    fn intern_row(&mut self, row: &Publication) -> RowId {
        let small = Publication {
            reason: None,
            last_status: None,
            post_ids: Vec::new(),
            polls: 0,
            inits: 0,
            troubles: self.bounds.quick_troubles.map_or(0, |quick| row.troubles.min(quick + 1)),
            ..row.clone()
        };
        let known = self.rows.iter().position(|row| *row == small);
        let at = known.unwrap_or_else(|| {
            self.rows.push(small);
            self.rows.len() - 1
        });
        RowId::try_from(at).expect("few rows")
    }

    fn decide(&mut self, row: RowId, confirm: bool, happening: Happening) -> StepId {
        if let Some(step) = self.asked.get(&(row, confirm, happening)) {
            return *step;
        }
        let role = if confirm { Role::Confirm } else { Role::Publish };
        let at = At { lease: self.token, role, now: 0 };
        let publication = self.rows[usize::from(row)].clone();
        let mut step = match self.event(happening) {
            Some(event) => decide(&publication, &event, &at, &self.times),
            None => self.used_up(&publication),
        };
        let reinit = matches!(self.variant, Variant::ReinitOnNotComplete | Variant::ReinitWithLeaseCheck);
        let not_complete = matches!(happening, Happening::Processing { bytes: Some(n), .. }
            if u32::from(n) < self.bounds.chunks);
        let kills = self.variant == Variant::RefusedPutKills && matches!(happening, Happening::PutLost { .. });
        if kills || reinit && not_complete && publication.publish_id.is_some() {
            step = self.reinit(&publication, role);
        }
        let planned = self.planned(step);
        let id = StepId::try_from(self.steps.len()).expect("few steps");
        self.steps.push(planned);
        self.asked.insert((row, confirm, happening), id);
        id
    }

    fn used_up(&self, row: &Publication) -> Step {
        let (write, outcome) = exhausted(row, Reason::new("poison", "used up"), self.token);
        let end = match outcome {
            Outcome::Dead(reason) => End::Failed(reason),
            Outcome::NeedsReview(reason) => End::NeedsReview(reason),
            other => panic!("{other:?} is not how attempts are used up"),
        };
        Step { write, tell: None, next: Next::End(end) }
    }

    /// The bad variants' answer to "not complete".
    fn reinit(&self, row: &Publication, role: Role) -> Step {
        let fresh = Publication::freeze(row.content_hash.clone(), row.plan, false);
        let row_after = Publication { generation: row.generation + 1, ..fresh };
        let guard = Guard { lease: Some(self.token), generation: row.generation, needs: Vec::new() };
        let again = End::PublishAgain { due: 0, reason: Refusal::not_sent("again").reason() };
        let next = if role == Role::Publish { Next::AskCreatorInfo } else { Next::End(again) };
        Step { write: Some(Write { guard, row: row_after, permits: false }), tell: None, next }
    }

    fn planned(&mut self, step: Step) -> Planned {
        let write = step.write.map(|write| (write.guard, self.intern_row(&write.row)));
        let then = match step.next {
            Next::AskCreatorInfo => Then::AskCreatorInfo,
            Next::SendInit => Then::Call(Call::Init),
            Next::Open { chunk } => Then::Open(u8::try_from(chunk).expect("few chunks")),
            Next::Put { chunk } => Then::Call(Call::Put(u8::try_from(chunk).expect("few chunks"))),
            Next::AskStatus => Then::Call(Call::Status),
            Next::End(End::Stop) => Then::Stop,
            Next::End(End::Parked { .. }) => Then::Parked,
            Next::End(End::Confirm { .. }) => Then::ToConfirm,
            Next::End(End::PublishAgain { .. }) => Then::ToPublish,
            Next::End(End::Posted { .. }) => Then::Posted,
            Next::End(End::Failed(_)) => Then::Failed,
            Next::End(End::NeedsReview(_)) => Then::Review,
        };
        Planned { write, then }
    }

    fn event(&self, happening: Happening) -> Option<Event> {
        let lost = || Refusal::answer_lost("lost");
        // The wrong clock is ahead by more than any upload lives.
        let wrong = if self.variant == Variant::WrongClock { 100 } else { 0 };
        let date = |date: u8| Some(i64::from(date) + wrong);
        let status = |status, bytes: Option<u8>, day| Event::StatusAnswered {
            status: PostStatus {
                fail_reason: (status == StatusKind::Failed).then(|| "internal".to_owned()),
                status,
                post_ids: Vec::new(),
                uploaded_bytes: bytes.map(u64::from),
            },
            date: date(day),
        };
        Some(match happening {
            Happening::Started => Event::Started,
            Happening::CreatorAgrees => Event::CreatorAgrees,
            Happening::InitAnswered { id, date } => Event::InitAnswered {
                publish_id: id.to_string(),
                upload_url: id.to_string(),
                date: Some(i64::from(date)),
            },
            Happening::InitLost => Event::InitRefused(lost()),
            Happening::InitNotSent => Event::InitRefused(Refusal::not_sent("refused")),
            Happening::Opened { chunk } => Event::Opened { chunk: u32::from(chunk) },
            Happening::PutAnswered { chunk, complete } => Event::PutAnswered { chunk: u32::from(chunk), complete },
            Happening::PutLost { chunk } => Event::PutRefused { chunk: u32::from(chunk), refusal: lost() },
            Happening::Processing { bytes, date } => {
                let zero = (self.variant == Variant::MissingIsZero).then_some(0);
                status(StatusKind::ProcessingUpload, bytes.or(zero), date)
            }
            Happening::Complete { date } => status(StatusKind::PublishComplete, None, date),
            Happening::FailedByTikTok { date } => status(StatusKind::Failed, None, date),
            Happening::StatusLost => Event::StatusRefused(lost()),
            Happening::AttemptsUsedUp => return None,
        })
    }

    // ---- steps

    fn id_of(&self, row: RowId) -> Option<u8> {
        self.rows[usize::from(row)].publish_id.as_ref().map(|id| id.parse().expect("the model's ids are numbers"))
    }

    /// Something happened to a worker; it makes up its mind at once, and acts on it later or never.
    fn hears(&mut self, world: &World, who: usize, happening: Happening) -> World {
        let worker = world.workers[who];
        let mut step = self.decide(worker.row, worker.confirm, happening);
        // Creator info is a question without effect, so its answer is not worth a world of its own.
        if matches!(self.steps[usize::from(step)], Planned { write: None, then: Then::AskCreatorInfo }) {
            step = self.decide(worker.row, worker.confirm, Happening::CreatorAgrees);
        }
        let mut after = *world;
        after.workers[who].phase = Phase::Plan(step);
        if self.steps[usize::from(step)].write.is_none() {
            return self.goes_on(&after, who, step);
        }
        after
    }

    /// What follows the write.
    fn goes_on(&mut self, world: &World, who: usize, step: StepId) -> World {
        let mut after = *world;
        let task = match self.steps[usize::from(step)].then {
            Then::Call(call) => {
                after.workers[who].phase = Phase::Send(call);
                return self.sends_at_once(&after, who, call);
            }
            Then::AskCreatorInfo => return self.hears(&after, who, Happening::CreatorAgrees),
            // A store that is away ends the run, which every worker may do here anyhow.
            Then::Open(chunk) => return self.hears(&after, who, Happening::Opened { chunk }),
            Then::Stop => {
                after.workers[who] = IDLE;
                return after;
            }
            Then::Parked => after.task,
            Then::ToConfirm => Task::Confirm,
            Then::ToPublish => Task::Publish,
            Then::Posted => Task::Posted,
            Then::Failed => Task::Failed,
            Then::Review => Task::Review,
        };
        // Settling is conditional on the lease, with or without a write.
        if after.lease == Some(who as u8) || self.variant == Variant::PlainUpdate {
            after.task = task;
            after.lease = None;
        }
        after.workers[who] = IDLE;
        after
    }

    fn commits(&mut self, world: &World, who: usize, step: StepId, out: &mut Vec<World>) {
        let Some((guard, row)) = &self.steps[usize::from(step)].write else { unreachable!("a plan has a write") };
        let row = *row;
        let lease = (world.lease == Some(who as u8)).then_some(self.token);
        let holds = guard.holds(&self.rows[usize::from(world.row)], lease);
        let mut after = *world;
        if !holds && self.variant != Variant::PlainUpdate {
            after.workers[who] = IDLE;
            out.push(after);
            return;
        }
        after.row = row;
        after.workers[who].row = row;
        out.push(self.goes_on(&after, who, step));
        if self.variant == Variant::ForgetsCommits && world.forgot < FORGOTTEN {
            let mut forgotten = after;
            forgotten.row = world.row;
            forgotten.forgot += 1;
            out.push(self.goes_on(&forgotten, who, step));
        }
    }

    /// A worker stops caring: its requests go on without it.
    fn abandon(world: &mut World, who: usize) {
        for request in &mut world.net {
            match request {
                Request::Init { from } | Request::Put { from, .. } if *from == Some(who as u8) => *from = None,
                Request::Status { from, .. } if *from == who as u8 => *request = Request::None,
                Request::None | Request::Init { .. } | Request::Put { .. } | Request::Status { .. } => {}
            }
        }
    }

    /// To stop between the commit and the send is to have a request that is delayed, or dropped: those worlds are there
    /// anyhow. The send is a step of its own only where it has a choice or finds no room.
    fn sends_at_once(&mut self, world: &World, who: usize, call: Call) -> World {
        let has_choice = call == Call::Init && self.bounds.refusals;
        if self.variant == Variant::ReinitWithLeaseCheck || has_choice {
            return *world;
        }
        let mut sent = Vec::new();
        self.sends(world, who, call, &mut sent);
        sent.pop().unwrap_or(*world)
    }

    fn sends(&mut self, world: &World, who: usize, call: Call, out: &mut Vec<World>) {
        let row = world.workers[who].row;
        let from = Some(who as u8);
        if matches!(call, Call::Put(_))
            && self.variant == Variant::ReinitWithLeaseCheck
            && world.lease != Some(who as u8)
        {
            let mut after = *world;
            after.workers[who] = IDLE;
            out.push(after);
            return;
        }
        let request = match (call, self.id_of(row)) {
            (Call::Init, _) if self.init_is_out_of_bounds(world) => return,
            (Call::Init, _) => Request::Init { from },
            (Call::Put(chunk), Some(id)) => Request::Put { id, chunk, from },
            (Call::Status, Some(id)) => Request::Status { id, from: who as u8 },
            (Call::Put(_) | Call::Status, None) => panic!("a call about a publish id that the row does not have"),
        };
        let slot = world.net[..self.bounds.net].iter().position(|request| *request == Request::None);
        if let Some(slot) = slot {
            let mut after = *world;
            after.net[slot] = request;
            after.workers[who].phase = Phase::Wait(call);
            out.push(after);
        }
        if call == Call::Init && self.bounds.refusals {
            out.push(self.hears(world, who, Happening::InitNotSent));
        }
    }

    /// No id is left, or none that could still be seen to die before the clock stops.
    fn init_is_out_of_bounds(&self, world: &World) -> bool {
        world.uploads[usize::from(self.bounds.ids) - 1].born != u8::MAX
            || world.clock + self.bounds.life + 1 > self.bounds.clock
    }

    /// TikTok handles a request. The answer comes, if its sender still waits, or is lost.
    fn delivers(&mut self, world: &World, slot: usize, out: &mut Vec<World>) {
        let request = world.net[slot];
        let mut after = *world;
        after.net[slot] = Request::None;
        let clock = world.clock;
        match request {
            Request::None => {}
            Request::Init { from } => {
                let free = after.uploads.iter().position(|upload| upload.born == u8::MAX);
                let Some(free) = free.filter(|free| *free < usize::from(self.bounds.ids)) else { return };
                let pull = self.variant == Variant::PullFromUrl;
                let chunks = if pull { self.bounds.chunks as u8 } else { 0 };
                after.uploads[free] = Upload { born: clock, chunks, fate: Fate::Open };
                self.answers(&after, from, Happening::InitAnswered { id: free as u8, date: clock }, out);
            }
            Request::Put { id, chunk, from } => {
                let upload = &mut after.uploads[usize::from(id)];
                let all = self.bounds.chunks as u8;
                let taken =
                    upload.fate == Fate::Open && clock <= upload.born + self.bounds.life && upload.chunks == chunk;
                if taken {
                    upload.chunks += 1;
                }
                let complete = taken && upload.chunks == all;
                let answer = match taken {
                    true => Happening::PutAnswered { chunk, complete },
                    false => Happening::PutLost { chunk },
                };
                self.answers(&after, from, answer, out);
            }
            Request::Status { id, from } => {
                let upload = after.uploads[usize::from(id)];
                let answers: &[Happening] = &match upload.fate {
                    Fate::Posted => [Happening::Complete { date: clock }; 2],
                    // Where the clock stands still at its bound, time still passes between two FAILED.
                    Fate::Failed => {
                        let first = self.rows[usize::from(world.workers[usize::from(from)].row)].first_failed_at;
                        let waited = clock == self.bounds.clock && first == Some(i64::from(clock));
                        let now = Happening::FailedByTikTok { date: clock };
                        [now, Happening::FailedByTikTok { date: clock + u8::from(waited) }]
                    }
                    Fate::Open => {
                        let bytes = Some(upload.chunks);
                        let named = Happening::Processing { bytes, date: clock };
                        let silent = Happening::Processing { bytes: None, date: clock };
                        [named, if self.bounds.missing_number { silent } else { named }]
                    }
                };
                for (at, answer) in answers.iter().enumerate() {
                    if at == 0 || answers[0] != *answer {
                        out.push(self.hears(&after, usize::from(from), *answer));
                    }
                }
            }
        }
    }

    fn answers(&mut self, world: &World, from: Option<u8>, happening: Happening, out: &mut Vec<World>) {
        out.push(*world);
        if let Some(from) = from {
            out.push(self.hears(world, usize::from(from), happening));
        }
    }

    fn successors(&mut self, world: &World, out: &mut Vec<World>) {
        for who in 0..2 {
            let worker = world.workers[who];
            match worker.phase {
                Phase::Idle => {
                    if !world.task.ended() && world.lease != Some(who as u8) || self.may_retake(world, who) {
                        let mut after = *world;
                        after.lease = Some(who as u8);
                        after.workers[who] =
                            Worker { confirm: world.task == Task::Confirm, row: world.row, phase: Phase::Idle };
                        out.push(self.hears(&after, who, Happening::Started));
                        if self.bounds.given_up {
                            out.push(self.hears(&after, who, Happening::AttemptsUsedUp));
                        }
                    }
                    continue;
                }
                Phase::Plan(step) => self.commits(world, who, step, out),
                Phase::Send(call) => self.sends(world, who, call, out),
                Phase::Wait(call) => {
                    let mut after = *world;
                    Self::abandon(&mut after, who);
                    let lost = match call {
                        Call::Init => Happening::InitLost,
                        Call::Put(chunk) => Happening::PutLost { chunk },
                        Call::Status => Happening::StatusLost,
                    };
                    out.push(self.hears(&after, who, lost));
                }
            }
            let mut killed = *world;
            Self::abandon(&mut killed, who);
            killed.workers[who] = IDLE;
            out.push(killed);
        }
        for slot in 0..self.bounds.net {
            if world.net[slot] == Request::None {
                continue;
            }
            self.delivers(world, slot, out);
            if matches!(world.net[slot], Request::Init { from: None } | Request::Put { from: None, .. }) {
                let mut dropped = *world;
                dropped.net[slot] = Request::None;
                out.push(dropped);
            }
        }
        for at in 0..usize::from(self.bounds.ids) {
            let upload = world.uploads[at];
            if u32::from(upload.chunks) == self.bounds.chunks && upload.fate == Fate::Open && upload.born != u8::MAX {
                let mut after = *world;
                after.uploads[at].fate = Fate::Posted;
                out.push(after);
                if self.bounds.failures {
                    after.uploads[at].fate = Fate::Failed;
                    out.push(after);
                }
            }
        }
        if self.bounds.given_up && !world.task.ended() && may_cancel(Some(&self.rows[usize::from(world.row)])) {
            // The cancel takes the lease away in the same write.
            out.push(World { task: Task::Failed, lease: None, ..*world });
        }
        if world.clock < self.bounds.clock {
            out.push(World { clock: world.clock + 1, ..*world });
        }
    }

    /// A worker that was killed while it held the lease comes back after the lease ran out.
    fn may_retake(&self, world: &World, who: usize) -> bool {
        !world.task.ended() && world.lease == Some(who as u8)
    }

    // ---- what must hold

    fn wrong(&self, world: &World) -> Option<&'static str> {
        let posts = world.uploads.iter().filter(|upload| upload.fate == Fate::Posted).count();
        match (posts, world.task) {
            (2.., _) => Some("two posts"),
            (0, Task::Posted) => Some("POSTED without a post"),
            (1, Task::Failed) => Some("FAILED with a post"),
            _ => None,
        }
    }

    /// An end, or a wish that the bounds refuse.
    fn is_end(&self, world: &World) -> bool {
        let refused = |worker: &Worker| worker.phase == Phase::Send(Call::Init) && self.init_is_out_of_bounds(world);
        world.task.ended() || world.workers.iter().any(refused)
    }

    /// The two workers are alike, and the net has no order.
    fn canonical(&self, world: &World) -> World {
        let key = |worker: &Worker| {
            let phase = match worker.phase {
                Phase::Idle => 0,
                Phase::Plan(step) => 1 + u32::from(step),
                Phase::Send(call) => 100_000 + call_number(call),
                Phase::Wait(call) => 200_000 + call_number(call),
            };
            (phase, worker.row, worker.confirm)
        };
        let mut world = *world;
        let [a, b] = [key(&world.workers[0]), key(&world.workers[1])];
        if a > b || (a == b && world.lease == Some(1)) {
            world.workers.swap(0, 1);
            world.lease = world.lease.map(|who| 1 - who);
            for request in &mut world.net {
                match request {
                    Request::Init { from: Some(from) } | Request::Put { from: Some(from), .. } => *from = 1 - *from,
                    Request::Status { from, .. } => *from = 1 - *from,
                    Request::None | Request::Init { from: None } | Request::Put { from: None, .. } => {}
                }
            }
        }
        world.net[..self.bounds.net].sort_unstable();
        world
    }
}

fn call_number(call: Call) -> u32 {
    match call {
        Call::Init => 0,
        Call::Status => 1,
        Call::Put(chunk) => 2 + u32::from(chunk),
    }
}

// ---- the search

struct Found {
    states: usize,
    decisions: usize,
    /// What went wrong, and the worlds on the shortest way to it.
    violation: Option<(&'static str, Vec<String>)>,
    /// Worlds from which no end can be reached.
    stuck: Vec<String>,
    ends: [usize; 3],
}

fn search(variant: Variant, bounds: Bounds) -> Found {
    let mut model = Model::new(variant, bounds);
    let first = model.canonical(&model.first());
    let mut seen: Map<World, u32> = Map::default();
    let mut worlds = vec![first];
    let mut parents = vec![0u32];
    let mut edges: Vec<(u32, u32)> = Vec::new();
    seen.insert(first, 0);
    let mut out = Vec::new();
    let mut at = 0;
    let mut ends = [0; 3];
    let mut violation = None;
    while at < worlds.len() {
        let world = worlds[at];
        match world.task {
            Task::Publish | Task::Confirm => {}
            Task::Posted => ends[0] += 1,
            Task::Failed => ends[1] += 1,
            Task::Review => ends[2] += 1,
        }
        if let Some(wrong) = model.wrong(&world) {
            let mut way = vec![at];
            while way[way.len() - 1] != 0 {
                way.push(parents[way[way.len() - 1]] as usize);
            }
            way.reverse();
            violation = Some((wrong, way.into_iter().map(|at| tell(&model, &worlds[at])).collect()));
            break;
        }
        out.clear();
        model.successors(&world, &mut out);
        for next in &out {
            let next = model.canonical(next);
            let to = *seen.entry(next).or_insert_with(|| {
                worlds.push(next);
                parents.push(at as u32);
                (worlds.len() - 1) as u32
            });
            edges.push((to, at as u32));
        }
        at += 1;
    }
    let decisions = model.asked.len();
    let stuck = if violation.is_some() { Vec::new() } else { without_end(&model, &worlds, edges) };
    Found { states: worlds.len(), decisions, violation, stuck, ends }
}

/// Walks back from every end; what is not met can't end.
fn without_end(model: &Model, worlds: &[World], mut edges: Vec<(u32, u32)>) -> Vec<String> {
    edges.sort_unstable();
    let mut starts = vec![0usize; worlds.len() + 1];
    for (to, _) in &edges {
        starts[*to as usize + 1] += 1;
    }
    for at in 0..worlds.len() {
        starts[at + 1] += starts[at];
    }
    let mut can_end: Vec<bool> = worlds.iter().map(|world| model.is_end(world)).collect();
    let mut todo: Vec<usize> = (0..worlds.len()).filter(|at| can_end[*at]).collect();
    while let Some(at) = todo.pop() {
        for (_, from) in &edges[starts[at]..starts[at + 1]] {
            let from = *from as usize;
            if !can_end[from] {
                can_end[from] = true;
                todo.push(from);
            }
        }
    }
    let stuck = (0..worlds.len()).filter(|at| !can_end[*at]);
    stuck.take(5).map(|at| tell(model, &worlds[at])).collect()
}

fn tell(model: &Model, world: &World) -> String {
    let row = &model.rows[usize::from(world.row)];
    let row = format!(
        "generation {} {:?} id {:?} acknowledged {} final {} uploaded {} lost {} troubles {}",
        row.generation,
        row.state,
        row.publish_id,
        row.acknowledged,
        row.final_started.is_some(),
        row.uploaded,
        row.lost_inits,
        row.troubles
    );
    let uploads: Vec<_> = world.uploads.iter().filter(|upload| upload.born != u8::MAX).collect();
    let phases: Vec<_> = world.workers.iter().map(|worker| worker.phase).collect();
    let (clock, task, lease, net) = (world.clock, world.task, world.lease, &world.net);
    format!("clock {clock} {task:?} lease {lease:?} | {row} | {phases:?} | {net:?} | {uploads:?}")
}

const SMALL: Bounds = Bounds {
    ids: 2,
    net: 2,
    life: 0,
    clock: 2,
    refusals: false,
    missing_number: false,
    failures: false,
    given_up: false,
    chunks: 2,
    lost_inits: 2,
    quick_troubles: None,
};

fn holds(bounds: Bounds) {
    let begun = std::time::Instant::now();
    let found = search(Variant::Sound, bounds);
    println!(
        "{} states, {} decisions, ends [posted, failed, review] {:?}, {:?}: {bounds:?}",
        found.states,
        found.decisions,
        found.ends,
        begun.elapsed()
    );
    if let Some((wrong, way)) = found.violation {
        panic!("{wrong} after {} steps:\n{}", way.len() - 1, way.join("\n"));
    }
    assert!(found.stuck.is_empty(), "no end from here:\n{}", found.stuck.join("\n"));
    assert!(found.ends[0] > 0);
}

fn posts_twice(variant: Variant, bounds: Bounds) {
    let found = search(variant, bounds);
    let (wrong, way) = found.violation.unwrap_or_else(|| panic!("{variant:?} was not seen to fail"));
    println!("{variant:?}: {wrong} after {} steps, {} states", way.len() - 1, found.states);
    assert_eq!(wrong, "two posts");
}

#[test]
fn the_protocol_never_posts_twice_and_can_always_end() {
    holds(SMALL);
}

#[test]
fn nor_with_failures_refusals_and_numbers_that_are_missing() {
    holds(Bounds { refusals: true, missing_number: true, failures: true, given_up: true, net: 1, ..SMALL });
}

#[test]
fn init_again_when_the_status_says_not_complete_posts_twice() {
    posts_twice(Variant::ReinitOnNotComplete, SMALL);
}

#[test]
fn a_lease_check_before_every_put_does_not_mend_that() {
    posts_twice(Variant::ReinitWithLeaseCheck, SMALL);
}

#[test]
fn a_plain_update_posts_twice() {
    posts_twice(Variant::PlainUpdate, SMALL);
}

#[test]
fn pull_from_url_posts_twice() {
    posts_twice(Variant::PullFromUrl, SMALL);
}

#[test]
fn a_database_that_forgets_two_commits_posts_twice() {
    posts_twice(Variant::ForgetsCommits, Bounds { chunks: 1, ..SMALL });
}

#[test]
fn death_judged_by_a_wrong_clock_posts_twice() {
    posts_twice(Variant::WrongClock, SMALL);
}

#[test]
fn a_missing_number_read_as_zero_posts_twice() {
    posts_twice(Variant::MissingIsZero, Bounds { missing_number: true, ..SMALL });
}

#[test]
fn a_refused_put_that_kills_the_id_posts_twice() {
    posts_twice(Variant::RefusedPutKills, SMALL);
}

#[test]
#[ignore = "minutes and gigabytes"]
fn the_protocol_holds_within_wider_bounds() {
    let all = Bounds { refusals: true, missing_number: true, failures: true, given_up: true, lost_inits: 3, ..SMALL };
    holds(Bounds { life: 1, clock: 4, ..SMALL });
    holds(all);
    holds(Bounds { ids: 3, clock: 3, ..SMALL });
    holds(Bounds { chunks: 3, ..SMALL });
    holds(Bounds { life: 1, clock: 4, ..all });
}
