//! What becomes of TikTok's webhooks.
//!
//! A webhook is stored when its signature holds, and answered; a loop makes something of it. None is believed: news of a
//! post makes us ask its status soon, by the publish protocol, and a removed authorization makes us refresh the account's
//! tokens, which TikTok refuses if it is true. News that comes before the publish id is on record waits for it. All of
//! it can be delivered twice, late or in another order.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::access;
use crate::account::Tokens;
use crate::event::Stage;
use crate::health::Health;
use crate::ledger::{AccountState, Ledger, LedgerError, NewWebhook, Status, TaskRow, Tx, Webhook};
use crate::task::State;
use crate::tiktok::refusal::Class;
use crate::tiktok::webhook::{Notice, Topic};

/// How long a webhook is kept: longer than TikTok delivers one again, which is 72 hours.
const KEPT: i64 = 7 * 24 * 3600 * 1000;
/// How long one waits for its post to come on record, or for TikTok to answer.
const PATIENCE: i64 = 24 * 3600 * 1000;
/// How long one is in hand, at most.
const IN_HAND: i64 = 120 * 1000;
/// Between two looks: longer, the longer it waits.
const SHORTEST: i64 = 1000;
const LONGEST: i64 = 10 * 60 * 1000;
const AT_ONCE: i64 = 50;
const PUBLIC: &str = "post.publish.publicly_available";
/// In TikTok's spelling, and in the dictionary's.
const NOT_PUBLIC: [&str; 2] =
    ["post.publish.no_longer_publicaly_available", "post.publish.no_longer_publicly_available"];

/// Stores a webhook whose signature held. The same one again changes nothing.
pub async fn keep(ledger: &Ledger, body: &[u8], notice: Notice) -> Result<(), LedgerError> {
    let text = String::from_utf8_lossy(body).replace('\0', "");
    let topic = notice.topic();
    let new = NewWebhook {
        id: access::hash(&text),
        event: notice.event,
        open_id: notice.open_id,
        publish_id: notice.publish_id,
        body: text,
        happened_at: notice.happened_at,
    };
    let tx = ledger.begin().await?;
    let due = (topic != Topic::Other).then(|| tx.now());
    if tx.insert_webhook(&new, due).await? {
        tracing::info!(event = new.event, publish_id = new.publish_id, "TikTok sent a webhook");
    }
    tx.commit().await
}

/// The loop that makes something of what is stored.
#[derive(Clone)]
pub struct Webhooks {
    pub ledger: Ledger,
    pub tokens: Tokens,
}

/// What was made of one.
enum Made {
    /// Nothing is left to do, for this reason.
    Settled(&'static str),
    /// Not yet.
    Later(&'static str),
}

impl Webhooks {
    /// Every second, until the stop. Asks the ledger only, while nothing is due.
    pub async fn run(self, health: Health, stop: CancellationToken) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turns = 0u32;
        let this = Arc::new(self);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => return,
            }
            health.beat("webhooks");
            if let Err(error) = this.round(turns.is_multiple_of(600)).await {
                error.tell("webhooks could not be looked at; tried again");
            }
            turns = turns.wrapping_add(1);
        }
    }

    async fn round(&self, forget: bool) -> Result<(), LedgerError> {
        let now = self.ledger.now().await?;
        if forget {
            let tx = self.ledger.begin().await?;
            tx.forget_webhooks(now - KEPT).await?;
            tx.commit().await?;
        }
        for webhook in self.ledger.due_webhooks(now, AT_ONCE).await? {
            self.look_at(&webhook).await?;
        }
        Ok(())
    }

    async fn look_at(&self, webhook: &Webhook) -> Result<(), LedgerError> {
        let tx = self.ledger.begin().await?;
        let claimed = tx.claim_webhook(webhook, tx.now() + IN_HAND).await?;
        tx.commit().await?;
        if !claimed {
            return Ok(());
        }
        let made = match Topic::of(&webhook.event) {
            Topic::Post => self.post(webhook).await,
            Topic::AuthorizationRemoved => self.authorization_removed(webhook).await,
            Topic::Other => Ok(Made::Settled("kept")),
        };
        let tx = self.ledger.begin().await?;
        let age = tx.now() - webhook.received_at;
        let (due, outcome) = match made {
            Ok(Made::Settled(outcome)) => (None, outcome),
            Ok(Made::Later(outcome)) if age > PATIENCE => (None, outcome),
            Ok(Made::Later(outcome)) => (Some(tx.now() + (age / 10).clamp(SHORTEST, LONGEST)), outcome),
            // Somebody else wrote the same row.
            Err(LedgerError::Conflict) => (Some(tx.now() + SHORTEST), "changed meanwhile"),
            Err(error) => return Err(error),
        };
        tx.settle_webhook(&webhook.id, due, outcome).await?;
        tx.commit().await
    }

    /// News of a post: its status is asked now, and what that says is what counts.
    async fn post(&self, webhook: &Webhook) -> Result<Made, LedgerError> {
        let Some(publish_id) = &webhook.publish_id else { return Ok(Made::Settled("names no post")) };
        let tx = self.ledger.begin().await?;
        let Some(row) = tx.confirming(publish_id).await? else {
            return Ok(Made::Later("its post is not on record yet"));
        };
        if webhook.open_id.as_ref().is_some_and(|open_id| *open_id != row.creator) {
            return Ok(Made::Settled("names another creator than the post's"));
        }
        match row.task.state {
            State::Running | State::Queued => return Ok(Made::Later("its status is being asked")),
            State::Done => {
                let posted = tx.video(row.task.video).await?.is_some_and(|video| video.status == Status::Posted);
                return self.after_the_end(tx, webhook, &row, posted).await;
            }
            State::Dead | State::Review | State::Canceled => return Ok(Made::Settled("known already")),
            State::Waiting => {}
        }
        if let Ok(now) = row.task.hasten(tx.now()) {
            tx.put_task(&row.task, &now).await?;
        }
        tx.note(row.task.video, Some(Stage::Confirm), "webhook", json!({ "event": webhook.event })).await?;
        tx.commit().await?;
        Ok(Made::Settled("its status is asked"))
    }

    /// A post that is out may become public days later, or be taken from the public: the one is asked about again, the other
    /// is noted, since there is nothing to do about it.
    async fn after_the_end(&self, tx: Tx, webhook: &Webhook, row: &TaskRow, posted: bool) -> Result<Made, LedgerError> {
        let made = match (Topic::of(&webhook.event), webhook.event.as_str()) {
            (Topic::Post, PUBLIC) if posted => {
                if let Ok(again) = row.task.replay(tx.now()) {
                    tx.put_task(&row.task, &again).await?;
                }
                "its status is asked"
            }
            (Topic::Post, event) if posted && NOT_PUBLIC.contains(&event) => "noted",
            _ => return Ok(Made::Settled("known already")),
        };
        tx.note(row.task.video, Some(Stage::Confirm), "webhook", json!({ "event": webhook.event })).await?;
        tx.commit().await?;
        Ok(Made::Settled(made))
    }

    /// A refresh tells: TikTok refuses it if the authorization is gone, and the account then needs its person. What was
    /// connected again since is another authorization, and a pair that TikTok still takes is none that was removed.
    async fn authorization_removed(&self, webhook: &Webhook) -> Result<Made, LedgerError> {
        let Some(open_id) = &webhook.open_id else { return Ok(Made::Settled("names no account")) };
        let mut made = Made::Settled("no such account is active");
        for account in self.ledger.accounts_of_creator(open_id).await? {
            if account.removed_at.is_some() || account.state != AccountState::Active {
                continue;
            }
            match self.tokens.access(&account.id, Some(account.token_version)).await {
                Ok(_) => made = Made::Settled("TikTok still takes the account's tokens"),
                Err(refusal) if refusal.class == Class::NeedsReconnect => {
                    made = Made::Settled("the account needs its person");
                }
                Err(_) => return Ok(Made::Later("TikTok did not say whether it is so")),
            }
        }
        Ok(made)
    }
}
