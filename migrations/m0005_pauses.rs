use sea_orm_migration::prelude::*;

/// Who paused something, so that a creator does not lift what an operator has stopped.
pub(super) struct Pauses;

impl MigrationName for Pauses {
    fn name(&self) -> &str {
        "m0005_pauses"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Pauses {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, &["alter table pauses add column set_by text"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, &["alter table pauses drop column set_by"]).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
