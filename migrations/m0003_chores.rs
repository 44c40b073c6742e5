use sea_orm_migration::prelude::*;

pub(super) struct Chores;

impl MigrationName for Chores {
    fn name(&self) -> &str {
        "m0003_chores"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Chores {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, DOWN).await
    }
}

const UP: &[&str] = &[
    // What one process of the fleet does at a time; `place` is how far it has come.
    "create table chores (name text primary key, due_at bigint not null, place text not null)",
    "insert into chores (name, due_at, place) values ('sweep', 0, '')",
    "insert into chores (name, due_at, place) values ('watermarks', 0, '')",
    "insert into chores (name, due_at, place) values ('retention', 0, '')",
    // From when on nothing may count on the bytes any more; they are deleted right after.
    "alter table videos add column source_removed_at bigint",
    "alter table videos add column result_removed_at bigint",
    "create index videos_source_kept on videos (ended_at) where source_removed_at is null and status <> 'NEEDS_REVIEW'",
    "create index videos_result_kept on videos (ended_at) where result_removed_at is null and status <> 'NEEDS_REVIEW'",
    "create index videos_emptied on videos (ended_at) where source_removed_at is not null and result_removed_at is not null",
    // It would be taken for the ones above, and leads past all videos that are still kept.
    "drop index videos_ended",
    // Those that may still be edited with an image of their own.
    "create index videos_branded on videos (id) where brand is not null and edited_key is null",
    "create index idempotency_made on idempotency (created_at)",
    "create index sessions_over on sessions (expires_at)",
    "create index dead_entries_at on dead_entries (at)",
    "create index accounts_removed on accounts (removed_at) where watermark_key is not null",
];

const DOWN: &[&str] = &[
    "drop index accounts_removed",
    "drop index dead_entries_at",
    "drop index sessions_over",
    "drop index idempotency_made",
    "drop index videos_branded",
    "create index videos_ended on videos (ended_at)",
    "drop index videos_emptied",
    "drop index videos_result_kept",
    "drop index videos_source_kept",
    "alter table videos drop column result_removed_at",
    "alter table videos drop column source_removed_at",
    "drop table chores",
];
