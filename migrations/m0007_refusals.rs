use sea_orm_migration::prelude::*;

/// What TikTok's refusals teach, and indexes for counts that cost what is live.
pub(super) struct Refusals;

impl MigrationName for Refusals {
    fn name(&self) -> &str {
        "m0007_refusals"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Refusals {
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
    // A creator's posts of the last day, the last of them, and how many TikTok took when it refused one more.
    "alter table limits add column posts text not null default '[]'",
    "alter table limits add column posted_at bigint not null default 0",
    "alter table limits add column day_cap bigint",
    "alter table limits add column day_cap_until bigint not null default 0",
    "create index limits_posted on limits (posted_at) where posted_at > 0",
    // What ended of late, by how it ended.
    "create index videos_ended_as on videos (status, ended_at)",
];

const DOWN: &[&str] = &[
    "drop index videos_ended_as",
    "drop index limits_posted",
    "alter table limits drop column day_cap_until",
    "alter table limits drop column day_cap",
    "alter table limits drop column posted_at",
    "alter table limits drop column posts",
];
