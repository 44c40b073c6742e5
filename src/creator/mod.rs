//! Creators: who TikTok says they are, and how they may post.
//!
//! The data: TikTok's creator info, kept in the ledger with its time, one row a creator ([`KnownCreator`]), and what a video
//! asks for ([`PostOptions`]). [`fits`] holds the one against the other. An upload that doesn't fit what is known and
//! recent is refused; where nothing recent is known, the publish stage finds out just before init and holds the video:
//! it waits for a person, without an attempt and without a place on the stream. It goes on when its options are changed,
//! or when TikTok says something new of its creator that it fits.
//!
//! TikTok lets an app ask 20 times a minute for each token. Publishing asks before each init; pages share what is known
//! and ask at most once in `ASK_EVERY`.

mod fit;
mod options;
mod picture;

pub use fit::{Allowed, LONGEST_TITLE, Misfit, fits, length};
pub use options::{PostOptions, Privacy};
pub use picture::{NoPicture, Picture};

use std::time::Duration;

use crate::account::Tokens;
use crate::ledger::{Account, KnownCreator, Ledger, LedgerError, Session, Tx, Video};
use crate::tiktok::client::Client;
use crate::tiktok::refusal::{Class, Refusal};
use crate::tiktok::wire::CreatorInfo;

/// What is younger is good enough for a page, milliseconds.
const FRESH: i64 = 30_000;
/// What is younger decides over an upload, milliseconds.
const RECENT: i64 = 10 * 60_000;
/// Between two questions of all pages about one creator, milliseconds.
const ASK_EVERY: i64 = 10_000;
/// How often, and how many times, a page looks for the answer that another one is getting.
const WAIT: Duration = Duration::from_millis(250);
const WAITS: u32 = 12;
/// Held videos that are looked at when TikTok says something new.
const AT_ONCE: i64 = 1000;

/// What is known of a creator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub info: CreatorInfo,
    /// Milliseconds on the ledger's clock.
    pub at: i64,
}

impl Known {
    fn read(row: KnownCreator) -> Option<Self> {
        // A row of another version's is none.
        Some(Self { info: serde_json::from_value(row.info).ok()?, at: row.at })
    }
}

/// What TikTok last said of this creator, however old.
pub async fn known(session: &Session, open_id: &str) -> Result<Option<Known>, LedgerError> {
    Ok(session.creator(open_id).await?.and_then(Known::read))
}

/// The same, if it is young enough to refuse something for it.
pub async fn recent(session: &Session, open_id: &str, now: i64) -> Result<Option<CreatorInfo>, LedgerError> {
    Ok(known(session, open_id).await?.filter(|known| now - known.at < RECENT).map(|known| known.info))
}

/// Keeps what TikTok has just said. Where it is something new, those held videos go on that fit it.
pub async fn learn(tx: &Tx, account: &str, open_id: &str, info: &CreatorInfo) -> Result<(), LedgerError> {
    let text = |text: &str| (!text.is_empty()).then(|| text.replace('\0', ""));
    let (username, avatar) = (text(&info.creator_username), text(&info.creator_avatar_url));
    tx.put_profile(account, username.as_deref(), avatar.as_deref()).await?;
    let before = known(tx, open_id).await?.map(|known| Allowed::from(&known.info));
    tx.put_creator(open_id, &serde_json::to_value(info).unwrap_or_default()).await?;
    if before == Some(Allowed::from(info)) {
        return Ok(());
    }
    for row in tx.held(open_id, AT_ONCE).await? {
        let Some(video) = tx.video(row.task.video).await? else { continue };
        if fits(&PostOptions::of(&video), &video.title, length(&video.probe), info).is_ok()
            && let Ok(awake) = row.task.wake(tx.now())
        {
            tx.put_task(&row.task, &awake).await?;
        }
    }
    Ok(())
}

/// Asks TikTok for whoever looks at a page. Cheap to clone.
#[derive(Clone)]
pub struct Creators {
    ledger: Ledger,
    tokens: Tokens,
    client: Client,
}

impl Creators {
    pub fn new(ledger: Ledger, tokens: Tokens, client: Client) -> Self {
        Self { ledger, tokens, client }
    }

    /// What TikTok says of the account's creator now.
    pub async fn fresh(&self, account: &Account) -> Result<Known, Refusal> {
        for _ in 0..WAITS {
            let now = self.ledger.now().await.map_err(unavailable)?;
            let known = known(&self.ledger, &account.open_id).await.map_err(unavailable)?;
            if let Some(known) = known.filter(|known| now - known.at < FRESH) {
                return Ok(known);
            }
            let tx = self.ledger.begin().await.map_err(unavailable)?;
            let mine = tx.claim_creator(&account.open_id, tx.now() - ASK_EVERY).await.map_err(unavailable)?;
            tx.commit().await.map_err(unavailable)?;
            if mine {
                return self.ask(account).await;
            }
            tokio::time::sleep(WAIT).await;
        }
        Err(Refusal::not_sent("TikTok was asked a moment ago and gave no answer; try again in ten seconds"))
    }

    async fn ask(&self, account: &Account) -> Result<Known, Refusal> {
        let access = self.tokens.access(&account.id, None).await?;
        let answered = match self.client.creator_info(&access.token).await {
            Err(refusal) if refusal.class == Class::TokenExpired => {
                let fresh = self.tokens.access(&account.id, Some(access.version)).await?;
                self.client.creator_info(&fresh.token).await?
            }
            answered => answered?,
        };
        let learnt = async {
            let tx = self.ledger.begin().await?;
            learn(&tx, &account.id, &account.open_id, &answered.value).await?;
            let at = tx.now();
            tx.commit().await?;
            Ok::<_, LedgerError>(at)
        };
        Ok(Known { at: learnt.await.map_err(unavailable)?, info: answered.value })
    }
}

impl PostOptions {
    pub fn of(video: &Video) -> Self {
        serde_json::from_value(video.options.clone()).unwrap_or_default()
    }
}

fn unavailable(error: LedgerError) -> Refusal {
    Refusal::not_sent(error.to_string())
}
