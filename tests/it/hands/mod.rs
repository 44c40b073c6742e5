//! What an operator does by hand: look at what failed, try it again, drop it, replay, claim; and ask what a video waits
//! for.

mod claim;
mod dead;
mod explain;
mod manners;
mod pending;
mod poison;
mod replay;
mod viewer;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use subiteya::event::{Stage, VideoId};
use subiteya::ledger::{Edited, Status, TaskRow, Tx, VideoPatch};
use subiteya::outcome::Reason;
use subiteya::stage::publish::chunks::{ChunkPlan, ChunkRules};
use subiteya::stage::publish::record;
use subiteya::stage::publish::row::Publication;
use subiteya::task::{State, Task};

use crate::fixture::Server;
use crate::support::redis::Redis;

fn id(video: &str) -> VideoId {
    video.parse().expect("an id")
}

impl Server {
    async fn tx(&self) -> Tx {
        self.state.ledger.begin().await.expect("a transaction")
    }

    /// Its edit has ended for good.
    pub(crate) async fn fail(&self, video: &str, code: &str) {
        let tx = self.tx().await;
        let row = tx.task_of(id(video), Stage::Edit).await.expect("read").expect("a task");
        let dead = Task { state: State::Dead, attempts: 2, ..row.task.clone() };
        tx.put_task(&row.task, &dead).await.expect("written");
        self.end(&tx, video, Status::Failed, code).await;
        tx.commit().await.expect("committed");
    }

    async fn end(&self, tx: &Tx, video: &str, status: Status, code: &str) {
        let reason = Some(Some(Reason::new(code, format!("because of {code}"))));
        let patch = VideoPatch { status: Some(status), reason, ..VideoPatch::default() };
        tx.patch_video(id(video), patch).await.expect("written");
    }

    /// It is edited, and its publish task stands like this.
    async fn edited(&self, video: &str, state: State, publish_at: Option<i64>) {
        let tx = self.tx().await;
        let row = tx.task_of(id(video), Stage::Edit).await.expect("read").expect("a task");
        tx.put_task(&row.task, &Task { state: State::Done, ..row.task.clone() }).await.expect("written");
        let publish = Task { state, ..Task::new(id(video), Stage::Publish, tx.now()) };
        tx.insert_task(&TaskRow { task: publish, ..row }).await.expect("written");
        let edited = Edited { key: "rendition".to_owned(), size: 5, sha256: "hash".to_owned() };
        let patch = VideoPatch {
            status: Some(Status::Edited),
            progress: Some(100),
            edited: Some(edited),
            publish_at: Some(publish_at),
            ..VideoPatch::default()
        };
        tx.patch_video(id(video), patch).await.expect("written");
        tx.commit().await.expect("committed");
    }

    /// It is edited, and its publishing ended like this.
    async fn publish_ended(&self, video: &str, status: Status, publication: Option<Publication>) {
        let state = match status {
            Status::NeedsReview => State::Review,
            Status::Posted => State::Done,
            _ => State::Dead,
        };
        self.edited(video, state, None).await;
        let tx = self.tx().await;
        if let Some(publication) = publication {
            record::freeze(&tx, id(video), "conn_alice", &publication).await.expect("written");
        }
        self.end(&tx, video, status, "spam_risk").await;
        tx.commit().await.expect("committed");
    }

    async fn task(&self, video: &str, stage: Stage) -> Task {
        self.state.ledger.task_of(id(video), stage).await.expect("read").expect("a task").task
    }

    async fn ask(&self, path: &str) -> Value {
        let answer = self.get(&self.operator, path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.expect("json")
    }

    async fn order(&self, path: &str, body: Value) -> Value {
        let answer = self.post(&self.operator, path, &body).await;
        let (status, body): (_, Value) = (answer.status(), answer.json().await.expect("json"));
        assert_eq!(status, 200, "{path}: {body:#}");
        body
    }

    async fn refused(&self, path: &str, body: Value) -> (u16, String) {
        let answer = self.post(&self.operator, path, &body).await;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.expect("json");
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}

fn publication() -> Publication {
    let plan = ChunkPlan::new(5, &ChunkRules::default()).expect("a plan");
    Publication::freeze("hash".to_owned(), plan, false)
}

/// The calls since the count was last reset, by the command's name in a plan.
async fn calls(redis: &Redis) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for (name, number) in redis.calls().await {
        let name = name.split('|').next().unwrap_or_default().to_uppercase();
        if !["CONFIG", "INFO"].contains(&name.as_str()) {
            *calls.entry(name).or_default() += number;
        }
    }
    calls
}

fn planned(plan: &Value) -> BTreeMap<String, u64> {
    serde_json::from_value(plan["commands"]["now"].clone()).expect("numbers by name")
}

fn refusals(plan: &Value) -> BTreeMap<String, String> {
    let refused = plan["refused"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    refused.map(|one| (text(&one["id"]), text(&one["reason"]["code"]))).collect()
}

fn ids(plan: &Value, list: &str) -> Vec<String> {
    let list = plan[list].as_array().expect("a list").iter();
    let mut ids: Vec<String> = list.map(|one| one["videoId"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

fn dry(mut body: Value) -> Value {
    body["dryRun"] = json!(true);
    body
}

/// With the plan that was seen.
fn agreed(mut body: Value, plan: &Value) -> Value {
    body["plan"] = plan["plan"].clone();
    body
}
