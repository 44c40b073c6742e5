//! Opening the database.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection as _};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbBackend, DbErr, RuntimeErr, TransactionTrait};

use super::clock::Clock;
use super::gate::Gate;
use super::schema::{self, SchemaStanding};
use super::{Connection, Inner, Ledger, LedgerError, Session, Tx, foreign, said};
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
        let (reads, writer) = connect(url, As::Owner).await?;
        schema::migrate_up(url, &writer).await?;
        Ok(Self::assemble(reads, writer, As::Owner).await?)
    }

    /// The same ledger by another clock, which its owner turns: a day passes as fast as it is worked off. For simulations;
    /// nobody else may have a handle on it.
    pub fn by_clock(mut self, time: Arc<std::sync::atomic::AtomicI64>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.clock = Clock::Turned(time);
        }
        self
    }

    /// Opens the database as it is: nothing is made and nothing is migrated. There is a ledger if its schema is ours.
    pub async fn look(url: &str) -> Result<(SchemaStanding, Option<Self>), ConnectError> {
        if sqlite_path(url).is_some_and(|path| !path.exists()) {
            return Ok((SchemaStanding::Absent, None));
        }
        let (reads, writer) = connect(url, As::Guest).await?;
        let standing = schema::standing(url, &reads).await?;
        let ledger = match standing {
            SchemaStanding::Current => Some(Self::assemble(reads, writer, As::Guest).await?),
            _ => None,
        };
        Ok((standing, ledger))
    }

    async fn assemble(reads: DatabaseConnection, writer: DatabaseConnection, who: As) -> super::Result<Self> {
        let backend = writer.get_database_backend();
        let reading = Arc::new(Outage::of("reading from the database"));
        let writing = Arc::new(Outage::of("writing to the database"));
        let mut ledger = Self {
            inner: Arc::new(Inner {
                reads: Session {
                    connection: Connection::Pool(reads.clone(), Gate::default()),
                    backend,
                    outage: reading.clone(),
                },
                writer: writer.clone(),
                clock: Clock::Database,
                writing: writing.clone(),
                gate: Gate::default(),
            }),
        };
        if backend == DbBackend::Sqlite && who == As::Guest {
            let clock = Clock::as_it_stands(&ledger).await?;
            let reads = Session { connection: Connection::Pool(reads, Gate::default()), backend, outage: reading };
            ledger.inner = Arc::new(Inner { reads, writer, clock, writing, gate: Gate::default() });
        } else if backend == DbBackend::Sqlite {
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
            let connection = Connection::Pool(reads, Gate::default());
            let reads = Session { connection, backend, outage: reading };
            ledger.inner = Arc::new(Inner { reads, writer, clock, writing, gate: Gate::default() });
        }
        Ok(ledger)
    }
}

/// Who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    /// Makes what is missing.
    Owner,
    /// Finds what there is.
    Guest,
}

pub(super) async fn connect(url: &str, who: As) -> Result<(DatabaseConnection, DatabaseConnection), ConnectError> {
    let (plain_url, schema) = foreign::split_schema(url)?;
    let (plain_url, schema) = (plain_url.as_str(), schema.as_deref());
    // PostgreSQL gives each connection a process, and a fleet has many of ours; SQLite has one writer anyway.
    let (readers, writers) = match sqlite_path(url) {
        Some(file) => {
            if who == As::Owner {
                make_folder_of(&file)?;
            }
            (4, 1)
        }
        None => {
            reachable(plain_url).await?;
            (4, 4)
        }
    };
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
            .map_sqlx_sqlite_opts(move |sqlite| {
                let sqlite = sqlite.synchronous(SqliteSynchronous::Full).busy_timeout(BUSY);
                match who {
                    As::Owner => sqlite.create_if_missing(true).journal_mode(SqliteJournalMode::Wal),
                    As::Guest => sqlite.create_if_missing(false),
                }
            })
            .map_sqlx_sqlite_pool_opts(|pool| pool.after_release(|connection, _| Box::pin(is_outside(connection))))
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

/// Whether sqlx, too, takes its transaction for ended. On a full disk SQLite ends one by itself, the rollback that follows
/// fails, and sqlx goes on counting: what it calls a commit from then on is a savepoint's end, in a transaction that nobody
/// ever commits. Such a connection is closed.
async fn is_outside(connection: &mut sqlx::SqliteConnection) -> Result<bool, sqlx::Error> {
    // Behind a rollback that is still on its way.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
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
        _ => ConnectError::Unreachable(said::by_database(&error)),
    }
}

fn judge(inner: &sqlx::Error) -> ConnectError {
    match inner {
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) | sqlx::Error::Protocol(_) => {
            ConnectError::Rejected(said::by_driver(inner))
        }
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default().into_owned();
            let passing = code.len() == 5 && ["08", "53", "57"].iter().any(|class| code.starts_with(class));
            let busy = code.len() < 5 && code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6));
            if passing || busy {
                ConnectError::Unreachable(said::by_driver(inner))
            } else {
                ConnectError::Rejected(said::by_driver(inner))
            }
        }
        _ => ConnectError::Unreachable(said::by_driver(inner)),
    }
}

fn make_folder_of(file: &Path) -> Result<(), ConnectError> {
    let Some(folder) = file.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder)
        .map_err(|error| ConnectError::Rejected(format!("the folder {} can't be made: {error}", folder.display())))
}

/// Where the file of a `sqlite://` URL lies.
pub(super) fn sqlite_path(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
    Some(PathBuf::from(path.split('?').next().unwrap_or(path)))
}

impl From<DbErr> for ConnectError {
    fn from(error: DbErr) -> Self {
        LedgerError::from(error).into()
    }
}

impl From<LedgerError> for ConnectError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable(error) => Self::Unreachable(said::by_database(&error)),
            // Ours, and a sentence already.
            LedgerError::Refused(DbErr::Custom(text)) => Self::Migration(text),
            other => Self::Migration(other.to_string()),
        }
    }
}
