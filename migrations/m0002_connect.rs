use sea_orm_migration::prelude::*;

pub(super) struct Connect;

impl MigrationName for Connect {
    fn name(&self) -> &str {
        "m0002_connect"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Connect {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, DOWN).await
    }
}

const UP: &[&str] = &[
    // Logins at TikTok that are under way. `state` and `browser` are SHA-256 hashes, `verifier` is sealed.
    "create table connects (
        state text primary key, key_id text not null, browser text, account_id text, redirect_uri text not null,
        verifier text not null, created_at bigint not null, expires_at bigint not null, used_at bigint)",
    "create index connects_key on connects (key_id, created_at)",
    "create index connects_expires on connects (expires_at)",
    // What TikTok told us unasked. `id` is the SHA-256 of the body; `due_at` is when it is looked at (again), null once
    // nothing is left to do.
    "create table webhooks (
        id text primary key, event text not null, open_id text, publish_id text, body text not null,
        happened_at bigint not null, received_at bigint not null, due_at bigint, outcome text)",
    "create index webhooks_due on webhooks (due_at)",
    "create index webhooks_received on webhooks (received_at)",
];

const DOWN: &[&str] = &["drop table webhooks", "drop table connects"];
