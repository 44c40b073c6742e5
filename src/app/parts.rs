//! What a process is built from: each part connected, or one message why it can't be.

use std::sync::Arc;

use futures::TryFutureExt;
use secrecy::{ExposeSecret, SecretString};

use super::patience::{Patience, Refusal, connected};
use super::surroundings::store_shown;
use super::{Exit, Failure};
use crate::account::{Tokens, Vault};
use crate::config::{Config, DatabaseUrl, EncryptionKeys, RedisUrl, StoreConfig, TikTokConfig};
use crate::ffmpeg::{self, Spool, Tools};
use crate::ledger::{AccountState, Ledger, LedgerError, SchemaStanding};
use crate::media::{Media, S3};
use crate::relay::Dispatch;
use crate::seal::KeyRing;
use crate::stage::edit::Edit;
use crate::stage::publish::Publisher;
use crate::stage::publish::chunks::ChunkRules;
use crate::stage::publish::times::Times;
use crate::stream::{Meter, Options, Server, Streams};
use crate::tiktok::client::{Client, ClientConfig};
use crate::torture;

pub(super) async fn ledger(config: &Config) -> Result<Ledger, Failure> {
    let url = database_url(config);
    connected(DATABASE, &config.database.shown(), Patience::Start, || async {
        Ledger::open(url.expose_secret()).await.map_err(Refusal::from)
    })
    .await
}

const DATABASE: &str = "the database (DATABASE_URL)";

/// How far the schema is, and the ledger if it is this program's. Nothing is made or migrated.
pub(super) async fn look(config: &Config, patience: Patience) -> Result<(SchemaStanding, Option<Ledger>), Failure> {
    let url = database_url(config);
    connected(DATABASE, &config.database.shown(), patience, || async {
        Ledger::look(url.expose_secret()).await.map_err(Refusal::from)
    })
    .await
}

/// For commands that only look, and for `--dry-run`.
pub(super) async fn ledger_as_it_is(config: &Config) -> Result<Ledger, Failure> {
    let (standing, ledger) = look(config, Patience::Start).await?;
    ledger.ok_or_else(|| {
        let exit = match standing {
            SchemaStanding::Newer(_) | SchemaStanding::Foreign(_) => Exit::Configuration,
            _ => Exit::Failed,
        };
        Failure::new(exit, format!("{DATABASE} at {}: {}", config.database.shown(), said_of(&standing)))
    })
}

/// What a schema's standing means, and what to do about it.
pub(super) fn said_of(standing: &SchemaStanding) -> String {
    match standing {
        SchemaStanding::Absent => {
            "there is no file yet; `subiteya migrate` makes it, and so does any process at its start".to_owned()
        }
        SchemaStanding::Empty => {
            "it holds no tables yet; `subiteya migrate` makes them, and so does any process at its start".to_owned()
        }
        SchemaStanding::Behind(missing) => {
            format!("its schema is behind, without {}: run `subiteya migrate`", missing.join(", "))
        }
        SchemaStanding::Newer(names) => format!(
            "its schema is newer than this binary, of a newer SubiteYa with {}; run that one, or take these back with it \
             (`subiteya migrate down --yes`)",
            names.join(", ")
        ),
        SchemaStanding::Foreign(text) => text.clone(),
        SchemaStanding::Current => "its schema is up to date".to_owned(),
    }
}

pub(super) fn database_url(config: &Config) -> SecretString {
    match &config.database {
        DatabaseUrl::Sqlite(path) => format!("sqlite://{}", path.display()).into(),
        DatabaseUrl::Postgres(url) => url.clone(),
    }
}

pub(super) async fn media(config: &Config, patience: Patience) -> Result<Media, Failure> {
    let shown = store_shown(&config.store);
    let (what, media) = match &config.store {
        StoreConfig::Local(folder) => ("the object store", Media::local(folder)),
        StoreConfig::S3(s3) => {
            let settings = S3 {
                bucket: s3.bucket.clone(),
                region: s3.region.clone(),
                endpoint: s3.endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
                access_key_id: s3.access_key_id.clone(),
                secret_access_key: s3.secret_access_key.clone(),
            };
            ("the object store (S3_BUCKET)", Media::s3(&settings))
        }
    };
    let media = media.map_err(|error| Failure::new(Exit::Configuration, format!("{what} at {shown}: {error}")))?;
    connected(what, &shown, patience, || async { media.check().await.map_err(Refusal::from) }).await?;
    Ok(media)
}

pub(super) async fn streams(url: &RedisUrl, patience: Patience) -> Result<Streams, Failure> {
    let meter = Meter::default();
    let options = Options { authorities: url.authorities().to_vec(), ..Options::default() };
    connected("Redis (REDIS_URL)", &url.shown(), patience, || async {
        let streams = Streams::connect(url.expose(), options.clone(), meter.clone()).await?;
        streams.recognise().await?;
        Ok::<_, Refusal>(streams)
    })
    .await
}

/// A Redis that may lose entries costs time and no video, but its operator should know.
pub(super) fn warn_of(server: &Server, shown: &str) {
    if server.evicts() == Some(true) {
        let policy = server.eviction.as_deref().unwrap_or_default();
        tracing::warn!(
            policy,
            "Redis at {shown} evicts keys when it is full, and a stream is a key; \
             set its maxmemory-policy to noeviction"
        );
    }
    if server.append_only == Some(false) {
        tracing::warn!(
            "Redis at {shown} has no append-only file: a restart empties it, and the ledger fills it again; \
             set its appendonly to yes"
        );
    }
}

/// FFmpeg's missing pieces are found here, and not after an encode.
pub(super) async fn tools(config: &Config) -> Result<Tools, Failure> {
    let folder = config.data.join("spool");
    let spool = Spool::open(&folder)
        .map_err(|error| Failure::failed(format!("the folder {} can't be used: {error}", folder.display())))?;
    let mut setup = ffmpeg::Setup::from(spool);
    setup.source.largest_bytes = config.http.max_upload;
    setup.source.probe_time = config.edit.probe_timeout;
    setup.output.largest_bytes = config.edit.output;
    setup.limits.cpu = config.edit.cpu;
    setup.limits.wall = config.edit.timeout;
    setup.limits.memory_bytes = config.edit.memory;
    Tools::find(setup).await.map_err(|missing| Failure::unavailable(missing.to_string()))
}

/// What a start reads from a ledger that it has reached, and that may be away again a moment later.
async fn read<T, F>(config: &Config, mut attempt: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, LedgerError>>,
{
    let shown = config.database.shown();
    connected(DATABASE, &shown, Patience::Start, || attempt().map_err(Refusal::from)).await
}

pub(super) async fn vault(config: &Config, ledger: &Ledger, keys: &EncryptionKeys) -> Result<Arc<Vault>, Failure> {
    let instance = read(config, || async {
        if let Some(known) = ledger.setting("instance").await? {
            return Ok(known);
        }
        let tx = ledger.begin().await?;
        let instance = tx.instance().await?;
        tx.commit().await?;
        Ok(instance)
    });
    Ok(Arc::new(Vault::new(KeyRing::of(keys), instance.await?)))
}

/// With a key that is not this installation's a publisher could post for nobody.
pub(super) async fn opens_tokens(config: &Config, ledger: &Ledger, vault: &Vault) -> Result<(), Failure> {
    let accounts = read(config, || ledger.accounts(None)).await?;
    let active = accounts.iter().filter(|account| account.state == AccountState::Active);
    for account in active {
        if let Some(key) = vault.lacks(account) {
            let id = &account.id;
            return Err(Failure::new(
                Exit::Configuration,
                format!(
                    "ENCRYPTION_KEY: the tokens of the account {id} are sealed under the key {key}, which is not among \
                     those given; put the old key behind the new one, with a comma between them, or connect the account again"
                ),
            ));
        }
    }
    Ok(())
}

pub(super) fn client(config: &TikTokConfig) -> Result<Client, Failure> {
    let (key, secret) = match &config.app {
        Some(app) => (app.client_key.clone(), app.client_secret.clone()),
        None => (String::new(), SecretString::from("")),
    };
    let mut config = ClientConfig::new(config.api_url.clone(), config.auth_url.clone(), key, secret);
    config.put_timeout = torture::scaled(config.put_timeout);
    Client::new(config).map_err(|error| Failure::new(Exit::Configuration, error.to_string()))
}

pub(super) fn edit(config: &Config, ledger: &Ledger, dispatch: &Dispatch, media: &Media, tools: Tools) -> Edit {
    Edit {
        ledger: ledger.clone(),
        dispatch: dispatch.clone(),
        media: media.clone(),
        tools,
        limit: config.stages.edit.limit,
    }
}

pub(super) fn publisher(
    config: &Config,
    ledger: &Ledger,
    dispatch: &Dispatch,
    media: &Media,
    (client, vault): (Client, Arc<Vault>),
) -> Publisher {
    Publisher {
        ledger: ledger.clone(),
        dispatch: dispatch.clone(),
        media: media.clone(),
        tokens: Tokens::new(ledger.clone(), vault.clone(), client.clone()),
        client,
        vault,
        config: config.stages.publish.clone(),
        times: Times::default().floored().scaled(),
        rules: ChunkRules::from(config.chunks).cut(),
    }
}
