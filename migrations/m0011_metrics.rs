use sea_orm_migration::prelude::*;

/// What all processes have counted, and indexes for what a scrape asks.
pub(super) struct Metrics;

impl MigrationName for Metrics {
    fn name(&self) -> &str {
        "m0011_metrics"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Metrics {
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
    // One row for each number of a metric: `labels` is JSON, `part` is empty, `sum`, or the upper bound of a histogram's
    // bucket, which counts its own observations only. Values only grow.
    "create table metrics (
        name text not null, labels text not null, part text not null, value double precision not null,
        primary key (name, labels, part))",
    // Why tasks wait, without reading their rows.
    "create index tasks_parked on tasks (stage, wait_code, due_at) where state = 'waiting'",
    // Whose allowance is used up, and whom TikTok has closed.
    "create index limits_used_up on limits (open_at)",
    "create index limits_closed on limits (closed_until)",
];

const DOWN: &[&str] =
    &["drop index limits_closed", "drop index limits_used_up", "drop index tasks_parked", "drop table metrics"];
