//! A task, and the rules by which it moves. Pure: the ledger runs these functions inside its transactions, and the
//! model in the tests drives the same ones through every crash that it can think of.
//!
//! A task is one stage of one video. It is `waiting` (with a due time), `queued` (released to its stream, or read from it
//! and set aside), `running` (under a lease) or ended. Every function takes the row as it is and gives the row as it shall be, or says why not;
//! the ledger writes the new row only where the old one still stands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{LeaseToken, Stage, TaskId, VideoId};
use crate::outcome::{Outcome, Reason};

/// A task that its worker's death interrupted this often is poison.
pub const POISON: u32 = 3;

/// When a task is due that its worker gave back: before all that waits its turn. The next free worker takes it straight
/// from the ledger, so that a stop of its worker costs it no place in the line.
pub const HANDED_BACK: i64 = 0;

/// When a task is due that is held: it waits for what a person decides, not for a time. The end of the year 9999, which
/// every calendar can still write.
pub const HELD: i64 = 253_402_300_799_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Waiting,
    Queued,
    Running,
    Done,
    Dead,
    Review,
    Canceled,
}

impl State {
    pub const ALL: [State; 7] =
        [State::Waiting, State::Queued, State::Running, State::Done, State::Dead, State::Review, State::Canceled];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Queued => "queued",
            State::Running => "running",
            State::Done => "done",
            State::Dead => "dead",
            State::Review => "review",
            State::Canceled => "canceled",
        }
    }

    pub fn ended(self) -> bool {
        matches!(self, State::Done | State::Dead | State::Review | State::Canceled)
    }
}

/// Times are milliseconds on the ledger's clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Task {
    pub id: TaskId,
    pub video: VideoId,
    pub stage: Stage,
    pub state: State,
    /// When it may be released; for a `waiting` task the time it waits for.
    pub due_at: i64,
    /// Why it waits, where that isn't plain.
    pub wait: Option<Reason>,
    /// The sequence number of its last release, over all tasks of the ledger; 0 before the first.
    pub seq: i64,
    pub queued_at: i64,
    /// The stream entry under which it was leased, or, of a queued one, set aside.
    pub entry: Option<String>,
    /// When its last run began.
    pub started_at: Option<i64>,
    /// The consumer that runs it.
    pub holder: Option<String>,
    /// Faults of this video so far.
    pub attempts: u32,
    /// Workers that died over it in a row.
    pub takeovers: u32,
    pub token: Option<LeaseToken>,
    pub lease_until: i64,
}

/// Why a task did not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the task has ended")]
    Ended,
    #[error("another worker holds the task")]
    Leased,
    #[error("the task is not due yet")]
    NotDue,
    #[error("the task is not in a state from which this is possible")]
    WrongState,
    #[error("the lease is gone")]
    LeaseGone,
}

/// Who takes a lease, and under which entry it was read (none when it came from the ledger and its entry is gone).
#[derive(Debug, Clone)]
pub struct Claim {
    pub token: LeaseToken,
    pub holder: String,
    pub entry: Option<String>,
    pub lease: Duration,
}

/// What became of the wish for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leased {
    /// Yours: run it.
    Granted(Task),
    /// It has killed its workers too often: dead from now on, run by nobody.
    Poisoned(Task),
}

impl Task {
    pub fn new(video: VideoId, stage: Stage, due_at: i64) -> Self {
        Self {
            id: TaskId::new(),
            video,
            stage,
            state: State::Waiting,
            due_at,
            wait: None,
            seq: 0,
            queued_at: 0,
            entry: None,
            started_at: None,
            holder: None,
            attempts: 0,
            takeovers: 0,
            token: None,
            lease_until: 0,
        }
    }

    pub fn is_held(&self) -> bool {
        self.state == State::Waiting && self.due_at >= HELD
    }

    /// Rule 2: what is due goes out to its stream, under the next sequence number.
    pub fn release(&self, seq: i64, now: i64) -> Result<Task, Refused> {
        match self.state {
            State::Waiting if self.due_at <= now => Ok(Task {
                state: State::Queued,
                wait: None,
                seq,
                queued_at: now,
                entry: None,
                started_at: None,
                holder: None,
                ..self.clone()
            }),
            State::Waiting => Err(Refused::NotDue),
            State::Queued | State::Running => Err(Refused::WrongState),
            State::Done | State::Dead | State::Review | State::Canceled => Err(Refused::Ended),
        }
    }

    /// Rules 4 and 7: whoever has read its entry, or found its lease over, asks for it. A lease that ran out counts
    /// as its worker's death.
    pub fn lease(&self, claim: Claim, now: i64) -> Result<Leased, Refused> {
        let takeovers = match self.state {
            // Its entry is on the stream, and belongs to whoever reads it.
            State::Queued if claim.entry.is_none() => return Err(Refused::WrongState),
            State::Queued => self.takeovers,
            State::Waiting if self.due_at <= now => self.takeovers,
            State::Waiting => return Err(Refused::NotDue),
            State::Running if self.lease_until < now => self.takeovers + 1,
            State::Running => return Err(Refused::Leased),
            State::Done | State::Dead | State::Review | State::Canceled => return Err(Refused::Ended),
        };
        if takeovers >= POISON {
            return Ok(Leased::Poisoned(Task { takeovers, ..self.ended(State::Dead) }));
        }
        Ok(Leased::Granted(Task {
            state: State::Running,
            wait: None,
            entry: claim.entry,
            started_at: Some(now),
            holder: Some(claim.holder),
            takeovers,
            token: Some(claim.token),
            lease_until: now + millis(claim.lease),
            ..self.clone()
        }))
    }

    /// Rule 5: a lease that ran out but was not taken may still be renewed by its owner.
    pub fn renew(&self, token: LeaseToken, lease: Duration, now: i64) -> Result<Task, Refused> {
        self.held_by(token)?;
        Ok(Task { lease_until: now + millis(lease), ..self.clone() })
    }

    /// Rules 5, 6 and 13: the end of one run. `pause` is how long a fault waits before the next attempt.
    pub fn settle(
        &self,
        token: LeaseToken,
        outcome: &Outcome,
        attempts: u32,
        pause: Duration,
        now: i64,
    ) -> Result<Task, Refused> {
        self.held_by(token)?;
        Ok(match outcome {
            Outcome::Done => self.ended(State::Done),
            Outcome::Dead(_) => self.ended(State::Dead),
            Outcome::NeedsReview(_) => self.ended(State::Review),
            Outcome::Retry(_) if self.attempts + 1 >= attempts => {
                Task { attempts: self.attempts + 1, ..self.ended(State::Dead) }
            }
            Outcome::Retry(reason) => Task {
                attempts: self.attempts + 1,
                takeovers: 0,
                wait: Some(reason.clone()),
                ..self.waiting(now + millis(pause))
            },
            Outcome::Parked { until, reason } => {
                Task { takeovers: 0, wait: Some(reason.clone()), ..self.waiting(*until) }
            }
        })
    }

    /// Rule 11: a shutdown gives the work back, uncounted.
    pub fn hand_back(&self, token: LeaseToken) -> Result<Task, Refused> {
        self.held_by(token)?;
        Ok(self.waiting(HANDED_BACK))
    }

    /// Rule 11, for what was read and not leased.
    pub fn give_back(&self) -> Result<Task, Refused> {
        match self.state {
            State::Queued => Ok(self.waiting(HANDED_BACK)),
            State::Waiting | State::Running => Err(Refused::WrongState),
            State::Done | State::Dead | State::Review | State::Canceled => Err(Refused::Ended),
        }
    }

    /// Rule 3, for what was read ahead of a free slot: whoever is free next starts it from the ledger, under this entry.
    pub fn set_aside(&self, entry: String) -> Result<Task, Refused> {
        match self.state {
            State::Queued => Ok(Task { entry: Some(entry), ..self.clone() }),
            State::Waiting | State::Running => Err(Refused::WrongState),
            State::Done | State::Dead | State::Review | State::Canceled => Err(Refused::Ended),
        }
    }

    /// Whether an entry of it has been read, and a lease is all it waits for.
    pub fn is_set_aside(&self) -> bool {
        self.state == State::Queued && self.entry.is_some()
    }

    /// Rule 8: a queued task whose entry must have been lost is released anew. Who calls this has shown that it was
    /// overtaken, or that a reader found its stream empty.
    pub fn doubt(&self, now: i64) -> Result<Task, Refused> {
        match self.state {
            State::Queued => Ok(self.waiting(now)),
            State::Waiting | State::Running => Err(Refused::WrongState),
            State::Done | State::Dead | State::Review | State::Canceled => Err(Refused::Ended),
        }
    }

    /// Rule 13, before a lease is even taken: not now, since a limit is used up or a person has paused it. The one who
    /// read its entry acknowledges it.
    pub fn postpone(&self, until: i64, reason: Reason, now: i64) -> Result<Task, Refused> {
        match self.state {
            State::Running if self.lease_until >= now => Err(Refused::Leased),
            State::Queued | State::Waiting | State::Running => Ok(Task { wait: Some(reason), ..self.waiting(until) }),
            State::Done | State::Dead | State::Review | State::Canceled => Err(Refused::Ended),
        }
    }

    /// What it was put off for is over: due now. A time that it was made for, such as `publishAt`, stays.
    pub fn wake(&self, now: i64) -> Result<Task, Refused> {
        match self.state {
            State::Waiting if self.wait.is_some() && self.due_at > now => Ok(Task { due_at: now, ..self.clone() }),
            State::Waiting | State::Queued | State::Running => Err(Refused::WrongState),
            State::Done | State::Dead | State::Review | State::Canceled => Err(Refused::Ended),
        }
    }

    /// A person wants it at another time; one that is over means now. A limit or a fault that it waits for still counts.
    pub fn reschedule(&self, at: i64, now: i64) -> Result<Task, Refused> {
        match self.state {
            State::Waiting if self.wait.is_some() && self.due_at >= at => Ok(self.clone()),
            State::Waiting => Ok(self.waiting(at.max(now))),
            // Its entry is on the stream. Whoever reads it finds that it is not due.
            State::Queued if at > now => Ok(self.waiting(at)),
            State::Queued => Ok(self.clone()),
            State::Running => Err(Refused::Leased),
            State::Done | State::Dead | State::Review | State::Canceled => Err(Refused::Ended),
        }
    }

    /// There is news of what it asks for: due now, whatever it waits for.
    pub fn hasten(&self, now: i64) -> Result<Task, Refused> {
        match self.state {
            State::Waiting => Ok(Task { due_at: self.due_at.min(now), ..self.clone() }),
            State::Queued | State::Running => Err(Refused::WrongState),
            State::Done | State::Dead | State::Review | State::Canceled => Err(Refused::Ended),
        }
    }

    /// Rule 12: ends the task at once; its worker finds out at the next renewal.
    pub fn cancel(&self) -> Result<Task, Refused> {
        if self.state.ended() {
            return Err(Refused::Ended);
        }
        // The revoked lease's time stays, so that a replay can wait for it.
        Ok(Task { lease_until: self.lease_until, ..self.ended(State::Canceled) })
    }

    /// Rule 12: a new turn of an ended task, not before a revoked lease's time is over.
    pub fn replay(&self, due_at: i64) -> Result<Task, Refused> {
        if !self.state.ended() {
            return Err(Refused::WrongState);
        }
        Ok(Task { attempts: 0, takeovers: 0, ..self.waiting(due_at.max(self.lease_until)) })
    }

    /// An operator has seen it and leaves it at that: no dead letter any more, and still ended.
    pub fn dismiss(&self) -> Result<Task, Refused> {
        if self.state == State::Dead { Ok(self.ended(State::Canceled)) } else { Err(Refused::WrongState) }
    }

    /// An operator frees the lease of a worker that is gone; counts stay as they are.
    pub fn free(&self, now: i64) -> Result<Task, Refused> {
        match self.state {
            State::Running if self.lease_until < now => Ok(self.waiting(now)),
            State::Running => Err(Refused::Leased),
            State::Waiting | State::Queued => Err(Refused::WrongState),
            State::Done | State::Dead | State::Review | State::Canceled => Err(Refused::Ended),
        }
    }

    fn held_by(&self, token: LeaseToken) -> Result<(), Refused> {
        if self.state == State::Running && self.token == Some(token) { Ok(()) } else { Err(Refused::LeaseGone) }
    }

    fn waiting(&self, due_at: i64) -> Task {
        Task {
            state: State::Waiting,
            due_at,
            wait: None,
            entry: None,
            holder: None,
            token: None,
            lease_until: 0,
            ..self.clone()
        }
    }

    fn ended(&self, state: State) -> Task {
        Task { state, wait: None, holder: None, token: None, lease_until: 0, ..self.clone() }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
