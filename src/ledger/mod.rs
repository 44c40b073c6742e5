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
mod checks;
mod chores;
mod clock;
mod connect;
mod connects;
mod creators;
mod ended;
mod entries;
mod foreign;
mod gate;
mod history;
mod keys;
mod lanes;
mod limits;
mod list;
mod metrics;
mod pauses;
mod publications;
mod queue;
mod release;
mod retention;
mod said;
mod samples;
mod schema;
mod settings;
mod tasks;
mod usage;
mod videos;
mod webhooks;
mod workers;

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::sqlx;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, SqlErr,
    Statement, TransactionOptions, TransactionTrait, Value,
};

pub use accounts::{Account, AccountState, NewAccount, TokenPair};
pub use checks::Needed;
pub use clock::SystemClock;
pub use connect::ConnectError;
pub use connects::{Connecting, NewConnecting};
pub use creators::KnownCreator;
pub use ended::{DeadFilter, DeadLetter, DeadPage, EndedFilter};
pub use entries::DeadEntry;
pub use history::HistoryLine;
pub use keys::{ApiKey, Role, SessionKind};
pub use limits::{CreatorsHeld, LimitRow};
pub use pauses::Pause;
pub use publications::PublicationRow;
pub use queue::{Queue, Standing};
pub use release::{Ready, Releasable, Room, interleave};
pub use retention::{Bytes, Holding};
pub use samples::Sample;
pub use schema::{SchemaStanding, migrate_down, migration_status};
pub use tasks::{Released, StageCounts, TaskRow};
pub use usage::UsageRow;
pub use videos::{Edited, ListFilter, Priority, Status, Video, VideoPage, VideoPatch};
pub use webhooks::{NewWebhook, Webhook};
pub use workers::Worker;

use gate::Gate;

use crate::metrics::metrics;
use crate::outage::Outage;

/// How long PostgreSQL may take to answer. A server that is frozen or cut off is otherwise waited for until TCP gives up,
/// which takes a quarter of an hour. SQLite has its own bound (`connect::BUSY`).
const ANSWER: Duration = Duration::from_secs(5);

/// A transaction that had to wait for so long had no database meanwhile.
const LATE: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the database is not available: {}", said::by_database(.0))]
    Unavailable(DbErr),
    #[error("the database refused a statement: {}", said::by_database(.0))]
    Refused(DbErr),
    /// A row isn't as it was read, or is there already: somebody else was first.
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
            _ if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Self::Conflict,
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
            // SQLite: busy (5), locked (6), read-only (8), i/o error (10), full (13), can't open (14). PostgreSQL: classes
            // 08, 40, 53, 57; a server that only reads (25006), a transaction that idled too long (25P03).
            let sqlite =
                code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14)) && code.len() < 5;
            let passing = ["08", "40", "53", "57", "25006", "25P03"];
            sqlite || (code.len() == 5 && passing.iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}

impl LedgerError {
    /// The database itself said no, so that nothing was written; else a commit's answer may have been lost.
    pub fn was_answered(&self) -> bool {
        let (Self::Unavailable(error) | Self::Refused(error)) = self else { return true };
        let (DbErr::Conn(inner) | DbErr::Exec(inner) | DbErr::Query(inner)) = error else { return false };
        let sea_orm::RuntimeErr::SqlxError(inner) = inner else { return false };
        let sqlx::Error::Database(database) = inner.as_ref() else { return false };
        // SQLite's i/o errors leave it open what has reached the disk.
        !database.code().is_some_and(|code| code.len() < 5 && code.parse::<u32>().is_ok_and(|code| code & 0xff == 10))
    }

    /// One line of what could not be done, unless the ledger's own lines on its outage say it already.
    pub fn tell(&self, what: &str) {
        match self {
            Self::Unavailable(_) => tracing::debug!(error = %self, "{what}"),
            Self::Refused(_) | Self::Conflict | Self::Corrupt(_) => tracing::warn!(error = %self, "{what}"),
        }
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
    writing: Arc<Outage>,
    gate: Gate,
}

impl Ledger {
    /// The time that all of the fleet agrees on, in milliseconds since 1970.
    pub async fn now(&self) -> Result<i64> {
        self.inner.clock.now(&self.inner.reads).await
    }

    /// How long this process has had a database, for reading and for writing, without a break.
    pub fn calm_for(&self) -> Duration {
        self.inner.reads.outage.calm_for().min(self.inner.writing.calm_for())
    }

    pub async fn begin(&self) -> Result<Tx> {
        let options = match self.inner.reads.backend {
            DbBackend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(sea_orm::SqliteTransactionMode::Immediate),
                ..Default::default()
            },
            _ => TransactionOptions::default(),
        };
        let (backend, outage) = (self.inner.reads.backend, self.inner.writing.clone());
        let _asking = self.inner.gate.pass(backend, &outage).await?;
        let asked = Instant::now();
        let transaction = bounded(backend, &outage, self.inner.writer.begin_with_options(options)).await?;
        if asked.elapsed() > LATE {
            outage.stumbled();
        }
        metrics().waited_to_write(asked.elapsed());
        let session = Session { connection: Connection::Transaction(transaction), backend, outage };
        let now = self.inner.clock.now_in(&session).await?;
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
    Pool(DatabaseConnection, Gate),
    Transaction(DatabaseTransaction),
}

/// Reads, either each by itself or inside a transaction.
pub struct Session {
    connection: Connection,
    backend: DbBackend,
    outage: Arc<Outage>,
}

/// Waits for an answer, but not for ever; a failure stands in the log as part of its outage.
async fn bounded<T>(backend: DbBackend, outage: &Outage, answer: impl Future<Output = Result<T, DbErr>>) -> Result<T> {
    let answered = match backend {
        DbBackend::Postgres => tokio::time::timeout(ANSWER, answer).await.unwrap_or_else(|_| {
            let text = format!("it did not answer within {} s", ANSWER.as_secs());
            Err(DbErr::Conn(sea_orm::RuntimeErr::Internal(text)))
        }),
        _ => answer.await,
    };
    answered.map_err(|error| {
        let error = LedgerError::from(error);
        if let LedgerError::Unavailable(_) = &error {
            outage.failed(&error);
        }
        error
    })
}

impl Session {
    fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        tracing::trace!(target: "subiteya::sql", sql);
        Statement::from_sql_and_values(self.backend, sql, values)
    }

    async fn one(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<Option<QueryResult>> {
        let statement = self.statement(sql, values);
        match &self.connection {
            Connection::Pool(pool, gate) => self.read(gate, pool.query_one_raw(statement)).await,
            Connection::Transaction(transaction) => self.bounded(transaction.query_one_raw(statement)).await,
        }
    }

    async fn all(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<Vec<QueryResult>> {
        let statement = self.statement(sql, values);
        match &self.connection {
            Connection::Pool(pool, gate) => self.read(gate, pool.query_all_raw(statement)).await,
            Connection::Transaction(transaction) => self.bounded(transaction.query_all_raw(statement)).await,
        }
    }

    /// A read by itself: its answer ends the outage. A transaction's reads don't end one, its commit does.
    async fn read<T>(&self, gate: &Gate, answer: impl Future<Output = Result<T, DbErr>>) -> Result<T> {
        let _asking = gate.pass(self.backend, &self.outage).await?;
        let answered = self.bounded(answer).await?;
        self.outage.worked();
        Ok(answered)
    }

    async fn bounded<T>(&self, answer: impl Future<Output = Result<T, DbErr>>) -> Result<T> {
        bounded(self.backend, &self.outage, answer).await
    }

    /// What a row that is read to be written carries on PostgreSQL. SQLite's writer is alone already.
    fn for_update(&self) -> &'static str {
        match (self.backend, &self.connection) {
            (DbBackend::Postgres, Connection::Transaction(_)) => " for update",
            _ => "",
        }
    }

    /// The same for many rows, without those that somebody else has locked.
    fn skip_locked(&self) -> &'static str {
        if self.for_update().is_empty() { "" } else { " for update skip locked" }
    }

    /// Whoever writes what belongs to a video locks the video first, on PostgreSQL: so no two of them wait for each other.
    async fn lock_video(&self, id: &str, value: String) -> Result<()> {
        if !self.for_update().is_empty() {
            self.one(&format!("select 1 as one from videos where id = {id} for update"), [value.into()]).await?;
        }
        Ok(())
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
        let Session { connection, backend, outage } = self.session;
        if let Connection::Transaction(transaction) = connection {
            bounded(backend, &outage, transaction.commit()).await?;
            outage.worked();
        }
        Ok(())
    }

    async fn run(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64> {
        let statement = self.statement(sql, values);
        let done: ExecResult = match &self.session.connection {
            Connection::Transaction(transaction) => self.bounded(transaction.execute_raw(statement)).await?,
            Connection::Pool(pool, _) => self.bounded(pool.execute_raw(statement)).await?,
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

/// `$1, $2, …`, for `in`; behind so many other values.
fn places(behind: usize, number: usize) -> String {
    (behind + 1..=behind + number).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
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
