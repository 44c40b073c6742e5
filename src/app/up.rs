//! `up`: every role in one process, on what is set, and on embedded parts for the rest.

use std::net::SocketAddr;
use std::sync::Arc;

use secrecy::ExposeSecret;
use url::Url;

use super::embedded::{DataFolder, EmbeddedRedis, OPERATOR_KEY, SANDBOX_URL};
use super::signals::Signals;
use super::surroundings::{Surroundings, store_shown};
use super::{Failure, parts, roles};
use crate::access;
use crate::account::{self, NewTokens, Vault};
use crate::config::{Config, DatabaseUrl, StoreConfig, TikTokApp, TikTokConfig};
use crate::ledger::{Ledger, LedgerError, Role};
use crate::sandbox::{CreatorSpec, Limits, Options, Sandbox};

/// The user of a small installation.
const USER: &str = "me";
/// The account that stands ready on the sandbox.
const SANDBOX_ACCOUNT: &str = "sandbox";

pub(super) async fn up(mut config: Config) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let data = DataFolder::open(&config.data)?;
    config.data = data.path().to_owned();
    let tools = parts::tools(&config).await?;
    if config.keys.is_none() {
        config.keys = Some(data.encryption_keys()?);
    }
    let redis = embedded_redis(&mut config, &data).await?;
    let sandbox = embedded_sandbox(&mut config, &data).await?;
    let ended = tokio::select! {
        process = roles::stores(config, "up") => process,
        () = signals.next() => return Ok(()),
    };
    let mut process = ended?;
    let keys = process.config.keys.as_ref().ok_or_else(|| Failure::failed("ENCRYPTION_KEY is not set"))?;
    let vault = parts::vault(&process.config, &process.ledger, keys).await?;
    let link = first_key(&process.ledger, &data).await?;
    if let Some(sandbox) = &sandbox {
        sandbox_account(&process.ledger, &vault, sandbox).await?;
    }
    // First, since a port that is taken ends it; a loop would have to hand back by then.
    let address = process.serve(Arc::new(tools.clone())).await?;
    process.relay();
    process.webhooks().await?;
    process.upkeep();
    process.tend_spool(&tools);
    let edit = parts::edit(&process.config, &process.ledger, &process.dispatch, &process.media, tools);
    process.edit(edit);
    let tiktok = process.config.tiktok.clone().ok_or_else(|| Failure::failed("nothing is known of TikTok"))?;
    let publisher = process.publisher(parts::client(&tiktok)?).await?;
    process.publish(publisher);
    say(&process.config, redis.is_some(), sandbox.as_ref(), &format!("http://{address}"), &link);
    let ended = process.until_stopped(&mut signals).await;
    if let Some(sandbox) = sandbox {
        sandbox.shutdown().await;
    }
    if let Some(redis) = redis {
        redis.stop().await;
    }
    ended
}

async fn embedded_redis(config: &mut Config, data: &DataFolder) -> Result<Option<EmbeddedRedis>, Failure> {
    if config.redis.url.is_some() || !config.redis.enabled {
        return Ok(None);
    }
    let redis = EmbeddedRedis::start(data).await?;
    config.redis.url = Some(redis.url().clone());
    // Nobody bills it.
    config.redis.monthly_commands = None;
    Ok(Some(redis))
}

async fn embedded_sandbox(config: &mut Config, data: &DataFolder) -> Result<Option<Sandbox>, Failure> {
    if config.tiktok.is_some() {
        return Ok(None);
    }
    let secret = crate::access::hex(&rand::random::<[u8; 16]>());
    let mut options = Options::new(data.path().join("sandbox"), "sandbox", secret.as_str());
    // Any number of accounts may be tried out here in a day.
    options.limits = Limits { posting_users: None, ..Limits::default() };
    // Upload URLs that it gave out name its port, so it comes back on the same one where that is free.
    let failed = |error| Failure::failed(format!("the sandbox: {error}"));
    let sandbox = match last_address(data) {
        Some(address) => {
            let before = Options { listen: address, ..options.clone() };
            match Sandbox::start(before).await {
                Err(crate::sandbox::Error::Listen { .. }) => Sandbox::start(options).await,
                other => other,
            }
        }
        None => Sandbox::start(options).await,
    };
    let sandbox = sandbox.map_err(failed)?;
    data.write_private(SANDBOX_URL, &format!("{}\n", sandbox.base_url()))?;
    let url: Url =
        sandbox.base_url().parse().map_err(|error| Failure::failed(format!("the sandbox's address: {error}")))?;
    let app = TikTokApp { client_key: "sandbox".to_owned(), client_secret: secret.into() };
    config.tiktok = Some(TikTokConfig { api_url: url.clone(), auth_url: url, app: Some(app) });
    Ok(Some(sandbox))
}

fn last_address(data: &DataFolder) -> Option<SocketAddr> {
    let kept = std::fs::read_to_string(data.path().join(SANDBOX_URL)).ok()?;
    kept.trim().strip_prefix("http://")?.parse().ok()
}

/// The operator's key, which the CLI finds in the data folder, made at the first start; and a link to sign in with.
async fn first_key(ledger: &Ledger, data: &DataFolder) -> Result<String, Failure> {
    let unavailable = |error: LedgerError| Failure::unavailable(error.to_string());
    let kept = std::fs::read_to_string(data.path().join(OPERATOR_KEY)).unwrap_or_default();
    let tx = ledger.begin().await.map_err(unavailable)?;
    let known = match kept.trim() {
        "" => None,
        key => tx.key_by_hash(&access::hash(key)).await.map_err(unavailable)?,
    };
    let id = match known {
        Some(key) => key.id,
        None => {
            let new = access::create_key(&tx, USER, Role::Operator).await.map_err(unavailable)?;
            data.write_private(OPERATOR_KEY, &format!("{}\n", new.key.expose_secret()))?;
            new.id
        }
    };
    let link = access::create_link(&tx, &id).await.map_err(unavailable)?;
    tx.commit().await.map_err(unavailable)?;
    Ok(link)
}

/// The sandbox's own creator, as an account that one can upload to at once. Added once: later starts keep its tokens.
async fn sandbox_account(ledger: &Ledger, vault: &Vault, sandbox: &Sandbox) -> Result<(), Failure> {
    let known = ledger.account_even_removed(SANDBOX_ACCOUNT).await;
    if known.map_err(|error| Failure::unavailable(error.to_string()))?.is_some() {
        return Ok(());
    }
    let spec = CreatorSpec::named("sandbox_creator");
    let granted = sandbox.grant(&spec).await.map_err(|error| Failure::failed(format!("the sandbox: {error}")))?;
    let seconds = |seconds: u64| i64::try_from(seconds).ok();
    let tokens = NewTokens {
        access_token: granted.access_token.into(),
        refresh_token: granted.refresh_token.into(),
        expires_in: seconds(granted.expires_in),
        refresh_expires_in: seconds(granted.refresh_expires_in),
    };
    let added = async {
        let tx = ledger.begin().await?;
        let about = (SANDBOX_ACCOUNT, USER, granted.open_id.as_str(), granted.display_name.as_str());
        account::add(&tx, vault, about, &tokens).await?;
        Ok::<_, account::AddError>(tx.commit().await?)
    };
    added.await.map_err(|error| Failure::failed(format!("the sandbox's account could not be added: {error}")))
}

/// Which parts are embedded and which were given, and where to go.
fn say(config: &Config, redis: bool, sandbox: Option<&Sandbox>, address: &str, link: &str) {
    let marked = |shown: String, is: bool| if is { format!("{shown} (embedded)") } else { shown };
    let mut shown = Surroundings::of(config);
    if let Some(sandbox) = sandbox {
        shown.tiktok = format!("the sandbox at {}", sandbox.base_url());
    }
    println!("database   {}", marked(config.database.shown(), matches!(config.database, DatabaseUrl::Sqlite(_))));
    println!("objects    {}", marked(store_shown(&config.store), matches!(config.store, StoreConfig::Local(_))));
    println!("redis      {}", marked(shown.redis, redis));
    println!("tiktok     {}", marked(shown.tiktok, sandbox.is_some()));
    println!("dashboard  {address}");
    println!("sign in    {address}/sign-in/{link}   (once, within ten minutes)");
}
