//! What a database says, as people read it: without the place in its own source that PostgreSQL sends along.

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

pub(super) fn by_database(error: &DbErr) -> String {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(inner))
        | DbErr::Exec(RuntimeErr::SqlxError(inner))
        | DbErr::Query(RuntimeErr::SqlxError(inner)) => by_driver(inner),
        other => other.to_string(),
    }
}

pub(super) fn by_driver(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => database.message().to_owned(),
        other => other.to_string(),
    }
}
