//! How an account stands: whether it can post, from when on, and how much it posted.

use std::collections::HashMap;

use super::AppState;
use crate::event::Stage;
use crate::ledger::{Account, AccountState, LedgerError, Pause};
use crate::limit::{self, Ask, Key, Verdict};

const DAY: i64 = 24 * 3600 * 1000;

/// As it is shown: what the ledger keeps, and a limit that TikTok or a person has closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: &'static str,
    pub(super) why: Option<String>,
    pub(super) closed_until: Option<i64>,
    /// None: nobody knows; a person has to do something first.
    pub(super) next_post_at: Option<i64>,
    pub(super) posts_last_day: i64,
    /// The account's own, not its stage's.
    pub(super) paused: Option<Pause>,
}

/// What they have in common, asked once.
pub(super) struct Look<'s> {
    state: &'s AppState,
    now: i64,
    posts: HashMap<String, i64>,
    pauses: Vec<Pause>,
}

impl<'s> Look<'s> {
    pub(super) async fn begin(state: &'s AppState) -> Result<Self, LedgerError> {
        let now = state.ledger.now().await?;
        let posts = state.ledger.posts_since(now - DAY).await?;
        Ok(Self { state, now, posts, pauses: state.ledger.pauses().await? })
    }

    pub(super) async fn at(&self, account: &Account) -> Result<Standing, LedgerError> {
        let own = Pause::name_of_account(&account.id);
        let holding = self.pauses.iter().filter(|pause| pause.holds_at(self.now));
        let mut standing = Standing {
            state: account.state.as_str(),
            why: account.state_reason.clone(),
            closed_until: None,
            next_post_at: Some(self.now),
            posts_last_day: self.posts.get(&account.open_id).copied().unwrap_or(0),
            paused: holding.clone().find(|pause| pause.name == own).cloned(),
        };
        if account.state == AccountState::Reconnect {
            standing.next_post_at = None;
            return Ok(standing);
        }
        let config = self.state.stages.of(Stage::Publish);
        let asks = [
            Ask { key: Key::Publish, rate: config.limit },
            Ask { key: Key::Creator(account.open_id.clone()), rate: config.limit_per_account },
        ];
        if let Verdict::Closed { until, reason } = limit::look(&self.state.ledger, self.now, &asks).await? {
            standing.next_post_at = Some(until);
            // What is merely used up is no closing.
            if !["account_limit", "stage_limit"].contains(&reason.code.as_str()) {
                standing.state = "CLOSED_UNTIL";
                standing.closed_until = Some(until);
                standing.why = Some(reason.text);
            }
        }
        let stage = Pause::name_of_stage(Stage::Publish);
        for pause in holding.filter(|pause| pause.name == stage || pause.name == own) {
            standing.next_post_at = standing.next_post_at.zip(pause.until).map(|(next, until)| next.max(until));
        }
        Ok(standing)
    }
}
