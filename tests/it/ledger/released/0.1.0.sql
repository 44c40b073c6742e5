-- The schema of 0.1.0 with rows in every table, as both databases take it. Never edited: later releases start from it.

create table settings (name text primary key, value text not null);
create table counters (name text primary key, value bigint not null);
insert into counters (name, value) values ('release', 0);
create table api_keys (
    id text primary key, user_id text not null, role text not null, hash text not null unique,
    created_at bigint not null, revoked_at bigint);
create table sessions (
    hash text primary key, kind text not null, key_id text not null, expires_at bigint not null);
create table accounts (
    id text primary key, user_id text not null, open_id text not null, display_name text not null,
    username text, avatar_url text, state text not null, state_reason text,
    access_token text not null, refresh_token text not null,
    access_expires_at bigint not null, refresh_expires_at bigint, refresh_at bigint not null,
    token_version bigint not null, refresh_lease text, refresh_until bigint not null,
    brand text not null, watermark_key text,
    created_at bigint not null, removed_at bigint);
create index accounts_user on accounts (user_id);
create index accounts_creator on accounts (open_id);
create table videos (
    id text primary key, trace text not null, user_id text not null, account_id text not null,
    title text not null, options text not null, priority bigint not null, publish_at bigint,
    status text not null, progress bigint not null,
    source_key text not null, source_size bigint not null, source_sha256 text not null,
    captions_key text, brand text, probe text not null,
    edited_key text, edited_size bigint, edited_sha256 text, thumbnail_key text,
    post_ids text not null, post_url text, reason_code text, reason_text text,
    created_at bigint not null, updated_at bigint not null, ended_at bigint);
create index videos_user on videos (user_id, id);
create index videos_ended on videos (ended_at);
create table tasks (
    id text primary key, video_id text not null, stage text not null,
    account_id text not null, creator text not null, priority bigint not null,
    state text not null, due_at bigint not null, wait_code text, wait_text text,
    seq bigint not null, queued_at bigint not null, entry text, started_at bigint, holder text,
    attempts bigint not null, takeovers bigint not null, token text, lease_until bigint not null,
    permitted bigint not null, unique (video_id, stage));
create index tasks_state on tasks (stage, state, due_at);
create index tasks_lease on tasks (stage, state, lease_until);
create index tasks_release on tasks (stage, creator, seq);
create index tasks_seq on tasks (stage, seq);
create index tasks_entry on tasks (stage, entry);
create table publications (
    video_id text primary key, account_id text not null, generation bigint not null, version bigint not null,
    publish_id text, upload_url text, final_started bigint not null, inits bigint not null,
    record text not null, updated_at bigint not null);
create index publications_publish_id on publications (publish_id);
create table limits (
    name text primary key, cells text not null, open_at bigint not null,
    closed_until bigint not null, closed_code text, closed_text text, version bigint not null);
create table pauses (name text primary key, until_at bigint, reason text not null);
create table turns (stage text not null, priority bigint not null, pass bigint not null, primary key (stage, priority));
create table history (
    id text primary key, video_id text not null, at bigint not null, stage text, event text not null, detail text not null);
create index history_video on history (video_id, id);
create table dead_entries (
    stream text not null, entry text not null, fields text not null, reason text not null, at bigint not null,
    primary key (stream, entry));
create table workers (
    name text primary key, stage text not null, host text not null, pid bigint not null,
    slots bigint not null, busy bigint not null, started_at bigint not null, seen_at bigint not null);
create table redis_usage (
    month text not null, purpose text not null, process text not null, commands bigint not null,
    primary key (month, purpose, process));
create table idempotency (
    user_id text not null, idempotency_key text not null, fingerprint text not null, video_id text not null,
    created_at bigint not null, primary key (user_id, idempotency_key));

create table seaql_migrations (version varchar(255) not null primary key, applied_at bigint not null);
insert into seaql_migrations values ('m0001_first', 1790000000);
insert into settings values ('instance', '01900000-0000-7000-8000-0000000000aa'), ('clock', 'another-boot/5');
update counters set value = 41 where name = 'release';
insert into api_keys values ('k1', 'ann', 'creator', 'hash1', 1, null), ('k2', 'bob', 'viewer', 'hash2', 2, 3);
insert into sessions values ('cookie', 'cookie', 'k1', 9000000000000);
insert into accounts values
    ('ada', 'ann', 'open_ada', 'Ada ✨ O''Hara', 'ada_l', null, 'ACTIVE', null, 'sealed a', 'sealed r', 5, 6, 4, 3, null, 0,
        '{"watermark":null,"captions":null,"effects":["grade"]}', 'brands/ada', 1, null),
    ('bob', 'bob', 'open_bob', 'Bob', null, null, 'RECONNECT', 'revoked', '', '', 0, null, 0, 1, 'x', 9, '{}', null, 2, 8);
insert into videos values
    ('01900000-0000-7000-8000-000000000001', '01900000-0000-7000-8000-0000000000f1', 'ann', 'ada', '🎬 "waits" 100%', '{"privacy":"SELF_ONLY"}',
        2, 1900000000000, 'EDITED', 100, 'videos/1/source', 5000000000, 's1', 'videos/1/captions', '{"effects":[]}', '{"width":720}',
        'videos/1/edited', 4000000000, 'e1', 'videos/1/thumbnail', '[]', null, null, null, 10, 20, null),
    ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-0000000000f2', 'ann', 'ada', 'was posted', '{}',
        0, null, 'POSTED', 100, 'videos/2/source', 1, 's2', null, null, '{}', 'videos/2/edited', 2, 'e2', null,
        '["777"]', 'https://www.tiktok.com/@ada_l/video/777', null, null, 11, 21, 31),
    ('01900000-0000-7000-8000-000000000003', '01900000-0000-7000-8000-0000000000f3', 'bob', 'bob', 'has failed', '{}',
        1, null, 'FAILED', 0, 'videos/3/source', 1, 's3', null, null, '{}', null, null, null, null, '[]', null,
        'unreadable', 'FFmpeg says: ''no''', 12, 22, 32);
insert into tasks values
    ('01900000-0000-7000-8000-0000000000e1', '01900000-0000-7000-8000-000000000001', 'edit', 'ada', 'open_ada', 2, 'done', 10, null, null,
        39, 11, '1700000000000-0', 12, 'gone', 0, 0, null, 0, 1),
    ('01900000-0000-7000-8000-0000000000b1', '01900000-0000-7000-8000-000000000001', 'publish', 'ada', 'open_ada', 2, 'waiting', 13,
        'rate_limit', 'TikTok says later', 40, 14, null, 15, null, 1, 0, null, 0, 0),
    ('01900000-0000-7000-8000-0000000000b2', '01900000-0000-7000-8000-000000000002', 'publish', 'ada', 'open_ada', 0, 'done', 10, null, null,
        41, 11, '1700000000001-0', 12, 'gone', 0, 0, null, 0, 1),
    ('01900000-0000-7000-8000-0000000000d2', '01900000-0000-7000-8000-000000000002', 'confirm', 'ada', 'open_ada', 0, 'running', 10, null, null,
        0, 0, null, 12, 'a worker', 0, 1, '01900000-0000-7000-8000-0000000000cc', 99, 0);
insert into publications values
    ('01900000-0000-7000-8000-000000000001', 'ada', 2, 7, 'v_pub_1', 'sealed url', 0, 3, '{"step":"sending"}', 16);
insert into limits values ('publish/open_ada', '[1,2,3]', 1, 9, 'spam', 'TikTok says no', 4);
insert into pauses values ('account/bob', null, 'asked by Bob'), ('stage/edit', 5, '');
insert into turns values ('publish', 0, 50), ('publish', 1, 60), ('publish', 2, 70);
insert into history values
    ('000000000000010-a', '01900000-0000-7000-8000-000000000001', 10, null, 'uploaded', '{"size":1}'),
    ('000000000000012-b', '01900000-0000-7000-8000-000000000001', 12, 'edit', 'started', '{}');
insert into dead_entries values ('video.edited', '1-0', '{}', 'the field `video` is missing', 5);
insert into workers values ('w', 'edit', 'h', 1, 2, 0, 3, 4);
insert into redis_usage values ('2026-11', 'append', 'serve', 42);
insert into idempotency values ('ann', 'key', 'print', '01900000-0000-7000-8000-000000000001', 10);
