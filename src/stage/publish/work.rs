//! The two stages that drive the protocol: *publish* sends, *confirm* asks.

use super::driver::{Ended, Publisher};
use super::record;
use super::step::Role;
use crate::event::{Stage, TaskId};
use crate::ledger::{AccountState, Ledger, LedgerError, Released, Session, TaskRow, Tx};
use crate::limit::{self, Ask};
use crate::outcome::{Outcome, Reason};
use crate::stage::{Admission, Lease, Run, Work, store};

/// When a limit is looked at again that others are about to use up.
const SOON: i64 = 200;

/// How long a post waits before it looks again whether its account is connected.
const RECONNECT_PAUSE: i64 = 60_000;

pub struct Publish(pub Publisher);
pub struct Confirm(pub Publisher);

impl Work for Publish {
    type Made = Ended;
    const STAGE: Stage = Stage::Publish;

    async fn look(&self, ledger: &Ledger) -> Result<Admission, LedgerError> {
        if let closed @ Admission::Closed { .. } = store::look(&self.0.media, ledger).await? {
            return Ok(closed);
        }
        let now = ledger.now().await?;
        let ask = Ask { key: limit::Key::Publish, rate: self.0.config.limit };
        match limit::look(ledger, now, std::slice::from_ref(&ask)).await? {
            limit::Verdict::Open => spoken_for(ledger, now, &ask, None).await,
            closed @ limit::Verdict::Closed { .. } => Ok(closed.into()),
        }
    }

    fn limit(&self) -> Option<Ask> {
        self.0.config.limit.map(|rate| Ask { key: limit::Key::Publish, rate: Some(rate) })
    }

    /// Takes nothing: the permits are taken with the intent. What resumes needs none.
    async fn admit(&self, tx: &Tx, task: &TaskRow) -> Result<Admission, LedgerError> {
        let resumes =
            record::load(tx, task.task.video).await?.is_some_and(|seen| seen.publication.publish_id.is_some());
        if resumes {
            return Ok(Admission::Open);
        }
        if let Some(account) = tx.account(&task.account).await?
            && account.state == AccountState::Reconnect
        {
            let text = account.state_reason.unwrap_or_else(|| "the account must be connected again".to_owned());
            return Ok(Admission::Closed { until: tx.now() + RECONNECT_PAUSE, reason: Reason::new("reconnect", text) });
        }
        match limit::look(tx, tx.now(), &self.0.asks(task)).await? {
            limit::Verdict::Open => {
                let ask = Ask { key: limit::Key::Publish, rate: self.0.config.limit };
                spoken_for(tx, tx.now(), &ask, Some(task.task.id)).await
            }
            closed @ limit::Verdict::Closed { .. } => Ok(closed.into()),
        }
    }

    async fn run(&self, lease: &Lease) -> Run<Ended> {
        self.0.drive(lease, Role::Publish).await
    }

    async fn settle(
        &self,
        tx: &Tx,
        task: &TaskRow,
        outcome: &Outcome,
        made: Option<Ended>,
    ) -> Result<Vec<Released>, LedgerError> {
        self.0.settle_end(tx, task, outcome, made).await
    }

    async fn last(&self, tx: &Tx, task: &TaskRow, reason: Reason) -> Result<Outcome, LedgerError> {
        self.0.exhaust(tx, task, reason).await
    }
}

/// Posts that run and have not taken their permit yet will take those that are open: who comes after them would find
/// none, and have been read and parked for nothing.
async fn spoken_for(session: &Session, now: i64, ask: &Ask, task: Option<TaskId>) -> Result<Admission, LedgerError> {
    let Some(open) = limit::open(session, now, ask).await? else { return Ok(Admission::Open) };
    let coming = session.about_to_ask(Stage::Publish, now, task).await?;
    if usize::try_from(coming).unwrap_or(usize::MAX) < open {
        return Ok(Admission::Open);
    }
    let reason = Reason::new(limit::STAGE_LIMIT, "the posts that are being begun take what the publish limit leaves");
    Ok(Admission::Closed { until: now + SOON, reason })
}

impl Work for Confirm {
    type Made = Ended;
    const STAGE: Stage = Stage::Confirm;

    async fn look(&self, _: &Ledger) -> Result<Admission, LedgerError> {
        Ok(Admission::Open)
    }

    async fn admit(&self, _: &Tx, _: &TaskRow) -> Result<Admission, LedgerError> {
        Ok(Admission::Open)
    }

    async fn run(&self, lease: &Lease) -> Run<Ended> {
        self.0.drive(lease, Role::Confirm).await
    }

    async fn settle(
        &self,
        tx: &Tx,
        task: &TaskRow,
        outcome: &Outcome,
        made: Option<Ended>,
    ) -> Result<Vec<Released>, LedgerError> {
        self.0.settle_end(tx, task, outcome, made).await
    }

    async fn last(&self, tx: &Tx, task: &TaskRow, reason: Reason) -> Result<Outcome, LedgerError> {
        self.0.exhaust(tx, task, reason).await
    }
}
