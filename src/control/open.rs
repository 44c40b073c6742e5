//! Opening early what TikTok has closed: an account, or the app.

use crate::event::Stage;
use crate::ledger::{Account, Ledger, LedgerError, TaskRow, Tx};
use crate::limit::{self, Key};
use crate::outcome::Reason;

/// Tasks that are parked for the app's closing are those that were out on the stream then: far fewer.
const MOST: i64 = 1000;

/// Opens an account, and makes its parked posts due. Our own limits hold, and so does a closing of the whole app. Why it
/// was closed; None: it was not.
pub async fn open_account(ledger: &Ledger, account: &Account) -> Result<Option<Reason>, LedgerError> {
    let tx = ledger.begin().await?;
    for row in tx.waiting_at_tiktok(&account.id).await? {
        // What has no reason is scheduled.
        if row.task.stage == Stage::Publish && row.task.wait.is_some() {
            hasten(&tx, &row).await?;
        }
    }
    let closed = limit::open_early(&tx, &Key::Creator(account.open_id.clone())).await?;
    tx.commit().await?;
    Ok(closed)
}

/// The keys that close posting for all accounts, or for all that have not posted within the day.
pub const OF_THE_APP: [Key; 2] = [Key::Publish, Key::Newcomers];

/// Opens what is closed for the whole app, and makes due what was parked for it. Why each was closed.
pub async fn open_app(ledger: &Ledger) -> Result<Vec<Reason>, LedgerError> {
    let tx = ledger.begin().await?;
    let closed = limit::closings(&tx, tx.now(), &OF_THE_APP).await?;
    for (_, _, reason) in &closed {
        for row in tx.parked_for(Stage::Publish, &reason.code, tx.now(), MOST).await? {
            hasten(&tx, &row).await?;
        }
    }
    for key in &OF_THE_APP {
        limit::open_early(&tx, key).await?;
    }
    tx.commit().await?;
    Ok(closed.into_iter().map(|(_, _, reason)| reason).collect())
}

async fn hasten(tx: &Tx, row: &TaskRow) -> Result<(), LedgerError> {
    match row.task.hasten(tx.now()) {
        Ok(due) => tx.put_task(&row.task, &due).await,
        Err(_) => Ok(()),
    }
}
