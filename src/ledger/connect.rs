//! Opening the database, and bringing its schema up to date.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection as _};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, RuntimeErr, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;

use super::clock::Clock;
use super::foreign;
use super::{Connection, Inner, Ledger, LedgerError, Session, Tx};
use crate::migrations::Migrator;
use crate::outage::Outage;

/// How long a statement waits for another process' write on SQLite before it gives up.
const BUSY: Duration = Duration::from_secs(15);
/// How long one waits for a connection of the pool, or for a new one. With a statement's own bound this stays below what an
/// HTTP request may take, so that a request that finds no database is told so.
const ACQUIRE: Duration = Duration::from_secs(12);
/// How long an attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection is looked at before its use if it lay idle for so long: it may be one to a server that has restarted.
const IDLE: Duration = Duration::from_secs(1);
/// How long a connection may take to come back from a statement that was given up.
const RETURN: Duration = Duration::from_secs(2);
/// How long one that is looked at may take to answer: all of a pool's dead ones are found out within [`ACQUIRE`].
const LOOK: Duration = Duration::from_secs(1);
/// Any number, but always the same: PostgreSQL's advisory lock that lets one process migrate at a time.
const MIGRATION_LOCK: i64 = 0x5b17e7a;

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Worth trying again.
    #[error("the database can't be reached: {0}")]
    Unreachable(String),
    /// Will not change by waiting.
    #[error("the database refused the connection: {0}")]
    Rejected(String),
    #[error("the schema can't be brought up to date: {0}")]
    Migration(String),
    /// Never touched: what this program would write may mean something else there.
    #[error(
        "the schema is of a newer SubiteYa, which has {0}; run that one, or take its migrations back with it \
         (`subiteya migrate down`)"
    )]
    Newer(String),
}

impl Ledger {
    /// Connects, migrates (one process at a time), and takes the clock. `url` is `sqlite://path` or `postgres://…`.
    pub async fn open(url: &str) -> Result<Self, ConnectError> {
        let (reads, writer) = connect(url).await?;
        migrate_up(url, &writer).await?;
        Self::assemble(reads, writer).await.map_err(|error| match error {
            LedgerError::Unavailable(error) => ConnectError::Unreachable(error.to_string()),
            other => ConnectError::Migration(other.to_string()),
        })
    }

    /// The same ledger by another clock, which its owner turns: a day passes as fast as it is worked off. For simulations;
    /// nobody else may have a handle on it.
    pub fn by_clock(mut self, time: Arc<std::sync::atomic::AtomicI64>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.clock = Clock::Turned(time);
        }
        self
    }

    async fn assemble(reads: DatabaseConnection, writer: DatabaseConnection) -> super::Result<Self> {
        let backend = writer.get_database_backend();
        let reading = Arc::new(Outage::of("reading from the database"));
        let writing = Arc::new(Outage::of("writing to the database"));
        let mut ledger = Self {
            inner: Arc::new(Inner {
                reads: Session { connection: Connection::Pool(reads.clone()), backend, outage: reading.clone() },
                writer: writer.clone(),
                clock: Clock::Database,
                writing: writing.clone(),
            }),
        };
        if backend == DbBackend::Sqlite {
            // The first transaction finds the clock that the others will read, so it has none yet itself.
            let options = sea_orm::TransactionOptions {
                sqlite_transaction_mode: Some(sea_orm::SqliteTransactionMode::Immediate),
                ..Default::default()
            };
            let transaction = writer.begin_with_options(options).await?;
            let connection = Connection::Transaction(transaction);
            let tx = Tx { session: Session { connection, backend, outage: writing.clone() }, now: 0 };
            let clock = Clock::since_boot(&tx).await?;
            tx.commit().await?;
            let reads = Session { connection: Connection::Pool(reads), backend, outage: reading };
            ledger.inner = Arc::new(Inner { reads, writer, clock, writing });
        }
        Ok(ledger)
    }
}

async fn connect(url: &str) -> Result<(DatabaseConnection, DatabaseConnection), ConnectError> {
    let (plain_url, schema) = foreign::split_schema(url)?;
    let (plain_url, schema) = (plain_url.as_str(), schema.as_deref());
    let sqlite = sqlite_path(url).is_some();
    // PostgreSQL gives each connection a process, and a fleet has many of ours; SQLite has one writer anyway.
    let (readers, writers) = if sqlite { (4, 1) } else { (4, 4) };
    if let Some(folder) = sqlite_path(url).as_deref().and_then(Path::parent) {
        std::fs::create_dir_all(folder).map_err(|error| {
            ConnectError::Rejected(format!("the folder {} can't be made: {error}", folder.display()))
        })?;
    }
    if sqlite_path(url).is_none() {
        reachable(url).await?;
    }
    let open = |connections: u32| async move {
        let mut options = ConnectOptions::new(plain_url);
        options
            .max_connections(connections)
            .min_connections(1)
            .connect_timeout(CONNECT)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .idle_timeout(Duration::from_secs(600))
            .sqlx_logging(false)
            .map_sqlx_sqlite_opts(|sqlite| {
                sqlite
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(BUSY)
            })
            .map_sqlx_postgres_pool_opts(|pool| {
                // A connection whose server is gone without a word would keep its place in the pool until TCP gives up.
                pool.after_release(|connection, _| Box::pin(answers(connection, RETURN))).before_acquire(
                    |connection, about| {
                        Box::pin(async move {
                            if about.idle_for < IDLE { Ok(true) } else { answers(connection, LOOK).await }
                        })
                    },
                )
            });
        if let Some(schema) = schema {
            options.set_schema_search_path(schema);
        }
        Database::connect(options).await.map_err(classify)
    };
    // One after the other: the first connection to a new SQLite file switches it to WAL.
    let writer = open(writers).await?;
    let reads = open(readers).await?;
    Ok((reads, writer))
}

/// An error closes the connection without another word to it.
async fn answers(connection: &mut sqlx::PgConnection, within: Duration) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(within, connection.ping()).await {
        Ok(answered) => answered.map(|()| true),
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

/// One connection by itself: the pool would try a server that refuses again and again, and say in the end only that its
/// time was up.
async fn reachable(url: &str) -> Result<(), ConnectError> {
    match tokio::time::timeout(CONNECT, sqlx::PgConnection::connect(url)).await {
        Ok(Ok(connection)) => {
            connection.close().await.ok();
            Ok(())
        }
        Ok(Err(sqlx::Error::Io(error))) => Err(ConnectError::Unreachable(error.to_string())),
        Ok(Err(error)) => Err(judge(&error)),
        Err(_) => Err(ConnectError::Unreachable("it does not answer".to_owned())),
    }
}

fn classify(error: DbErr) -> ConnectError {
    match &error {
        DbErr::Conn(RuntimeErr::SqlxError(inner))
        | DbErr::Exec(RuntimeErr::SqlxError(inner))
        | DbErr::Query(RuntimeErr::SqlxError(inner)) => judge(inner),
        _ => ConnectError::Unreachable(error.to_string()),
    }
}

fn judge(inner: &sqlx::Error) -> ConnectError {
    match inner {
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) | sqlx::Error::Protocol(_) => {
            ConnectError::Rejected(inner.to_string())
        }
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default().into_owned();
            let passing = code.len() == 5 && ["08", "53", "57"].iter().any(|class| code.starts_with(class));
            let busy = code.len() < 5 && code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6));
            if passing || busy {
                ConnectError::Unreachable(inner.to_string())
            } else {
                ConnectError::Rejected(inner.to_string())
            }
        }
        _ => ConnectError::Unreachable(inner.to_string()),
    }
}

/// Where the file of a `sqlite://` URL lies.
fn sqlite_path(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
    Some(PathBuf::from(path.split('?').next().unwrap_or(path)))
}

async fn migrate_up(url: &str, writer: &DatabaseConnection) -> Result<(), ConnectError> {
    with_migration_lock(url, writer, async || Ok(Migrator::up(writer, None).await?)).await
}

/// Takes back the last `steps` migrations, or all.
pub async fn migrate_down(url: &str, steps: Option<u32>) -> Result<(), ConnectError> {
    let (_, writer) = connect(url).await?;
    with_migration_lock(url, &writer, async || Ok(Migrator::down(&writer, steps).await?)).await
}

/// Each migration's name, and whether it is applied.
pub async fn migration_status(url: &str) -> Result<Vec<(String, bool)>, ConnectError> {
    let (_, writer) = connect(url).await?;
    let status = |migration: &sea_orm_migration::Migration| {
        (migration.name().to_owned(), migration.status() == sea_orm_migration::MigrationStatus::Applied)
    };
    with_migration_lock(url, &writer, async || {
        Ok(Migrator::get_migration_with_status(&writer).await?.iter().map(status).collect())
    })
    .await
}

/// Two migrators at once fail on either database, so one waits for the other.
async fn with_migration_lock<T>(
    url: &str,
    writer: &DatabaseConnection,
    migrate: impl AsyncFnOnce() -> Result<T, ConnectError>,
) -> Result<T, ConnectError> {
    let migrate = async || {
        if let Some(schema) = foreign::split_schema(url)?.1 {
            foreign::make_schema(writer, &schema).await?;
        }
        foreign::refuse_foreign(writer, url).await?;
        Migrator::install(writer).await?;
        refuse_newer(writer).await?;
        migrate().await
    };
    let Some(path) = sqlite_path(url) else {
        let guard = writer.begin().await?;
        guard.execute_unprepared(&format!("select pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
        let done = migrate().await?;
        guard.commit().await?;
        return Ok(done);
    };
    let beside = path.with_extension("migrating");
    let locked = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::create(&beside)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    let locked = locked.await.map_err(std::io::Error::other).and_then(|locked| locked);
    let _held = locked.map_err(|error| ConnectError::Migration(error.to_string()))?;
    migrate().await
}

async fn refuse_newer(writer: &DatabaseConnection) -> Result<(), ConnectError> {
    let known: Vec<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let applied = Migrator::get_migration_models(writer).await?.into_iter().map(|row| row.version);
    let unknown: Vec<String> = applied.filter(|name| !known.contains(name)).collect();
    if unknown.is_empty() { Ok(()) } else { Err(ConnectError::Newer(unknown.join(", "))) }
}

impl From<DbErr> for ConnectError {
    fn from(error: DbErr) -> Self {
        match LedgerError::from(error) {
            LedgerError::Unavailable(error) => Self::Unreachable(error.to_string()),
            // Ours, and a sentence already.
            LedgerError::Refused(DbErr::Custom(text)) => Self::Migration(text),
            other => Self::Migration(other.to_string()),
        }
    }
}
