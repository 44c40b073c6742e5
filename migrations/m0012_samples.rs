use sea_orm_migration::prelude::*;

/// What the streams looked like, minute by minute: the pages' charts.
pub(super) struct Samples;

impl MigrationName for Samples {
    fn name(&self) -> &str {
        "m0012_samples"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Samples {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, DOWN).await
    }
}

const UP: &[&str] = &[
    // A null is what nobody could know then. `done` is of the minute before `at`.
    "create table samples (
        at bigint not null, stage text not null, length bigint, lag bigint, pending bigint, oldest_ms bigint,
        waiting bigint not null, parked bigint not null, dead bigint not null, done bigint not null,
        primary key (at, stage))",
    "insert into chores (name, due_at, place) values ('samples', 0, '')",
];

const DOWN: &[&str] = &["delete from chores where name = 'samples'", "drop table samples"];
