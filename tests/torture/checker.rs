//! What must be true of every video when all is quiet.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use subiteya::sandbox::{Call, Filter, Kind, Post};

use crate::support::fleet::Fleet;

const ENDS: [&str; 4] = ["POSTED", "FAILED", "CANCELED", "NEEDS_REVIEW"];

pub(crate) fn is_end(video: &Value) -> bool {
    ENDS.contains(&video["status"].as_str().expect("a status"))
}

pub(crate) async fn all(fleet: &Fleet) -> Vec<Value> {
    let (mut videos, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = fleet.get(&format!("/api/videos?limit=100{cursor}")).await;
        videos.extend(page["videos"].as_array().expect("videos").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return videos,
        }
    }
}

/// One video, with its timeline, and the posts of its title.
pub(crate) async fn video(fleet: &Fleet, video: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let (title, status) = (video["title"].as_str().expect("a title"), video["status"].as_str().expect("a status"));
    let posts: Vec<Post> = fleet.posts(title);
    let fits = match status {
        "POSTED" => posts.len() == 1,
        "NEEDS_REVIEW" | "PROCESSING" => posts.len() <= 1,
        "FAILED" if video["reason"]["code"] == "given_up" => posts.len() <= 1,
        "FAILED" | "CANCELED" => posts.is_empty(),
        _ => false,
    };
    if !fits {
        wrong.push(format!("{status} with {} posts: {video:#}", posts.len()));
    }
    if status == "FAILED" && video["reason"]["text"].as_str().is_none_or(str::is_empty) {
        wrong.push(format!("failed without a reason: {video:#}"));
    }
    let id = video["id"].as_str().expect("an id").parse().expect("an id");
    let row = fleet.ledger().await.video(id).await.expect("read");
    let hash = row.and_then(|row| row.edited_sha256).unwrap_or_default();
    if posts.iter().any(|post| post.sha256 != hash) {
        wrong.push(format!("posted other bytes than the rendition's, {hash}: {posts:?}"));
    }
    let events = Fleet::events(video);
    let posted = events.iter().position(|event| event.ends_with("/posted"));
    let again = |event: &String| ["edit/started", "edit/edited", "publish/init"].contains(&event.as_str());
    if let Some(posted) = posted
        && let Some(after) = events[posted..].iter().find(|event| again(event))
    {
        wrong.push(format!("{after} after it was posted: {events:?}"));
    }
    wrong
}

/// What holds for the installation as a whole. `limits`: of all and of each creator, inits in so many seconds.
pub(crate) async fn whole(fleet: &Fleet, limits: &[(Scope, usize, f64)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let videos = all(fleet).await;
    let titles: Vec<_> = videos.iter().filter_map(|video| video["title"].as_str()).collect();
    let strays = fleet.sandbox.posts().into_iter().filter(|post| !titles.contains(&post.title.as_str()));
    wrong.extend(strays.map(|post| format!("a post of nobody's: {post:?}")));
    let inits = fleet.calls(Kind::Init).await;
    for &(scope, count, seconds) in limits {
        let mut groups: BTreeMap<String, Vec<&Call>> = BTreeMap::new();
        for call in &inits {
            let group = if scope == Scope::Creator { call.open_id.clone().unwrap_or_default() } else { String::new() };
            groups.entry(group).or_default().push(call);
        }
        groups.values().for_each(|calls| window(calls, count, seconds, &mut wrong));
    }
    let broken = fleet.sandbox.record(Filter { violations: true, ..Filter::default() }).await.expect("the record");
    wrong.extend(broken.iter().map(|call| format!("a rule of TikTok's was broken: {call:?}")));
    let faults = ["panicked", "is locked", "unreadable"];
    let logs = fleet.logs();
    wrong.extend(logs.lines().filter(|line| faults.iter().any(|fault| line.contains(fault))).map(str::to_owned));
    wrong
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    Creator,
}

/// What a busy machine may add between a permit and the arrival of its init.
const JITTER: f64 = 0.9;

/// At most `count` calls in any window, by their arrival.
fn window(calls: &[&Call], count: usize, seconds: f64, wrong: &mut Vec<String>) {
    let mut times: Vec<DateTime<Utc>> = calls.iter().map(|call| call.wall_time).collect();
    times.sort_unstable();
    for window in times.windows(count + 1) {
        let took = (window[count] - window[0]).as_seconds_f64();
        if took < seconds * JITTER {
            wrong.push(format!("{} inits in {took:.3} s, {count} in {seconds} s are allowed: {window:?}", count + 1));
        }
    }
}
