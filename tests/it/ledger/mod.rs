//! The ledger's conformance suite: every case runs on SQLite and on PostgreSQL, each in a database of its own.
//!
//! A file lists its cases in [`on_both!`], which makes one test of them for each back end: a server is started once for
//! many cases.

/// Makes two tests of cases that each take a [`Database`](database::Database).
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn on_sqlite() {
            let mut server = crate::ledger::database::Server::sqlite();
            $(Box::pin($case(server.database(stringify!($case)).await)).await;)+
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn on_postgresql() {
            let mut server = crate::ledger::database::Server::postgresql().await;
            $(Box::pin($case(server.database(stringify!($case)).await)).await;)+
        }
    };
}

mod contention;
mod database;
mod day;
mod errors;
mod filled;
mod forecast;
mod listing;
mod migrations;
mod million;
mod plans;
mod release;
mod rows;
mod tasks;
