//! What goes into a decision and what comes out of it. Data only.

use super::row::{Publication, State};
use crate::event::LeaseToken;
use crate::outcome::Reason;
use crate::tiktok::refusal::{Key, Refusal};
use crate::tiktok::wire::PostStatus;

/// Which stage asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Holds a slot and a stream entry; sends bytes.
    Publish,
    /// Holds neither; only asks.
    Confirm,
}

/// Who decides, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    pub lease: LeaseToken,
    pub role: Role,
    /// The ledger's clock.
    pub now: i64,
}

/// What just happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The lease was taken and the row read.
    Started,
    /// The step's write touched no row: somebody else holds the lease, or the row is not what it was.
    WriteLost,
    /// The step's write was not made, because a limit is closed.
    LimitClosed {
        until: i64,
        reason: Reason,
    },
    /// Creator info came and the post fits it.
    CreatorAgrees,
    /// Creator info was refused, or the post does not fit it (then a refusal of the driver's own making).
    CreatorRefuses(Refusal),
    /// `upload_url` is already sealed. `date` is TikTok's.
    InitAnswered {
        publish_id: String,
        upload_url: String,
        date: Option<i64>,
    },
    /// Class `OutcomeUnknown` means that the answer was lost.
    InitRefused(Refusal),
    /// The bytes of the last chunk are at hand.
    Opened {
        chunk: u32,
    },
    /// 206, or 201 if `complete`.
    PutAnswered {
        chunk: u32,
        complete: bool,
    },
    PutRefused {
        chunk: u32,
        refusal: Refusal,
    },
    /// `date` is TikTok's, of this very answer.
    StatusAnswered {
        status: PostStatus,
        date: Option<i64>,
    },
    StatusRefused(Refusal),
}

/// What a write asks of the row it finds, beside lease and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    PublishIdIsNull,
    FinalStartedIsNull,
    StateIs(State),
}

/// The compare of a compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The lease that the writer must hold; `None`: that nobody holds one (an operator's write).
    pub lease: Option<LeaseToken>,
    pub generation: i64,
    pub needs: Vec<Need>,
}

impl Guard {
    /// Whether the write may touch this row. The ledger says the same in SQL.
    pub fn holds(&self, row: &Publication, lease: Option<LeaseToken>) -> bool {
        let need = |need: &Need| match need {
            Need::PublishIdIsNull => row.publish_id.is_none(),
            Need::FinalStartedIsNull => row.final_started.is_none(),
            Need::StateIs(state) => row.state == *state,
        };
        self.lease == lease && self.generation == row.generation && self.needs.iter().all(need)
    }
}

/// A compare-and-set of the whole row. Must touch exactly one row; otherwise nothing that follows it may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub guard: Guard,
    pub row: Publication,
    /// The limits' permits are taken in the same transaction.
    pub permits: bool,
}

/// What the rest of the fleet should learn from a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// Close this key until then (the ledger's clock).
    Close { key: Key, until: i64, reason: Reason },
    /// The account must be connected again.
    Reconnect(Reason),
}

/// First the write, then what is next. An end is settled in the write's transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub write: Option<Write>,
    pub tell: Option<Tell>,
    pub next: Next,
}

/// The one call that comes next, or the end of this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    AskCreatorInfo,
    SendInit,
    /// Gets hold of a chunk's bytes before it is sent.
    Open {
        chunk: u32,
    },
    /// To the recorded URL, from the frozen rendition.
    Put {
        chunk: u32,
    },
    AskStatus,
    End(End),
}

/// How this run of the task ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// `look_again`: the post is out, but its public id is not known yet; a confirm task looks then.
    Posted {
        post_ids: Vec<String>,
        look_again: Option<i64>,
    },
    Failed(Reason),
    NeedsReview(Reason),
    /// This task waits. No attempt is spent.
    Parked {
        until: i64,
        reason: Reason,
    },
    /// The publish task is done; the confirm task is due then.
    Confirm {
        due: i64,
    },
    /// The confirm task is done; the publish task is due then.
    PublishAgain {
        due: i64,
        reason: Reason,
    },
    /// Somebody else has the row. Write nothing, settle nothing.
    Stop,
}
