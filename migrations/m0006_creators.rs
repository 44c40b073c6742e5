use sea_orm_migration::prelude::*;

pub(super) struct Creators;

impl MigrationName for Creators {
    fn name(&self) -> &str {
        "m0006_creators"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Creators {
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
    // What TikTok last said of a creator (`info`, JSON; null before the first answer), when, and when it was last asked.
    "create table creators (open_id text primary key, info text, known_at bigint not null, asked_at bigint not null)",
];

const DOWN: &[&str] = &["drop table creators"];
