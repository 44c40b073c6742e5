//! Databases for the cases, and rows to fill them with.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement};
use serde_json::json;
use subiteya::event::{LeaseToken, Stage, TraceId, VideoId};
use subiteya::ledger::{Ledger, NewAccount, Priority, Room, Status, TaskRow, TokenPair, Tx, Video};
use subiteya::task::{Claim, Leased, Task};

use crate::support::postgres::Postgres;

pub(super) enum Server {
    Sqlite(tempfile::TempDir),
    Postgres { server: Box<Postgres>, migrated: bool },
}

/// One case's database.
pub(super) struct Database {
    pub(super) url: String,
    pub(super) ledger: Ledger,
}

impl Server {
    pub(super) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a folder"))
    }

    pub(super) async fn postgresql() -> Self {
        Self::Postgres { server: Box::new(Postgres::start().await), migrated: false }
    }

    /// An empty ledger of this name.
    pub(super) async fn database(&mut self, name: &str) -> Database {
        eprintln!("{name}");
        let url = match self {
            Self::Sqlite(folder) => format!("sqlite://{}", folder.path().join(name).with_extension("db").display()),
            Self::Postgres { server, migrated } => {
                if !*migrated {
                    drop(open(&server.url()).await);
                    *migrated = true;
                }
                let gone = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'subiteya'";
                server.sql("postgres", gone);
                // PostgreSQL cuts names at 63 bytes.
                let name = &name[..name.len().min(60)];
                server.sql("postgres", &format!("create database {name} template subiteya"));
                server.url_of(name)
            }
        };
        Database { ledger: open(&url).await, url }
    }
}

pub(super) async fn open(url: &str) -> Ledger {
    Ledger::open(url).await.expect("a ledger")
}

impl Database {
    pub(super) fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite")
    }

    pub(super) async fn tx(&self) -> Tx {
        self.ledger.begin().await.expect("begin")
    }

    /// As another process would have it: with connections of its own.
    pub(super) async fn another(&self) -> Ledger {
        open(&self.url).await
    }

    pub(super) async fn raw(&self) -> Raw {
        let mut options = sea_orm::ConnectOptions::new(&self.url);
        options.max_connections(1).sqlx_logging(false);
        Raw(sea_orm::Database::connect(options).await.expect("a connection"))
    }

    /// An account of the same name, whose creator is `open_<name>`.
    pub(super) async fn account(&self, name: &str) {
        self.account_of(name, &format!("open_{name}")).await;
    }

    pub(super) async fn account_of(&self, name: &str, creator: &str) {
        let tx = self.tx().await;
        tx.put_account(&account(name, creator)).await.expect("an account");
        tx.commit().await.expect("committed");
    }

    pub(super) async fn task(&self, new: New<'_>) -> Task {
        let tx = self.tx().await;
        let task = new.insert(&tx).await;
        tx.commit().await.expect("committed");
        task
    }

    pub(super) async fn put(&self, old: &Task, new: &Task) {
        let tx = self.tx().await;
        tx.put_task(old, new).await.expect("put");
        tx.commit().await.expect("committed");
    }

    pub(super) async fn read(&self, task: &Task) -> Task {
        self.ledger.task(task.id).await.expect("read").expect("a row").task
    }

    /// Releases, and gives the accounts in the order in which their tasks went out.
    pub(super) async fn release(&self, stage: Stage, room: Room) -> Vec<String> {
        let tx = self.tx().await;
        let released = tx.release(stage, room).await.expect("released");
        tx.commit().await.expect("committed");
        let mut accounts = Vec::new();
        for one in released {
            accounts.push(self.ledger.task(one.entry.task).await.expect("read").expect("a row").account);
        }
        accounts
    }
}

/// Statements beside the ledger's own.
pub(super) struct Raw(DatabaseConnection);

impl Raw {
    pub(super) fn backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    pub(super) async fn run(&self, sql: &str) {
        self.0.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub(super) async fn all(&self, sql: &str, values: Vec<sea_orm::Value>) -> Vec<QueryResult> {
        let statement = Statement::from_sql_and_values(self.backend(), sql, values);
        self.0.query_all_raw(statement).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        self.all(sql, vec![]).await[0].try_get_by_index(0).expect("a number")
    }
}

/// A task to be made, with its video.
#[derive(Clone, Copy)]
pub(super) struct New<'n> {
    pub(super) stage: Stage,
    pub(super) account: &'n str,
    pub(super) creator: Option<&'n str>,
    pub(super) priority: Priority,
    /// After now, in milliseconds.
    pub(super) due: i64,
    pub(super) title: &'n str,
}

impl<'n> New<'n> {
    pub(super) fn of(stage: Stage, account: &'n str) -> Self {
        Self { stage, account, creator: None, priority: Priority::Normal, due: 0, title: "a clip" }
    }

    pub(super) fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    pub(super) fn due(self, due: i64) -> Self {
        Self { due, ..self }
    }

    pub(super) async fn insert(self, tx: &Tx) -> Task {
        let video = Video { priority: self.priority, ..video(tx.now(), "ann", self.account, self.title) };
        tx.insert_video(&video).await.expect("a video");
        let task = Task::new(video.id, self.stage, tx.now() + self.due);
        let creator = self.creator.map_or_else(|| format!("open_{}", self.account), str::to_owned);
        let row = TaskRow {
            task: task.clone(),
            account: self.account.to_owned(),
            creator,
            priority: self.priority.as_number(),
        };
        tx.insert_task(&row).await.expect("a task");
        task
    }
}

pub(super) fn claim(lease: u64, entry: &str) -> Claim {
    Claim {
        token: LeaseToken::new(),
        holder: "a worker".into(),
        entry: Some(entry.to_owned()),
        lease: std::time::Duration::from_secs(lease),
    }
}

/// The task under a lease of this claim.
pub(super) fn leased(task: &Task, claim: Claim, now: i64) -> Task {
    match (Task { due_at: task.due_at.min(now), ..task.clone() }).lease(claim, now) {
        Ok(Leased::Granted(task)) => task,
        other => panic!("no lease: {other:?}"),
    }
}

pub(super) fn account(name: &str, creator: &str) -> NewAccount {
    let tokens = TokenPair {
        access: "sealed access".into(),
        refresh: "sealed refresh".into(),
        access_expires_at: 2,
        refresh_at: 1,
        refresh_expires_at: Some(3),
    };
    NewAccount {
        id: name.into(),
        user: "ann".into(),
        open_id: creator.into(),
        display_name: "Ann ✨ O'Hara".into(),
        tokens,
    }
}

pub(super) fn video(now: i64, user: &str, account: &str, title: &str) -> Video {
    Video {
        id: VideoId::new(),
        trace: TraceId::new(),
        user: user.into(),
        account: account.into(),
        title: title.into(),
        options: json!({ "privacy": "SELF_ONLY" }),
        priority: Priority::Normal,
        publish_at: None,
        status: Status::EditingQueued,
        progress: 0,
        source_key: "videos/x/source".into(),
        source_size: 5_000_000_000,
        source_sha256: "00".into(),
        captions_key: None,
        brand: Some(json!({ "watermark": null })),
        probe: json!({ "width": 720 }),
        edited_key: None,
        edited_size: None,
        edited_sha256: None,
        thumbnail_key: None,
        post_ids: vec![],
        post_url: None,
        reason: None,
        created_at: now,
        updated_at: now,
        ended_at: None,
    }
}
