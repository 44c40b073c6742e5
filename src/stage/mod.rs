//! The stages: what is done to a video, and the loop that does it.
//!
//! A stage's [`Work`] knows what to do with one task. Everything around it is here and the same for all: the loop that
//! takes a slot, looks whether the stage is open, and only then reads ([`streamed`]); the lease and its renewal
//! ([`lease`], [`run`]); the settlement, which is one transaction, then the append to the next stream, then the XACK
//! ([`settle`]). `confirm` has no stream: its tasks are taken from the ledger when they are due ([`due`]).

mod accept;
mod acks;
pub mod doubt;
pub mod due;
pub mod edit;
pub mod lease;
mod overdue;
pub mod publish;
pub mod run;
pub mod settle;
mod store;
pub mod streamed;
pub mod sweep;
mod traced;
mod worker;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::StageConfig;
use crate::event::Stage;
use crate::health::Health;
use crate::ledger::{Ledger, LedgerError, Released, TaskRow, Tx};
use crate::limit::Ask;
use crate::outcome::{Outcome, Reason};
use crate::relay::Dispatch;
use crate::torture::paced;

pub use acks::Acks;
pub use run::Lease;
pub use worker::Identity;

/// What a stage does with its tasks.
pub trait Work: Send + Sync + 'static {
    /// What a run made, to be written when it is settled.
    type Made: Clone + Send + Sync + 'static;

    const STAGE: Stage;

    /// Whether new work may be read at all; takes nothing.
    fn look(&self, ledger: &Ledger) -> impl Future<Output = Result<Admission, LedgerError>> + Send;

    /// The limit of the whole stage, if it has one.
    fn limit(&self) -> Option<Ask> {
        None
    }

    /// In the lease's transaction: may this task run now? Takes what has to be taken for it.
    fn admit(&self, tx: &Tx, task: &TaskRow) -> impl Future<Output = Result<Admission, LedgerError>> + Send;

    /// Does it.
    fn run(&self, lease: &Lease) -> impl Future<Output = Run<Self::Made>> + Send;

    /// In the settlement's transaction: what the outcome means for the video, and which tasks come next.
    fn settle(
        &self,
        tx: &Tx,
        task: &TaskRow,
        outcome: &Outcome,
        made: Option<Self::Made>,
    ) -> impl Future<Output = Result<Vec<Released>, LedgerError>> + Send;

    /// What a task ends as whose attempts are used up, or that kills its workers: a video that may have been posted
    /// can't simply fail.
    fn last(
        &self,
        tx: &Tx,
        task: &TaskRow,
        reason: Reason,
    ) -> impl Future<Output = Result<Outcome, LedgerError>> + Send;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    Open,
    /// Not before then.
    Closed {
        until: i64,
        reason: Reason,
    },
}

impl From<crate::limit::Verdict> for Admission {
    fn from(verdict: crate::limit::Verdict) -> Self {
        match verdict {
            crate::limit::Verdict::Open => Self::Open,
            crate::limit::Verdict::Closed { until, reason } => Self::Closed { until, reason },
        }
    }
}

/// How a run came back.
#[derive(Debug)]
pub enum Run<Made> {
    Ended(Outcome, Option<Made>),
    /// It was told to stop, or its lease is gone.
    Interrupted,
}

/// The two stop signals: first nothing new is read, then what still runs is handed back.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    pub reading: CancellationToken,
    pub working: CancellationToken,
}

/// Times of the engine that are nobody's to set.
#[derive(Debug, Clone)]
pub struct Times {
    /// How often the ledger is asked for stalled, due and doubtful tasks.
    pub tick: Duration,
    /// How often a worker says that it is alive, and how long it counts as alive afterwards.
    pub heartbeat: Duration,
    pub alive: Duration,
    /// How long after its release a task may be doubted. More than a command to Redis may take, and than a worker needs
    /// between reading an entry and leasing its task.
    pub doubt: Duration,
    /// A queued task that is this old while a reader waits means that the reader's connection is dead.
    pub deaf: Duration,
    /// A read that has waited this long has found its stream empty: the worker is idle.
    pub quiet: Duration,
    /// How long an acknowledgement waits for company while the worker is not idle.
    pub company: Duration,
    /// A read that has waited this long and loses its connection was closed as idle, which is routine.
    pub idle: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(1),
            heartbeat: Duration::from_secs(5),
            alive: Duration::from_secs(30),
            doubt: Duration::from_secs(5),
            deaf: Duration::from_secs(15),
            quiet: Duration::from_millis(100),
            company: Duration::from_secs(60),
            idle: Duration::from_secs(10),
        }
    }
}

impl Times {
    /// As they are, but in a torture-only build.
    pub fn paced(self) -> Self {
        Self {
            tick: paced(self.tick),
            heartbeat: paced(self.heartbeat),
            alive: paced(self.alive),
            doubt: paced(self.doubt),
            deaf: paced(self.deaf),
            quiet: paced(self.quiet),
            company: paced(self.company),
            idle: paced(self.idle),
        }
    }
}

/// What every worker of a stage works with.
#[derive(Clone)]
pub struct Engine {
    pub ledger: Ledger,
    pub dispatch: Dispatch,
    pub config: StageConfig,
    pub times: Times,
    pub stop: Stop,
    pub health: Health,
    pub acks: Acks,
}

/// The ledger's longest wait for an answer, a pause and a new connection.
const AFTER_TROUBLE: Duration = Duration::from_secs(9);

impl Engine {
    /// How long a lease must be seen to be over before its work is taken over: time for a holder that lives to renew, which
    /// it tries every second.
    pub(crate) fn grace(&self) -> Duration {
        (self.config.lease / 3).min(3 * self.times.tick).max(2 * self.times.tick)
    }

    /// After trouble with the ledger: longer than a holder may wait in vain on a connection that died meanwhile.
    pub(crate) fn calm(&self) -> Duration {
        self.grace().max(AFTER_TROUBLE)
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
