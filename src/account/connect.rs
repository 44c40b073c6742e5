//! Connecting an account: a person goes to TikTok, agrees, and comes back with a code.
//!
//! What begins is bound to who began it: the person's key and, for a browser, a cookie that only that browser has. So
//! nobody can be led to give their TikTok account to somebody else's user. The `state` is good once and for ten minutes,
//! and stands in the ledger, so any process can take the answer. Connecting a creator again keeps the account, its
//! videos and its limits, and its posts that waited for it go on.

use std::sync::Arc;

use secrecy::ExposeSecret;
use url::Url;

use super::{AddError, NewTokens, Revoked, Tokens, VERIFIER, Vault, add};
use crate::access;
use crate::ledger::{Account, AccountState, ApiKey, Connecting, Ledger, LedgerError, NewConnecting, Tx};
use crate::seal::SealError;
use crate::tiktok::client::Client;
use crate::tiktok::oauth::{SCOPES, Verifier, authorize_url};
use crate::tiktok::refusal::{Class, Refusal};
use crate::tiktok::wire;

/// How long a person may take at TikTok's page.
pub const LIFE_MS: i64 = 10 * 60 * 1000;
/// Until TikTok has said how the creator calls themselves.
const NAMELESS: &str = "TikTok account";

/// The way to TikTok's login and back. Cheap to clone.
#[derive(Clone)]
pub struct Connect {
    ledger: Ledger,
    vault: Arc<Vault>,
    client: Client,
}

/// Where the answer goes to.
#[derive(Debug, Clone)]
pub struct Way<'a> {
    pub redirect_uri: &'a str,
    /// A browser comes back, which is to have a cookie of ours.
    pub browser: bool,
    /// The account that is connected again, and no other.
    pub account: Option<&'a str>,
}

#[derive(Debug)]
pub struct Begun {
    /// TikTok's page.
    pub url: Url,
    /// The cookie's value.
    pub browser: Option<String>,
    pub expires_at: i64,
}

/// What TikTok sent the person back with.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub state: Option<String>,
    pub code: Option<String>,
    /// What was granted, where the token's answer does not say it.
    pub scopes: Option<String>,
    pub error: Option<String>,
    pub error_description: Option<String>,
}

/// Who brings the answer.
#[derive(Debug, Clone, Default)]
pub struct Bearer {
    /// Whose key or session came with it.
    pub user: Option<String>,
    /// The cookie's value.
    pub browser: Option<String>,
}

/// Why nothing was connected, in words for the person who tried.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("TikTok's answer belongs to no login that was begun here; connect the account again")]
    Unknown,
    #[error("this login is finished already; look at your accounts, and connect again if yours is missing")]
    Used,
    #[error("the login took longer than ten minutes, so nothing has changed; connect the account again")]
    Expired,
    #[error("this login was begun by somebody else or in another browser; begin and finish it in this one")]
    Foreign,
    #[error(
        "you did not agree at TikTok, or cancelled the login there, so nothing has changed: no account was connected, and \
         those that were connected still are; connect again whenever you like"
    )]
    Denied,
    #[error("TikTok did not connect the account, so nothing has changed; it said: {0}; connect it again")]
    Refused(String),
    #[error("TikTok sent no code with its answer; connect the account again")]
    NoCode,
    #[error("the login at TikTok was too old or used already; connect the account again")]
    CodeDead,
    #[error("TikTok can't be reached or is in trouble; connect the account again in a few minutes")]
    Away,
    #[error("TikTok does not accept this server's app, which whoever runs it has to mend: {0}")]
    App(String),
    #[error(
        "you did not allow everything that posting needs (missing: {0}); connect again and leave all of it switched on"
    )]
    Scopes(String),
    #[error("you signed in at TikTok as another creator than this account's; connect again as that one")]
    OtherCreator,
    #[error(
        "this TikTok account is connected here by another user; it has to be removed there before you can connect it"
    )]
    Taken,
    #[error("the tokens can't be sealed: {0}")]
    Seal(#[from] SealError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the login came to no end on our side; connect the account again")]
    Broken,
}

impl ConnectError {
    /// For programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "login_unknown",
            Self::Used => "login_used",
            Self::Expired => "login_expired",
            Self::Foreign => "login_of_another",
            Self::Denied => "access_denied",
            Self::Refused(_) => "tiktok_refused",
            Self::NoCode => "code_missing",
            Self::CodeDead => "code_expired",
            Self::Away => "tiktok_unavailable",
            Self::App(_) => "tiktok_app",
            Self::Scopes(_) => "scope_missing",
            Self::OtherCreator => "other_creator",
            Self::Taken => "account_of_another",
            Self::Seal(_) | Self::Ledger(_) | Self::Broken => "internal",
        }
    }
}

impl Connect {
    pub fn new(ledger: Ledger, vault: Arc<Vault>, client: Client) -> Self {
        Self { ledger, vault, client }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.ledger.clone(), self.vault.clone(), self.client.clone())
    }

    /// Signs TikTok's webhooks, too.
    pub fn client_secret(&self) -> &str {
        self.client.config().client_secret.expose_secret()
    }

    pub async fn begin(&self, key: &ApiKey, way: &Way<'_>) -> Result<Begun, ConnectError> {
        let (state, verifier) = (access::random(), Verifier::new());
        let hash = access::hash(&state);
        let browser = way.browser.then(access::random);
        let sealed = self.vault.seal(VERIFIER, &hash, verifier.expose())?;
        let tx = self.ledger.begin().await?;
        let expires_at = tx.now() + LIFE_MS;
        tx.insert_connecting(&NewConnecting {
            state: &hash,
            key_id: &key.id,
            browser: browser.as_deref().map(access::hash).as_deref(),
            account: way.account,
            redirect_uri: way.redirect_uri,
            verifier: &sealed,
            expires_at,
        })
        .await?;
        tx.commit().await?;
        let config = self.client.config();
        let url = authorize_url(&config.auth_url, &config.client_key, way.redirect_uri, &state, &verifier);
        Ok(Begun { url, browser, expires_at })
    }

    /// Runs to its end although who asked goes away: the code is good once, and what it gives must be stored.
    pub async fn finish(&self, answer: Answer, bearer: Bearer) -> Result<Account, ConnectError> {
        let connect = self.clone();
        let task = tokio::spawn(async move { connect.exchange(&answer, &bearer).await });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a login at TikTok came to no end");
            Err(ConnectError::Broken)
        })
    }

    /// Removes the account and, where that is possible, takes our authorization back at TikTok. Runs to its end although who
    /// asked goes away.
    pub async fn disconnect(&self, account: Account) -> Result<Revoked, ConnectError> {
        let (ledger, client) = (self.ledger.clone(), self.client.clone());
        let tokens = Tokens::new(ledger.clone(), self.vault.clone(), client.clone());
        let task = tokio::spawn(async move { super::remove(&ledger, &account, Some((&tokens, &client))).await });
        let removed = task.await.map_err(|error| {
            tracing::error!(%error, "an account's removal came to no end");
            ConnectError::Broken
        })?;
        Ok(removed?)
    }

    async fn exchange(&self, answer: &Answer, bearer: &Bearer) -> Result<Account, ConnectError> {
        let denied =
            answer.error.as_deref().is_some_and(|error| is_cancelled(error, answer.error_description.as_deref()));
        let Some(state) = answer.state.as_deref().map(access::hash) else {
            return Err(if denied { ConnectError::Denied } else { ConnectError::Unknown });
        };
        let begun = self.use_up(&state, bearer).await?;
        match answer.error.as_deref() {
            Some(_) if denied => return Err(ConnectError::Denied),
            Some(error) => {
                let said = answer.error_description.as_deref().unwrap_or(error);
                return Err(ConnectError::Refused(said.chars().take(200).collect()));
            }
            None => {}
        }
        let code = answer.code.as_deref().filter(|code| !code.is_empty()).ok_or(ConnectError::NoCode)?;
        let verifier = self.vault.open(VERIFIER, &state, &begun.verifier)?;
        let verifier = Verifier::from_text(verifier.expose_secret().to_owned());
        let exchanged = self.client.exchange_code(code, &begun.redirect_uri, Some(&verifier)).await;
        let tokens = exchanged.map_err(refused)?.value;
        let missing = missing(&tokens.scope, answer.scopes.as_deref());
        if !missing.is_empty() {
            return Err(ConnectError::Scopes(missing.join(", ")));
        }
        let id = self.store(&begun, &tokens).await?;
        self.name(&id, &tokens).await;
        tracing::info!(account.id = id, "the account was connected");
        self.ledger.account(&id).await?.ok_or(ConnectError::Broken)
    }

    /// Only who began it uses it up, and only once.
    async fn use_up(&self, state: &str, bearer: &Bearer) -> Result<Connecting, ConnectError> {
        let tx = self.ledger.begin().await?;
        let begun = tx.connecting(state).await?.ok_or(ConnectError::Unknown)?;
        let ours = match (&bearer.user, &bearer.browser, &begun.browser) {
            (Some(user), _, _) => *user == begun.user,
            (None, Some(cookie), Some(browser)) => access::hash(cookie) == *browser,
            (None, _, _) => false,
        };
        if !ours {
            return Err(ConnectError::Foreign);
        }
        if begun.used_at.is_some() {
            return Err(ConnectError::Used);
        }
        if begun.expires_at <= tx.now() {
            return Err(ConnectError::Expired);
        }
        if !tx.use_connecting(state).await? {
            return Err(ConnectError::Used);
        }
        tx.commit().await?;
        Ok(begun)
    }

    /// Commits the pair before its first use. Gives the account's id.
    async fn store(&self, begun: &Connecting, tokens: &wire::Tokens) -> Result<String, ConnectError> {
        if tokens.open_id.is_empty() {
            return Err(ConnectError::Refused("its answer names no account".to_owned()));
        }
        let tx = self.ledger.begin().await?;
        let known = account_for(&tx, begun, &tokens.open_id).await?;
        let (id, user, name) = match known {
            Some(account) => (account.id, account.user, account.display_name),
            None => (new_id(&begun.user, &tokens.open_id), begun.user.clone(), NAMELESS.to_owned()),
        };
        let pair = NewTokens {
            access_token: tokens.access_token.clone(),
            refresh_token: tokens.refresh_token.clone().unwrap_or_default(),
            expires_in: tokens.expires_in,
            refresh_expires_in: tokens.refresh_expires_in,
        };
        add(&tx, &self.vault, (&id, &user, &tokens.open_id, &name), &pair).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Name and picture are no reason to lose a login.
    async fn name(&self, id: &str, tokens: &wire::Tokens) {
        let info = match self.client.user_info(&tokens.access_token).await {
            Ok(answered) if answered.value.open_id == tokens.open_id => answered.value,
            Ok(_) => return tracing::warn!(account.id = id, "TikTok named another creator than the token's"),
            Err(refusal) => {
                return tracing::warn!(account.id = id, %refusal, "TikTok did not tell the account's name");
            }
        };
        let text = |text: &str| (!text.is_empty()).then(|| text.replace('\0', ""));
        let written = async {
            let tx = self.ledger.begin().await?;
            if let Some(name) = text(&info.display_name) {
                tx.put_name(id, &name).await?;
            }
            tx.put_profile(id, None, text(&info.avatar_url).as_deref()).await?;
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::warn!(account.id = id, %error, "the account's name could not be stored");
        }
    }
}

/// The account that these tokens are for, if there is one. Nobody takes over what another user has.
async fn account_for(tx: &Tx, begun: &Connecting, open_id: &str) -> Result<Option<Account>, ConnectError> {
    let mut theirs = tx.accounts_of_creator(open_id).await?;
    if let Some(id) = &begun.account {
        return theirs.into_iter().find(|account| account.id == *id).map(Some).ok_or(ConnectError::OtherCreator);
    }
    // First the one that waits for this, then one that is connected, then one that was removed.
    theirs.sort_by_key(|account| (account.removed_at.is_some(), account.state == AccountState::Active));
    if let Some(at) = theirs.iter().position(|account| account.user == begun.user) {
        let removed = theirs[at].removed_at.is_some();
        if !removed || theirs.iter().all(|account| account.removed_at.is_some()) {
            return Ok(Some(theirs.swap_remove(at)));
        }
    }
    if theirs.iter().any(|account| account.removed_at.is_none()) {
        return Err(ConnectError::Taken);
    }
    Ok(None)
}

/// The same for the same creator and user, so that two logins at once make one account.
fn new_id(user: &str, open_id: &str) -> String {
    format!("conn_{}", &access::hash(&format!("{user}\n{open_id}"))[..20])
}

/// A person's no comes as `access_denied`; other words for it have been seen in the description alone.
fn is_cancelled(error: &str, description: Option<&str>) -> bool {
    let said = format!("{error} {}", description.unwrap_or_default()).to_ascii_lowercase();
    error == "access_denied" || ["cancel", "user denied"].iter().any(|word| said.contains(word))
}

/// What was not granted of that which posting needs.
fn missing(granted: &str, told: Option<&str>) -> Vec<&'static str> {
    let granted = if granted.is_empty() { told.unwrap_or_default() } else { granted };
    let granted: Vec<&str> = granted.split([',', ' ']).map(str::trim).collect();
    SCOPES.iter().copied().filter(|scope| !granted.contains(scope)).collect()
}

fn refused(refusal: Refusal) -> ConnectError {
    tracing::warn!(%refusal, "TikTok did not exchange a login's code");
    match refusal.class {
        Class::NeedsReconnect | Class::TokenExpired => ConnectError::CodeDead,
        Class::Transient | Class::Throttled { .. } | Class::OutcomeUnknown => ConnectError::Away,
        Class::Bug | Class::NeedsChange | Class::PermanentForVideo | Class::PermanentForAccount => {
            ConnectError::App(refusal.text)
        }
    }
}

impl From<AddError> for ConnectError {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Taken(_) => Self::Taken,
            AddError::Seal(error) => Self::Seal(error),
            AddError::Ledger(error) => Self::Ledger(error),
            AddError::Id(_) | AddError::Empty(_) => Self::Refused("its answer lacks a token".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_login_is_a_no_however_tiktok_words_it() {
        assert!(is_cancelled("access_denied", None));
        assert!(is_cancelled("user_cancelled", None) && is_cancelled("login_failed", Some("Canceled.")));
        assert!(!is_cancelled("server_error", Some("try later")) && !is_cancelled("invalid_scope", None));
    }

    #[test]
    fn what_was_not_granted_is_named() {
        assert!(missing("user.info.basic,video.publish", None).is_empty());
        assert!(missing("video.publish user.info.basic", Some("")).is_empty());
        assert!(missing("", Some("user.info.basic,video.publish")).is_empty());
        assert_eq!(missing("user.info.basic", Some("user.info.basic,video.publish")), ["video.publish"]);
        assert_eq!(missing("", None), SCOPES);
    }
}
