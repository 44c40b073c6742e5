//! A database that holds somebody else's tables is left alone: an older system's `videos` and `accounts` would stand in
//! our way half way through the first migration. On PostgreSQL a schema that is named in DATABASE_URL is taken as meant.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use url::Url;

use super::connect::ConnectError;

/// The table in which the migrations that were applied stand.
const APPLIED: &str = "seaql_migrations";
/// How many of the foreign tables a message names.
const NAMED: usize = 5;

/// The URL without its `schema`, and that.
pub(super) fn split_schema(url: &str) -> Result<(String, Option<String>), ConnectError> {
    let Some(mut parsed) = Url::parse(url).ok().filter(|url| url.scheme().starts_with("postgres")) else {
        return Ok((url.to_owned(), None));
    };
    let Some(schema) = parsed.query_pairs().find(|(name, _)| name == "schema").map(|(_, value)| value.into_owned())
    else {
        return Ok((url.to_owned(), None));
    };
    let plain = schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if schema.is_empty() || schema.len() > 63 || !plain {
        let text = "the schema in DATABASE_URL: expected lower-case letters, digits and `_`, as in ?schema=subiteya";
        return Err(ConnectError::Rejected(text.to_owned()));
    }
    let rest: Vec<(String, String)> = parsed.query_pairs().filter(|(name, _)| name != "schema").map(owned).collect();
    parsed.set_query(None);
    if !rest.is_empty() {
        parsed.query_pairs_mut().extend_pairs(rest);
    }
    Ok((parsed.into(), Some(schema)))
}

fn owned((name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), value.into_owned())
}

pub(super) async fn make_schema(connection: &DatabaseConnection, schema: &str) -> Result<(), DbErr> {
    connection.execute_unprepared(&format!("create schema if not exists \"{schema}\"")).await.map(drop)
}

/// What is wrong with a database that is neither empty nor ours.
pub(super) async fn tables(connection: &DatabaseConnection, url: &str) -> Result<Option<String>, DbErr> {
    let advice = match connection.get_database_backend() {
        DbBackend::Sqlite => "set DATABASE_URL to another file",
        _ => "set DATABASE_URL to a database of its own, or name a schema for it: postgres://…/name?schema=subiteya",
    };
    let mut found = all_tables(connection).await?;
    if let Some(at) = found.iter().position(|name| name == APPLIED) {
        found.remove(at);
        if applied(connection).await?.iter().any(|name| name == "m0001_first") {
            return Ok(None);
        }
    }
    let schema_named = url.starts_with("postgres") && (url.contains("schema=") || url.contains("search_path"));
    if found.is_empty() || schema_named {
        return Ok(None);
    }
    let more = if found.len() > NAMED { ", …" } else { "" };
    found.truncate(NAMED);
    Ok(Some(format!("it holds tables that are not SubiteYa's ({}{more}); {advice}", found.join(", "))))
}

/// The migrations that were applied, in any order.
pub(super) async fn applied(connection: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    if !all_tables(connection).await?.iter().any(|name| name == APPLIED) {
        return Ok(Vec::new());
    }
    names(connection, "select version as name from seaql_migrations").await
}

async fn all_tables(connection: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let tables = match connection.get_database_backend() {
        DbBackend::Sqlite => {
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name"
        }
        _ => "select tablename::text as name from pg_tables where schemaname = current_schema() order by tablename",
    };
    names(connection, tables).await
}

async fn names(connection: &DatabaseConnection, sql: &str) -> Result<Vec<String>, DbErr> {
    let rows =
        connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql.to_owned())).await?;
    rows.iter().map(|row| row.try_get("", "name")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_taken_out_of_the_url_and_the_rest_stays() {
        let split = |url: &str| split_schema(url).map(|(url, schema)| (url, schema.unwrap_or_default()));
        let (url, schema) = split("postgres://u:p@h/d?sslmode=require&schema=subiteya").unwrap();
        assert_eq!((url.as_str(), schema.as_str()), ("postgres://u:p@h/d?sslmode=require", "subiteya"));
        assert_eq!(split("postgres://u:p@h/d").unwrap(), ("postgres://u:p@h/d".to_owned(), String::new()));
        assert_eq!(split("sqlite://x/schema=y.db").unwrap().0, "sqlite://x/schema=y.db");
        assert!(split("postgres://h/d?schema=a%22b").is_err());
    }
}
