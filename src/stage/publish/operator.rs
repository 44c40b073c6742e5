//! What people may do to a publication, and how one ends that was given up: pure, like the protocol.

use super::row::{Publication, State};
use super::step::{Guard, Need, Write};
use crate::event::LeaseToken;
use crate::outcome::{Outcome, Reason};

/// The three ways out of NEEDS_REVIEW (rule 9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It is there, as this post.
    There {
        post_id: String,
    },
    /// It is not there: post it again. The caller has asked for the typed confirmation.
    PostAgain,
    GiveUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unresolvable {
    #[error("the video is not waiting for a decision")]
    NotInReview,
    #[error("a post's id is made of digits")]
    NotAPostId,
}

/// A cancel wins only while no intent is open and nothing was sent: an intent that TikTok answered with a refusal is
/// closed again.
pub fn may_cancel(row: Option<&Publication>) -> bool {
    row.is_none_or(|row| row.state == State::Frozen)
}

/// The edit may be done again only before the freeze (rule 1).
pub fn may_replay_edit(row: Option<&Publication>) -> bool {
    row.is_none()
}

/// Publishing may be tried again without an operator's word only where it failed before any id was recorded and no
/// init's answer is unknown.
pub fn may_replay_publish(row: Option<&Publication>) -> bool {
    row.is_none_or(|row| match row.state {
        State::Frozen => true,
        State::Failed => row.publish_id.is_none() && row.final_started.is_none() && row.lost_inits == 0,
        State::Intended | State::Uploading | State::Uploaded | State::Posted | State::NeedsReview => false,
    })
}

/// How a video is to be posted may be changed as long as nothing of it can be at TikTok.
pub fn may_change_options(row: Option<&Publication>) -> bool {
    may_replay_publish(row)
}

/// The write that goes with other options.
pub fn change_options(row: &Publication, expects_post_id: bool) -> Write {
    operators(row, row.state, Publication { expects_post_id, ..row.clone() })
}

/// The write that lets a replayed publication begin anew.
pub fn replay_publish(row: &Publication) -> Option<Write> {
    may_replay_publish(Some(row)).then(|| operators(row, row.state, Publication { failures: 0, ..row.raised() }))
}

/// The write that an operator's word stands for. `PostAgain` also takes a FAILED video.
pub fn resolve(row: &Publication, resolution: &Resolution) -> Result<Write, Unresolvable> {
    let again = *resolution == Resolution::PostAgain && row.state == State::Failed;
    if row.state != State::NeedsReview && !again {
        return Err(Unresolvable::NotInReview);
    }
    let after = match resolution {
        Resolution::There { post_id } => {
            if post_id.is_empty() || !post_id.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Unresolvable::NotAPostId);
            }
            Publication { state: State::Posted, post_ids: vec![post_id.clone()], reason: None, ..row.clone() }
        }
        Resolution::PostAgain => Publication { failures: 0, ..row.raised() },
        Resolution::GiveUp => Publication {
            state: State::Failed,
            reason: Some(Reason::new("given_up", "an operator gave the post up without knowing what became of it")),
            ..row.clone()
        },
    };
    Ok(operators(row, row.state, after))
}

/// How a publication ends whose attempts are used up or which kills its workers: FAILED only where no post can have
/// come of it, which the write makes sure of. `lease` is the one that settles it.
pub fn exhausted(row: &Publication, reason: Reason, lease: LeaseToken) -> (Option<Write>, Outcome) {
    let (state, outcome) = match row.state {
        State::Posted => return (None, Outcome::Done),
        State::Failed => return (None, Outcome::Dead(row.reason.clone().unwrap_or(reason))),
        State::NeedsReview => return (None, Outcome::NeedsReview(row.reason.clone().unwrap_or(reason))),
        State::Frozen | State::Intended | State::Uploading | State::Uploaded if row.final_started.is_none() => {
            (State::Failed, Outcome::Dead(reason.clone()))
        }
        State::Frozen | State::Intended | State::Uploading | State::Uploaded => {
            (State::NeedsReview, Outcome::NeedsReview(reason.clone()))
        }
    };
    let mut needs = vec![Need::StateIs(row.state)];
    if row.final_started.is_none() {
        needs.push(Need::FinalStartedIsNull);
    }
    let guard = Guard { lease: Some(lease), generation: row.generation, needs };
    let after = Publication { state, reason: Some(reason), ..row.clone() };
    (Some(Write { guard, row: after, permits: false }), outcome)
}

/// Nobody holds a lease on what ended; the state that was looked at must still be there.
fn operators(row: &Publication, state: State, after: Publication) -> Write {
    let guard = Guard { lease: None, generation: row.generation, needs: vec![Need::StateIs(state)] };
    Write { guard, row: after, permits: false }
}
