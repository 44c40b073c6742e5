use sea_orm_migration::prelude::*;

/// An index that each move of a task paid for, and that another one serves as well.
pub(super) struct FewerIndexes;

impl MigrationName for FewerIndexes {
    fn name(&self) -> &str {
        "m0013_fewer_indexes"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for FewerIndexes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, DOWN).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const UP: &[&str] = &[
    // What runs is found by `tasks_state`: never more than the fleet has slots.
    "drop index tasks_lease",
];

const DOWN: &[&str] = &["create index tasks_lease on tasks (stage, state, lease_until)"];
