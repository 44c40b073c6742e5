use sea_orm_migration::prelude::*;

/// What lets the hot queries find their rows however many tasks and videos have ended (see tests/it/ledger/plans.rs).
pub(super) struct Plans;

impl MigrationName for Plans {
    fn name(&self) -> &str {
        "m0004_plans"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Plans {
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
    // The lanes of the ordered release: each account's waiting work, in order.
    "create index tasks_waiting on tasks (stage, priority, account_id, due_at, id) where state = 'waiting'",
    // What was released before and waits again: among it the publications that resume.
    "create index tasks_again on tasks (stage, due_at) where state = 'waiting' and seq > 0",
    "drop index tasks_entry",
    "create index tasks_entry on tasks (stage, entry) where entry is not null",
    "create index tasks_trim on tasks (stage, seq) where entry is not null",
    "create index videos_status on videos (status, id)",
    "create index videos_user_status on videos (user_id, status, id)",
    "create index videos_account on videos (account_id, id)",
    "create index videos_account_status on videos (account_id, status, id)",
    // The release locks these rows, so they have to be there before the first one.
    "insert into turns (stage, priority, pass) values
        ('edit', 0, 0), ('edit', 1, 0), ('edit', 2, 0), ('publish', 0, 0), ('publish', 1, 0), ('publish', 2, 0)
        on conflict (stage, priority) do nothing",
];

const DOWN: &[&str] = &[
    "drop index videos_account_status",
    "drop index videos_account",
    "drop index videos_user_status",
    "drop index videos_status",
    "drop index tasks_trim",
    "drop index tasks_entry",
    "create index tasks_entry on tasks (stage, entry)",
    "drop index tasks_again",
    "drop index tasks_waiting",
];
