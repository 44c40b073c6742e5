//! One row per video: everything that is known of its publication.

use serde::{Deserialize, Serialize};

use super::chunks::ChunkPlan;
use crate::outcome::Reason;

/// How far a publication got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// What will be sent is fixed; no intent is open.
    Frozen,
    /// The intent to init is committed; no publish id is known.
    Intended,
    /// A publish id is recorded; bytes may be on their way.
    Uploading,
    /// TikTok has every byte.
    Uploaded,
    Posted,
    Failed,
    /// Only an operator goes on from here.
    NeedsReview,
}

impl State {
    pub const ALL: [State; 7] = [
        State::Frozen,
        State::Intended,
        State::Uploading,
        State::Uploaded,
        State::Posted,
        State::Failed,
        State::NeedsReview,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Frozen => "frozen",
            State::Intended => "intended",
            State::Uploading => "uploading",
            State::Uploaded => "uploaded",
            State::Posted => "posted",
            State::Failed => "failed",
            State::NeedsReview => "needs_review",
        }
    }

    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// The row. Times are milliseconds; which clock is said at each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Rises when the publish id is proved dead. Each generation has at most one recorded id.
    pub generation: i64,
    pub state: State,
    /// Of the rendition that is sent, and of no other.
    pub content_hash: String,
    pub plan: ChunkPlan,
    /// Not `SELF_ONLY`: TikTok gives the post a public id, at some time.
    pub expects_post_id: bool,
    pub publish_id: Option<String>,
    /// Sealed; opaque here.
    pub upload_url: Option<String>,
    /// TikTok's `Date` at init (or, had that answer none, of its first answer afterwards: later is safe).
    pub init_date: Option<i64>,
    /// Bytes that TikTok said it has.
    pub acknowledged: u64,
    /// When the last chunk was allowed to go. The ledger's clock.
    pub final_started: Option<i64>,
    /// All bytes are in: a 201 was seen, or the status named them all.
    pub uploaded: bool,
    /// TikTok's last word, as it came.
    pub last_status: Option<String>,
    /// TikTok's `Date` when FAILED was first read, without another status since.
    pub first_failed_at: Option<i64>,
    pub reason: Option<Reason>,
    pub post_ids: Vec<String>,
    /// Inits of all generations.
    pub inits: i64,
    /// Inits of this generation of which no answer is known.
    pub lost_inits: i64,
    /// Generations that TikTok ended with FAILED.
    pub failures: i64,
    /// Polls since the last byte.
    pub polls: i64,
    /// Troubles in a row since something last went well.
    pub troubles: i64,
}

impl Publication {
    /// Rule 1: fixed before any init.
    pub fn freeze(content_hash: String, plan: ChunkPlan, expects_post_id: bool) -> Self {
        Self {
            generation: 1,
            state: State::Frozen,
            content_hash,
            plan,
            expects_post_id,
            publish_id: None,
            upload_url: None,
            init_date: None,
            acknowledged: 0,
            final_started: None,
            uploaded: false,
            last_status: None,
            first_failed_at: None,
            reason: None,
            post_ids: Vec::new(),
            inits: 0,
            lost_inits: 0,
            failures: 0,
            polls: 0,
            troubles: 0,
        }
    }

    /// The next generation: nothing of the last id is left, the counts over all of them are.
    pub(super) fn raised(&self) -> Self {
        Self {
            generation: self.generation + 1,
            inits: self.inits,
            failures: self.failures,
            last_status: self.last_status.clone(),
            ..Self::freeze(self.content_hash.clone(), self.plan, self.expects_post_id)
        }
    }
}
