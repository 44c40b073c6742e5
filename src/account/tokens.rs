//! An access token that works, refreshed when it has to be.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{ACCESS, REFRESH, Vault};
use crate::event::LeaseToken;
use crate::ledger::{Account, AccountState, Ledger, LedgerError};
use crate::seal::SealError;
use crate::tiktok::client::Client;
use crate::tiktok::refusal::{Class, Refusal};
use crate::torture::{self, Point};

/// What a refreshed token lives where TikTok does not say: seconds.
const UNKNOWN_LIFE: i64 = 1800;
/// A token that lives at least so long is still worth a call: milliseconds.
const STILL_GOOD: i64 = 5_000;
/// How long one refresh may take before another process may try: a pair that died with its process is missed within a
/// minute.
const REFRESH_LEASE: Duration = Duration::from_secs(45);
/// How long its questions to TikTok may take: well within the lease, since nobody else may ask with the same token.
const REFRESH_TIME: Duration = Duration::from_secs(35);
/// How often a process asks for the refresh of another, and how many times: a few seconds. Who waits holds a slot, and the
/// other may be dead.
const WAIT: Duration = Duration::from_millis(250);
const WAITS: u32 = 20;

/// A token, and which pair it belongs to.
#[derive(Debug, Clone)]
pub struct Access {
    pub token: SecretString,
    pub version: i64,
}

#[derive(Clone)]
pub struct Tokens {
    ledger: Ledger,
    vault: Arc<Vault>,
    client: Client,
}

impl Tokens {
    pub fn new(ledger: Ledger, vault: Arc<Vault>, client: Client) -> Self {
        Self { ledger, vault, client }
    }

    /// A token for this account, newer than the version that TikTok has just refused, if one was.
    pub async fn access(&self, account: &str, refused: Option<i64>) -> Result<Access, Refusal> {
        for _ in 0..WAITS {
            let found = self.load(account).await?;
            let now = self.ledger.now().await.map_err(unavailable)?;
            let is_due = now >= found.tokens.refresh_at;
            let is_refused = refused.is_some_and(|version| found.token_version <= version);
            if !is_due && !is_refused {
                return self.open(&found);
            }
            match self.refresh_apart(&found, now).await? {
                Refreshed::Here(access) => return Ok(access),
                // What is still good may be used while a refresh fails.
                Refreshed::Failed(_) if !is_refused && found.tokens.access_expires_at > now + STILL_GOOD => {
                    return self.open(&found);
                }
                Refreshed::Failed(refusal) => return Err(refusal),
                Refreshed::Elsewhere => tokio::time::sleep(WAIT).await,
            }
        }
        Err(Refusal::not_sent("another process is refreshing the account's token"))
    }

    async fn load(&self, account: &str) -> Result<Account, Refusal> {
        let found = self.ledger.account(account).await.map_err(unavailable)?;
        let found = found.ok_or_else(|| {
            Refusal::ours(Class::PermanentForVideo, "account_removed", "the account was removed; upload to another one")
        })?;
        match found.state {
            AccountState::Active => Ok(found),
            AccountState::Reconnect => {
                let why = found.state_reason.as_deref().unwrap_or("TikTok no longer takes its tokens");
                Err(reconnect(format!("the account must be connected again: {why}")))
            }
        }
    }

    fn open(&self, account: &Account) -> Result<Access, Refusal> {
        let token = self.vault.open(ACCESS, &account.id, &account.tokens.access).map_err(unopened)?;
        Ok(Access { token, version: account.token_version })
    }

    /// In a task of its own: who asked may go away (its lease is lost, its process stops) between TikTok's answer and the
    /// commit, and the pair must not go with it.
    async fn refresh_apart(&self, account: &Account, now: i64) -> Result<Refreshed, Refusal> {
        let (tokens, account) = (self.clone(), account.clone());
        let task = tokio::spawn(async move { tokens.refresh(&account, now).await });
        task.await.unwrap_or_else(|error| Err(Refusal::not_sent(format!("the refresh came to no end: {error}"))))
    }

    /// One at a time over the whole fleet.
    async fn refresh(&self, account: &Account, now: i64) -> Result<Refreshed, Refusal> {
        let lease = LeaseToken::new();
        let taken = async {
            let tx = self.ledger.begin().await?;
            let until = now + i64::try_from(torture::scaled(REFRESH_LEASE).as_millis()).unwrap_or(0);
            let taken = tx.lease_refresh(&account.id, account.token_version, lease, until).await?;
            tx.commit().await?;
            Ok::<_, LedgerError>(taken)
        };
        if !taken.await.map_err(unavailable)? {
            return Ok(Refreshed::Elsewhere);
        }
        let refresh = self.vault.open(REFRESH, &account.id, &account.tokens.refresh).map_err(unopened)?;
        torture::soon(Point::PublishRefreshSent);
        let asked = tokio::time::timeout(REFRESH_TIME, async {
            match self.client.refresh(&refresh).await {
                // The answer was lost. The same token once more: if TikTok has used it up, the pair is lost for good.
                Err(refusal) if refusal.class == Class::OutcomeUnknown => self.client.refresh(&refresh).await,
                answer => answer,
            }
        });
        let slow = || Err(Refusal::answer_lost("TikTok did not answer a refresh in time"));
        match asked.await.unwrap_or_else(|_| slow()) {
            Ok(answered) => self.store(account, lease, &refresh, answered.value).await,
            Err(refusal) if refusal.class == Class::NeedsReconnect => {
                self.lost(account, &refusal).await;
                Err(refusal)
            }
            Err(refusal) => {
                self.give_up(account, lease).await;
                Ok(Refreshed::Failed(no_outcome(refusal)))
            }
        }
    }

    /// Committed before its first use. The used refresh token is dead, so this is tried until it is written.
    async fn store(
        &self,
        account: &Account,
        lease: LeaseToken,
        used: &SecretString,
        fresh: crate::tiktok::wire::Tokens,
    ) -> Result<Refreshed, Refusal> {
        if fresh.open_id != account.open_id && !fresh.open_id.is_empty() {
            let text = "TikTok answered a refresh with another creator's tokens; connect the account again";
            self.lost(account, &reconnect(text)).await;
            return Err(reconnect(text));
        }
        // Never overwritten with something empty.
        let refresh = fresh.refresh_token.as_ref().filter(|token| !token.expose_secret().is_empty()).unwrap_or(used);
        let sealed = |purpose, secret: &SecretString| {
            self.vault
                .seal(purpose, &account.id, secret.expose_secret())
                .map_err(|error| Refusal::not_sent(error.to_string()))
        };
        let (access, refresh) = (sealed(ACCESS, &fresh.access_token)?, sealed(REFRESH, refresh)?);
        let mut pause = Duration::from_millis(50);
        for _ in 0..8 {
            let stored = async {
                let tx = self.ledger.begin().await?;
                let lives = (Some(fresh.expires_in.unwrap_or(UNKNOWN_LIFE)), fresh.refresh_expires_in);
                let pair = super::pair(tx.now(), access.clone(), refresh.clone(), lives);
                tx.put_tokens(&account.id, account.token_version, lease, &pair).await?;
                tx.commit().await
            };
            match stored.await {
                Ok(()) => {
                    torture::at(Point::PublishRefreshStored);
                    tracing::info!(account.id = account.id, "the account's tokens were refreshed");
                    let access = Access { token: fresh.access_token, version: account.token_version + 1 };
                    return Ok(Refreshed::Here(access));
                }
                // Connected anew meanwhile: that pair is the newer one.
                Err(LedgerError::Conflict) => return Ok(Refreshed::Elsewhere),
                Err(error) => {
                    tracing::error!(account.id = account.id, %error, "refreshed tokens could not be stored; tried again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        Err(Refusal::not_sent("the refreshed tokens could not be stored"))
    }

    /// The pair is gone for good: its posts wait, and the person is told.
    async fn lost(&self, account: &Account, refusal: &Refusal) {
        let marked = async {
            let tx = self.ledger.begin().await?;
            tx.needs_reconnect(&account.id, account.token_version, &refusal.text).await?;
            tx.commit().await
        };
        match marked.await {
            Ok(()) => {
                tracing::warn!(account.id = account.id, why = refusal.text, "the account must be connected again")
            }
            Err(error) => tracing::error!(account.id = account.id, %error, "a lost pair of tokens could not be noted"),
        }
    }

    async fn give_up(&self, account: &Account, lease: LeaseToken) {
        let given = async {
            let tx = self.ledger.begin().await?;
            tx.release_refresh(&account.id, lease).await?;
            tx.commit().await
        };
        if let Err(error) = given.await {
            tracing::warn!(account.id = account.id, %error, "the lease of a refresh could not be given back; it runs out");
        }
    }
}

enum Refreshed {
    Here(Access),
    /// Somebody else is at it, or was.
    Elsewhere,
    Failed(Refusal),
}

/// What TikTok says of the app or of our request at a refresh says nothing of the video that happened to need it: the
/// video waits, and shows why.
fn no_outcome(refusal: Refusal) -> Refusal {
    match refusal.class {
        Class::Transient | Class::Throttled { .. } | Class::NeedsReconnect => refusal,
        Class::TokenExpired
        | Class::NeedsChange
        | Class::PermanentForVideo
        | Class::PermanentForAccount
        | Class::Bug
        | Class::OutcomeUnknown => Refusal { class: Class::Transient, ..refusal },
    }
}

fn reconnect(text: impl Into<String>) -> Refusal {
    Refusal::ours(Class::NeedsReconnect, "reconnect", text)
}

/// A key that is missing is a fault of this process: others may have it, and no creator has to do anything.
fn unopened(error: SealError) -> Refusal {
    match error {
        SealError::UnknownKey(_) => Refusal::not_sent(format!(
            "the account's token can't be opened here: {error}; add that key and start again"
        )),
        SealError::Malformed | SealError::Refused => {
            reconnect(format!("its token can't be opened ({error}); connect it again"))
        }
    }
}

fn unavailable(error: LedgerError) -> Refusal {
    Refusal::not_sent(error.to_string())
}
