use sea_orm_migration::prelude::*;

/// Redis commands by day, from which the month's forecast has its range.
pub(super) struct UsageDays;

impl MigrationName for UsageDays {
    fn name(&self) -> &str {
        "m0014_usage_days"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for UsageDays {
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

const UP: &[&str] = &["create table redis_usage_days (day text primary key, commands bigint not null)"];

const DOWN: &[&str] = &["drop table redis_usage_days"];
