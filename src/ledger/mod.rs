//! The ledger: the database, which holds the truth and the time.
//!
//! A [`Session`] reads; a [`Tx`] also writes, in one transaction that sees one time. Each file beside this one adds the
//! reads and the conditional writes of one table. What spans several of them (a stage that settles, an upload that is
//! accepted) is put together by its caller inside one `Tx`.
//!
//! SQLite has one writer connection a process and begins its writing transactions with `IMMEDIATE`, so that a read
//! followed by a write can't lose against another process. WAL with `synchronous=FULL`, and PostgreSQL with
//! `synchronous_commit=on`: a commit that was answered is durable, which the publish protocol needs (its rule 10).

mod accounts;
mod clock;
mod connect;
mod connects;
mod entries;
mod foreign;
mod history;
mod keys;
mod limits;
mod pauses;
mod publications;
mod release;
mod settings;
mod tasks;
mod usage;
mod videos;
mod webhooks;
mod workers;

use std::ops::Deref;
use std::sync::Arc;

use sea_orm::sqlx;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    TransactionOptions, TransactionTrait, Value,
};

pub use accounts::{Account, AccountState, NewAccount, TokenPair};
pub use clock::SystemClock;
pub use connect::{ConnectError, migrate_down, migration_status};
pub use connects::{Connecting, NewConnecting};
pub use entries::DeadEntry;
pub use history::HistoryLine;
pub use keys::{ApiKey, Role, SessionKind};
pub use limits::LimitRow;
pub use pauses::Pause;
pub use publications::PublicationRow;
pub use release::{Ready, Releasable, Room, interleave};
pub use tasks::{Released, StageCounts, TaskRow};
pub use usage::UsageRow;
pub use videos::{Edited, ListFilter, Priority, Status, Video, VideoPatch};
pub use webhooks::{NewWebhook, Webhook};
pub use workers::Worker;

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the database is not available: {0}")]
    Unavailable(DbErr),
    #[error("the database refused a statement: {0}")]
    Refused(DbErr),
    /// A row isn't as it was read: somebody else was first.
    #[error("the row was changed by somebody else")]
    Conflict,
    /// A row holds what we never wrote.
    #[error("the ledger holds something unreadable: {0}")]
    Corrupt(String),
}

impl From<DbErr> for LedgerError {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Unavailable(error),
            DbErr::Exec(inner) | DbErr::Query(inner) if is_transient(inner) => Self::Unavailable(error),
            _ => Self::Refused(error),
        }
    }
}

/// Lost connections, a full disk, a database that is starting or stopping, a lock that wasn't given in time.
fn is_transient(error: &sea_orm::RuntimeErr) -> bool {
    let sea_orm::RuntimeErr::SqlxError(error) = error else { return false };
    match error.as_ref() {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            // SQLite: busy (5), locked (6), i/o error (10), full (13), can't open (14). PostgreSQL: classes 08, 40, 53, 57.
            let sqlite =
                code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14)) && code.len() < 5;
            sqlite || (code.len() == 5 && ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}

pub type Result<T, E = LedgerError> = std::result::Result<T, E>;

/// A handle on the database; cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    reads: Session,
    writer: DatabaseConnection,
    clock: clock::Clock,
}

impl Ledger {
    /// The time that all of the fleet agrees on, in milliseconds since 1970.
    pub async fn now(&self) -> Result<i64> {
        self.inner.clock.now(&self.inner.reads).await
    }

    pub async fn begin(&self) -> Result<Tx> {
        let options = match self.inner.reads.backend {
            DbBackend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(sea_orm::SqliteTransactionMode::Immediate),
                ..Default::default()
            },
            _ => TransactionOptions::default(),
        };
        let transaction = self.inner.writer.begin_with_options(options).await?;
        let session = Session { connection: Connection::Transaction(transaction), backend: self.inner.reads.backend };
        let now = self.inner.clock.now(&session).await?;
        Ok(Tx { session, now })
    }
}

impl Deref for Ledger {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.inner.reads
    }
}

enum Connection {
    Pool(DatabaseConnection),
    Transaction(DatabaseTransaction),
}

/// Reads, either each by itself or inside a transaction.
pub struct Session {
    connection: Connection,
    backend: DbBackend,
}

impl Session {
    fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.backend, sql, values)
    }

    async fn one(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<Option<QueryResult>> {
        let statement = self.statement(sql, values);
        Ok(match &self.connection {
            Connection::Pool(pool) => pool.query_one_raw(statement).await?,
            Connection::Transaction(transaction) => transaction.query_one_raw(statement).await?,
        })
    }

    async fn all(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<Vec<QueryResult>> {
        let statement = self.statement(sql, values);
        Ok(match &self.connection {
            Connection::Pool(pool) => pool.query_all_raw(statement).await?,
            Connection::Transaction(transaction) => transaction.query_all_raw(statement).await?,
        })
    }

    /// What a row that is read to be written carries on PostgreSQL. SQLite's writer is alone already.
    fn for_update(&self) -> &'static str {
        match (self.backend, &self.connection) {
            (DbBackend::Postgres, Connection::Transaction(_)) => " for update",
            _ => "",
        }
    }
}

/// One transaction, at one time. Dropped without [`Tx::commit`], it never was.
pub struct Tx {
    session: Session,
    now: i64,
}

impl Tx {
    pub fn now(&self) -> i64 {
        self.now
    }

    pub async fn commit(self) -> Result<()> {
        match self.session.connection {
            Connection::Transaction(transaction) => Ok(transaction.commit().await?),
            Connection::Pool(_) => Ok(()),
        }
    }

    async fn run(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64> {
        let statement = self.statement(sql, values);
        let done: ExecResult = match &self.session.connection {
            Connection::Transaction(transaction) => transaction.execute_raw(statement).await?,
            Connection::Pool(pool) => pool.execute_raw(statement).await?,
        };
        Ok(done.rows_affected())
    }

    /// A conditional write that must hit exactly one row.
    async fn run_one(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<()> {
        if self.run(sql, values).await? == 1 { Ok(()) } else { Err(LedgerError::Conflict) }
    }
}

impl Deref for Tx {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.session
    }
}

/// Reads a column that holds something with a text form.
fn parsed<T: std::str::FromStr>(row: &QueryResult, column: &str) -> Result<T> {
    let text: String = row.try_get("", column)?;
    text.parse().map_err(|_| LedgerError::Corrupt(format!("the column {column} holds {text:?}")))
}

fn parsed_option<T: std::str::FromStr>(row: &QueryResult, column: &str) -> Result<Option<T>> {
    let text: Option<String> = row.try_get("", column)?;
    text.map(|text| text.parse().map_err(|_| LedgerError::Corrupt(format!("the column {column} holds {text:?}"))))
        .transpose()
}

fn json<T: serde::de::DeserializeOwned>(row: &QueryResult, column: &str) -> Result<T> {
    let text: String = row.try_get("", column)?;
    serde_json::from_str(&text).map_err(|error| LedgerError::Corrupt(format!("the column {column}: {error}")))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| LedgerError::Corrupt(error.to_string()))
}

fn count(row: &QueryResult, column: &str) -> Result<u32> {
    let number: i64 = row.try_get("", column)?;
    u32::try_from(number).map_err(|_| LedgerError::Corrupt(format!("the column {column} holds {number}")))
}
