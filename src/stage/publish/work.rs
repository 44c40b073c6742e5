//! The two stages that drive the protocol: *publish* sends, *confirm* asks.

use super::driver::{Ended, Publisher};
use super::record;
use super::step::Role;
use crate::event::Stage;
use crate::ledger::{AccountState, Ledger, LedgerError, Released, TaskRow, Tx};
use crate::limit::{self, Ask};
use crate::outcome::{Outcome, Reason};
use crate::stage::{Admission, Lease, Run, Work, store};

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
        let ask = Ask { key: limit::Key::Publish, rate: self.0.config.limit };
        Ok(limit::look(ledger, ledger.now().await?, &[ask]).await?.into())
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
        Ok(limit::look(tx, tx.now(), &self.0.asks(task)).await?.into())
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
