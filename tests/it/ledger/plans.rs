//! How the databases find their rows: no question of the hot paths reads a whole table, or all of a stage.
//!
//! The statements are those that the ledger sends, as it traces them; each is explained on tables that are filled and
//! analyzed, on PostgreSQL as the plan that serves every value.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use sea_orm::DbBackend;
use serde_json::json;
use subiteya::event::Stage;
use subiteya::ledger::{ListFilter, Room, Status, VideoPatch};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::database::{Database, New, Raw, Server};
use super::filled;

#[tokio::test]
async fn on_sqlite() {
    hold(Server::sqlite().database("plans").await).await;
}

#[tokio::test]
async fn on_postgresql() {
    let mut server = Server::postgresql().await;
    hold(server.database("plans").await).await;
}

/// What the ledger says of the statements that it sends from this thread.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<BTreeSet<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Sql<'s>(&'s Statements);
        impl Visit for Sql<'_> {
            fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "sql" {
                    self.0.0.lock().unwrap().insert(value.to_owned());
                }
            }
        }
        if event.metadata().target() == "subiteya::sql" {
            event.record(&mut Sql(self));
        }
    }
}

async fn hold(db: Database) {
    let raw = db.raw().await;
    filled::ended(&raw, 10_000).await;
    filled::waiting(&raw, 1_000).await;
    raw.run("analyze").await;
    let statements = Statements::default();
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(statements.clone()));
    hot_paths(&db).await;
    drop(guard);
    let statements = statements.0.lock().unwrap().clone();
    assert!(statements.len() > 40, "the statements are seen: {}", statements.len());
    let mut slow = Vec::new();
    for sql in &statements {
        let plan = plan(&raw, sql).await;
        if plan.iter().any(|line| reads_all(line)) {
            slow.push(format!("{sql}\n  {}", plan.join("\n  ")));
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n\n"));
}

async fn hot_paths(db: &Database) {
    let ledger = &db.ledger;
    let now = ledger.now().await.unwrap();
    for stage in Stage::STREAMED {
        let tx = db.tx().await;
        let task = New::of(stage, "a1").insert(&tx).await;
        tx.release(stage, Room { queued: 150, per_creator: Some(2), at_once: None, permits: None }).await.unwrap();
        tx.release(stage, Room { queued: 400, per_creator: None, at_once: None, permits: None }).await.unwrap();
        tx.release(stage, Room { permits: Some(3), ..Room::for_slots(4, Some(1)) }).await.unwrap();
        let row = tx.task(task.id).await.unwrap().unwrap().task;
        tx.put_task(&row, &row).await.unwrap();
        tx.mark_permitted(task.id).await.unwrap();
        tx.task_of(task.video, stage).await.unwrap();
        tx.video(task.video).await.unwrap();
        tx.patch_video(task.video, VideoPatch { status: Some(Status::Edited), ..VideoPatch::default() }).await.unwrap();
        tx.raise_progress(task.video, 5).await.unwrap();
        tx.publication(task.video).await.unwrap();
        tx.note(task.video, Some(stage), "started", json!({})).await.unwrap();
        tx.waiting_at_tiktok("a1").await.unwrap();
        tx.commit().await.unwrap();
        ledger.due(stage, now, 8).await.unwrap();
        ledger.stalled(stage, now, 8).await.unwrap();
        ledger.running(stage, 8).await.unwrap();
        ledger.overtaken(stage, now, 5_000).await.unwrap();
        ledger.unread_before(stage, now).await.unwrap();
        ledger.anything_out(stage).await.unwrap();
        ledger.queued_before(stage, now).await.unwrap();
        ledger.stage_counts(stage, now).await.unwrap();
        for per_creator in [None, Some(1)] {
            ledger.ready(stage, per_creator, now).await.unwrap();
        }
        tx_parked(db, stage, now).await;
        ledger.trim_bound(stage, now, 60_000).await.unwrap();
        ledger.task_under(stage, "1-0").await.unwrap();
        ledger.tasks_of(task.video).await.unwrap();
        ledger.open_tasks(&[task.video]).await.unwrap();
        ledger.history(task.video).await.unwrap();
        ledger.dead_entry_count("video.edited").await.unwrap();
        let queue = ledger.queue(stage).await.unwrap();
        ledger.between(stage, &queue.waiting[0], &queue.waiting[1], 9).await.unwrap();
    }
    ledger.dead_entries(10).await.unwrap();
    ledger.typical_runs().await.unwrap();
    ledger.limits_of(&["a1".to_owned(), "a2".to_owned()]).await.unwrap();
    ledger.idempotent("u1", "k", now).await.unwrap();
    ledger.account("a1").await.unwrap();
    ledger.limit("publish/a1").await.unwrap();
    ledger.limit_seen("publish/a1").await.unwrap();
    ledger.last_posts(now).await.unwrap();
    ledger.status_counts(now - 86_400_000).await.unwrap();
    ledger.posts_since(now - 86_400_000).await.unwrap();
    let cursor = Some(subiteya::event::VideoId::new());
    for (user, account) in [(None, None), (Some("u1"), None), (None, Some("a1"))] {
        for status in [None, Some(Status::Failed)] {
            for text in [None, Some("no such title".to_owned())] {
                let (user, account) = (user.map(str::to_owned), account.map(str::to_owned));
                ledger.videos(&ListFilter { user, status, account, text, cursor, limit: 50 }).await.unwrap();
            }
        }
    }
}

async fn tx_parked(db: &Database, stage: Stage, now: i64) {
    db.tx().await.parked_for(stage, "reached_active_user_cap", now, 100).await.unwrap();
}

async fn plan(raw: &Raw, sql: &str) -> Vec<String> {
    if raw.backend() == DbBackend::Sqlite {
        let rows = raw.all(&format!("explain query plan {sql}"), vec![]).await;
        return rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
    }
    let values = (1..).take_while(|number| sql.contains(&format!("${number}"))).map(|_| "null").collect::<Vec<_>>();
    let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    raw.run("set plan_cache_mode = force_generic_plan").await;
    raw.run(&format!("prepare explained as {sql}")).await;
    let rows = raw.all(&format!("explain execute explained{values}"), vec![]).await;
    raw.run("deallocate explained").await;
    rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()).collect()
}

/// Whether a line of a plan reads a table that grows, or an index of it by nothing but the stage. Some may: an index of
/// few rows, and one whose order the question stops in.
fn reads_all(line: &str) -> bool {
    const GROWING: [&str; 9] = ["tasks", "videos", "history", "publications", "t", "h", "s", "r", "v"];
    const ORDERED: [&str; 5] =
        ["tasks_waiting", "tasks_again", "tasks_trim", "sqlite_autoindex_videos_1", "sqlite_autoindex_history_1"];
    let words: Vec<&str> = line.split_whitespace().collect();
    let sqlite = words.first() == Some(&"SCAN") && GROWING.contains(&words[1])
        || line.starts_with("SEARCH") && line.contains(" tasks_") && line.ends_with("(stage=?)")
        || line.contains("USE TEMP B-TREE FOR ORDER BY") && line.contains("videos");
    let postgres =
        line.contains("Seq Scan on") && GROWING.iter().any(|table| line.contains(&format!("Seq Scan on {table} ")));
    (sqlite || postgres) && !ORDERED.iter().any(|index| line.contains(index))
}
