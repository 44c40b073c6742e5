//! Trying a video again that failed or was canceled.

use serde_json::json;

use super::Refused;
use super::turn::{Again, Turn};
use crate::event::VideoId;
use crate::ledger::Ledger;
use crate::relay::Dispatch;
use crate::torture::{self, Point};

/// Goes on at the stage that did not end well. Refused where a post may have come of it: that is `resolve`'s.
pub async fn retry(ledger: &Ledger, dispatch: &Dispatch, id: VideoId) -> Result<(), Refused> {
    let tx = ledger.begin().await?;
    let turn = Turn::of(&tx, id, Again::WhereItEnded).await?;
    turn.write(&tx, "tried again", json!({})).await?;
    let released = dispatch.release(&tx, turn.again.stage).await?;
    tx.commit().await?;
    torture::at(Point::ControlRetry);
    dispatch.append(&released).await;
    Ok(())
}
