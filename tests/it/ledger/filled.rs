//! Tables filled by the database itself, as large as years of work make them.

use subiteya::event::Stage;

use super::database::Raw;

/// Rows 1 to `number`, as `n.i`.
fn numbers(number: usize) -> String {
    format!("(with recursive c (i) as (select 1 union all select i + 1 from c where i < {number}) select i from c) n")
}

/// A text id that sorts by its number, in the form of a version 7 UUID; `kind` keeps tables apart.
fn id(kind: &str, raw: &Raw) -> String {
    let hex =
        if raw.backend() == sea_orm::DbBackend::Sqlite { "printf('%012x', n.i)" } else { "lpad(to_hex(n.i), 12, '0')" };
    format!("'01990000-0000-7000-8{kind}-' || {hex}")
}

/// Videos that have a row and nothing else.
pub(super) async fn videos(raw: &Raw, number: usize, status: &str) {
    let id = id("001", raw).replace("01990000", "ff000000");
    insert_videos(raw, number, &id, (status, 0), "u1", "a1").await;
}

async fn insert_videos(raw: &Raw, number: usize, id: &str, (status, since): (&str, i64), user: &str, account: &str) {
    let (user, account) = (of_one_in(user, 20), of_one_in(account, 50));
    raw.run(&format!(
        "insert into videos (id, trace, user_id, account_id, title, options, priority, status, progress, source_key,
            source_size, source_sha256, probe, post_ids, created_at, updated_at, ended_at)
         select {id}, {id}, {user}, {account}, 'A clip of number ' || n.i, '{{}}', n.i % 3, '{status}', 100,
            'videos/source', 1, 'hash', '{{}}', '[]', {since} + n.i, {since} + n.i, {since} + n.i from {}",
        numbers(number)
    ))
    .await;
}

/// `a1` stands for itself, `a` for a1 to a50.
fn of_one_in(name: &str, many: usize) -> String {
    if name.ends_with(char::is_numeric) { format!("'{name}'") } else { format!("'{name}' || (n.i % {many} + 1)") }
}

async fn insert_tasks(raw: &Raw, number: usize, stage: Stage, kind: &str, state: &str, columns: &str) {
    let (id, video) = (
        id(&format!("{}0{}", &stage.as_str()[..1].replace('p', "b").replace('c', "d"), kind), raw),
        id(kind_of(kind), raw),
    );
    raw.run(&format!(
        "insert into tasks (id, video_id, stage, account_id, creator, priority, state, attempts, takeovers, permitted,
            due_at, seq, queued_at, entry, started_at, lease_until)
         select {id}, {video}, '{stage}', 'a' || (n.i % 50 + 1), 'c' || (n.i % 50 + 1), n.i % 3, '{state}', 0, 0, 0,
            {columns} from {}",
        numbers(number)
    ))
    .await;
}

fn kind_of(kind: &str) -> &'static str {
    if kind == "1" { "001" } else { "002" }
}

/// Videos that were posted, with all that stays of them.
pub(super) async fn ended(raw: &Raw, number: usize) {
    ended_since(raw, number, 0).await;
}

/// One a millisecond from `since` on, by the ledger's clock.
pub(super) async fn ended_since(raw: &Raw, number: usize, since: i64) {
    let video = id("001", raw);
    insert_videos(raw, number, &video, ("POSTED", since), "u", "a").await;
    for stage in Stage::ALL {
        insert_tasks(raw, number, stage, "1", "done", "n.i, n.i, n.i, (1000000 + n.i) || '-0', n.i, 0").await;
    }
    raw.run(&format!(
        "insert into publications (video_id, account_id, generation, version, publish_id, final_started, inits, record, updated_at)
         select {video}, 'a1', 1, 5, 'v_' || n.i, 1, 1, '{{}}', n.i from {}",
        numbers(number)
    ))
    .await;
    raw.run(&format!(
        "insert into history (id, video_id, at, event, detail) select {}, {video}, n.i, 'posted', '{{}}' from {}",
        id("003", raw),
        numbers(number)
    ))
    .await;
}

/// Half of these wait for edit and half for publish, a tenth of them for a time that is still to come.
pub(super) async fn waiting(raw: &Raw, number: usize) {
    raw.run(&format!(
        "insert into accounts (id, user_id, open_id, display_name, state, access_token, refresh_token, access_expires_at,
            refresh_at, token_version, refresh_until, brand, created_at)
         select 'a' || n.i, 'u' || (n.i % 20 + 1), 'c' || n.i, 'An account', 'ACTIVE', 'x', 'x', 0, 0, 1, 0, '{{}}', 0 from {}",
        numbers(50)
    ))
    .await;
    insert_videos(raw, number, &id("002", raw), ("EDITED", 0), "u", "a").await;
    let due = "case when n.i % 10 = 0 then 9000000000000 else n.i end, 0, 0, null, null, 0";
    insert_tasks(raw, number / 2, Stage::Edit, "2", "waiting", due).await;
    insert_tasks(raw, number, Stage::Publish, "2", "waiting", due).await;
}
