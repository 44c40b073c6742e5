use sea_orm_migration::prelude::*;

pub(super) struct First;

impl MigrationName for First {
    fn name(&self) -> &str {
        "m0001_first"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for First {
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
    // One value a name: the instance's id, SQLite's clock, the sequence of releases.
    "create table settings (name text primary key, value text not null)",
    "create table counters (name text primary key, value bigint not null)",
    "insert into counters (name, value) values ('release', 0)",
    // Who may ask. `hash` is the SHA-256 of the key.
    "create table api_keys (
        id text primary key, user_id text not null, role text not null, hash text not null unique,
        created_at bigint not null, revoked_at bigint)",
    // Sign-in links (used once) and the cookies that they turn into.
    "create table sessions (
        hash text primary key, kind text not null, key_id text not null, expires_at bigint not null)",
    // `open_id` is TikTok's name for the creator: limits and fairness go by it. Tokens are sealed.
    "create table accounts (
        id text primary key, user_id text not null, open_id text not null, display_name text not null,
        username text, avatar_url text, state text not null, state_reason text,
        access_token text not null, refresh_token text not null,
        access_expires_at bigint not null, refresh_expires_at bigint, refresh_at bigint not null,
        token_version bigint not null, refresh_lease text, refresh_until bigint not null,
        brand text not null, watermark_key text,
        created_at bigint not null, removed_at bigint)",
    "create index accounts_user on accounts (user_id)",
    "create index accounts_creator on accounts (open_id)",
    "create table videos (
        id text primary key, trace text not null, user_id text not null, account_id text not null,
        title text not null, options text not null, priority bigint not null, publish_at bigint,
        status text not null, progress bigint not null,
        source_key text not null, source_size bigint not null, source_sha256 text not null,
        captions_key text, brand text, probe text not null,
        edited_key text, edited_size bigint, edited_sha256 text, thumbnail_key text,
        post_ids text not null, post_url text, reason_code text, reason_text text,
        created_at bigint not null, updated_at bigint not null, ended_at bigint)",
    "create index videos_user on videos (user_id, id)",
    "create index videos_ended on videos (ended_at)",
    // One stage of one video; also the outbox. `creator` is the account's open_id. `permitted` says that this run has
    // taken its permit, so that the ordered release does not count it against the creator's limit twice.
    "create table tasks (
        id text primary key, video_id text not null, stage text not null,
        account_id text not null, creator text not null, priority bigint not null,
        state text not null, due_at bigint not null, wait_code text, wait_text text,
        seq bigint not null, queued_at bigint not null, entry text, started_at bigint, holder text,
        attempts bigint not null, takeovers bigint not null, token text, lease_until bigint not null,
        permitted bigint not null, unique (video_id, stage))",
    "create index tasks_state on tasks (stage, state, due_at)",
    "create index tasks_lease on tasks (stage, state, lease_until)",
    "create index tasks_release on tasks (stage, creator, seq)",
    "create index tasks_seq on tasks (stage, seq)",
    "create index tasks_entry on tasks (stage, entry)",
    // The publish protocol's row. `record` is the protocol's own state as JSON; what queries need stands beside it.
    "create table publications (
        video_id text primary key, account_id text not null, generation bigint not null, version bigint not null,
        publish_id text, upload_url text, final_started bigint not null, inits bigint not null,
        record text not null, updated_at bigint not null)",
    "create index publications_publish_id on publications (publish_id)",
    // A limit is a row of cells, each the time until which it is taken. `open_at` is when the next one is free.
    "create table limits (
        name text primary key, cells text not null, open_at bigint not null,
        closed_until bigint not null, closed_code text, closed_text text, version bigint not null)",
    "create table pauses (name text primary key, until_at bigint, reason text not null)",
    // How far each priority of a stage has been served (weighted round robin).
    "create table turns (stage text not null, priority bigint not null, pass bigint not null, primary key (stage, priority))",
    "create table history (
        id text primary key, video_id text not null, at bigint not null, stage text, event text not null, detail text not null)",
    "create index history_video on history (video_id, id)",
    // Stream entries that can't be read.
    "create table dead_entries (
        stream text not null, entry text not null, fields text not null, reason text not null, at bigint not null,
        primary key (stream, entry))",
    // Every process that works: who is alive, and what it can carry.
    "create table workers (
        name text primary key, stage text not null, host text not null, pid bigint not null,
        slots bigint not null, busy bigint not null, started_at bigint not null, seen_at bigint not null)",
    "create table redis_usage (
        month text not null, purpose text not null, process text not null, commands bigint not null,
        primary key (month, purpose, process))",
    "create table idempotency (
        user_id text not null, idempotency_key text not null, fingerprint text not null, video_id text not null,
        created_at bigint not null, primary key (user_id, idempotency_key))",
];

const DOWN: &[&str] = &[
    "drop table idempotency",
    "drop table redis_usage",
    "drop table workers",
    "drop table dead_entries",
    "drop table history",
    "drop table turns",
    "drop table pauses",
    "drop table limits",
    "drop table publications",
    "drop table tasks",
    "drop table videos",
    "drop table accounts",
    "drop table sessions",
    "drop table api_keys",
    "drop table counters",
    "drop table settings",
];
