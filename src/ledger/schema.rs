//! Bringing the schema up to date, and saying how far it is.

use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};
use sea_orm_migration::MigratorTrait;

use super::connect::{As, connect, sqlite_path};
use super::{ConnectError, Ledger, foreign};
use crate::migrations::Migrator;

/// Any number, but always the same: PostgreSQL's advisory lock that lets one process migrate at a time.
const MIGRATION_LOCK: i64 = 0x5b17e7a;

pub(super) async fn migrate_up(url: &str, writer: &DatabaseConnection) -> Result<(), ConnectError> {
    with_migration_lock(url, writer, async || Ok(Migrator::up(writer, None).await?)).await
}

/// Takes back the last `steps` migrations, or all.
pub async fn migrate_down(url: &str, steps: Option<u32>) -> Result<(), ConnectError> {
    let (_, writer) = connect(url, As::Owner).await?;
    with_migration_lock(url, &writer, async || Ok(Migrator::down(&writer, steps).await?)).await
}

/// Each migration's name, and whether it is applied. Changes nothing.
pub async fn migration_status(url: &str) -> Result<Vec<(String, bool)>, ConnectError> {
    let missing = match Ledger::look(url).await?.0 {
        SchemaStanding::Newer(names) => return Err(ConnectError::Newer(names.join(", "))),
        SchemaStanding::Foreign(text) => return Err(ConnectError::Migration(text)),
        SchemaStanding::Absent | SchemaStanding::Empty => known(),
        SchemaStanding::Behind(missing) => missing,
        SchemaStanding::Current => Vec::new(),
    };
    Ok(known().into_iter().map(|name| (name.clone(), !missing.contains(&name))).collect())
}

/// How far the schema of a database is from this program's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaStanding {
    /// There is no file yet.
    Absent,
    /// It holds no tables yet.
    Empty,
    /// These migrations are missing.
    Behind(Vec<String>),
    /// It has these, which this program doesn't know.
    Newer(Vec<String>),
    /// It holds somebody else's tables; a sentence that names them.
    Foreign(String),
    Current,
}

pub(super) async fn standing(url: &str, connection: &DatabaseConnection) -> Result<SchemaStanding, ConnectError> {
    if let Some(text) = foreign::tables(connection, url).await? {
        return Ok(SchemaStanding::Foreign(text));
    }
    let applied = foreign::applied(connection).await?;
    if applied.is_empty() {
        return Ok(SchemaStanding::Empty);
    }
    let without = |of: &[String], those: &[String]| -> Vec<String> {
        of.iter().filter(|name| !those.contains(name)).cloned().collect()
    };
    let (unknown, missing) = (without(&applied, &known()), without(&known(), &applied));
    Ok(match (unknown.is_empty(), missing.is_empty()) {
        (false, _) => SchemaStanding::Newer(unknown),
        (true, false) => SchemaStanding::Behind(missing),
        (true, true) => SchemaStanding::Current,
    })
}

fn known() -> Vec<String> {
    Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect()
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
        match standing(url, writer).await? {
            SchemaStanding::Foreign(text) => return Err(ConnectError::Migration(text)),
            SchemaStanding::Newer(names) => return Err(ConnectError::Newer(names.join(", "))),
            _ => Migrator::install(writer).await?,
        }
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
