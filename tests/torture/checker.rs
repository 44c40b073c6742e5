//! What must be true of every video when all is quiet.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;
use subiteya::event::Stage;
use subiteya::sandbox::{Filter, Kind, Post};

use crate::support::fleet::Fleet;
use crate::timeline;

const ENDS: [&str; 4] = ["POSTED", "FAILED", "CANCELED", "NEEDS_REVIEW"];

pub(crate) fn is_end(video: &Value) -> bool {
    video["status"].as_str().is_some_and(|status| ENDS.contains(&status))
}

pub(crate) async fn all(fleet: &Fleet) -> Vec<Value> {
    let (mut videos, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = fleet.get(&format!("/api/videos?limit=100{cursor}")).await;
        let Some(listed) = page["videos"].as_array() else { panic!("no videos: {page:#}\n{}", fleet.logs()) };
        videos.extend(listed.iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return videos,
        }
    }
}

/// Calls that change something at TikTok and come after a video's end: none, unless a frozen worker wakes in the middle
/// of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    None,
    /// So many workers woke after the end.
    Zombies(usize),
    /// Nobody counted who was frozen.
    Unknown,
}

/// One video, with its timeline, and the posts of its title.
pub(crate) async fn video(fleet: &Fleet, video: &Value, late: Late) -> Vec<String> {
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
    let ledger = fleet.ledger().await;
    let row = ledger.video(id).await.expect("read");
    let hash = row.and_then(|row| row.edited_sha256).unwrap_or_default();
    if posts.iter().any(|post| post.sha256 != hash) {
        wrong.push(format!("posted other bytes than the rendition's, {hash}: {posts:?}"));
    }
    wrong.extend(timeline::wrong(video));
    let publication = ledger.publication(id).await.expect("read");
    let publish_ids = posts.into_iter().map(|post| post.publish_id).chain(publication.and_then(|row| row.publish_id));
    wrong.extend(after_the_end(fleet, video, publish_ids.collect(), late).await);
    wrong
}

async fn after_the_end(fleet: &Fleet, video: &Value, publish_ids: BTreeSet<String>, late: Late) -> Option<String> {
    let ended: DateTime<Utc> = video["endedAt"].as_str()?.parse().expect("a time");
    let mut calls = Vec::new();
    for publish_id in publish_ids {
        let filter = Filter { publish_id: Some(publish_id), ..Filter::default() };
        calls.extend(fleet.sandbox.record(filter).await.expect("the record"));
    }
    calls.retain(|call| matches!(call.kind, Kind::Init | Kind::Chunk) && call.wall_time > ended);
    let allowed = match late {
        Late::None => 0,
        Late::Zombies(number) => number,
        Late::Unknown => usize::MAX,
    };
    (calls.len() > allowed).then(|| format!("{} calls after the end at {ended}: {calls:?}", calls.len()))
}

/// What holds for the installation as a whole. `limits`: so many in so many seconds.
pub(crate) async fn whole(fleet: &Fleet, limits: &[(Scope, usize, f64)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let videos = all(fleet).await;
    let titles: Vec<_> = videos.iter().filter_map(|video| video["title"].as_str()).collect();
    let strays = fleet.sandbox.posts().into_iter().filter(|post| !titles.contains(&post.title.as_str()));
    wrong.extend(strays.map(|post| format!("a post of nobody's: {post:?}")));
    let inits = fleet.calls(Kind::Init).await;
    for &(scope, count, seconds) in limits {
        let mut groups: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
        match scope {
            Scope::Edits => groups.entry(String::new()).or_default().extend(edits(fleet, &videos).await),
            Scope::Inits => groups.entry(String::new()).or_default().extend(inits.iter().map(|call| call.wall_time)),
            Scope::InitsOfCreator => inits.iter().for_each(|call| {
                groups.entry(call.open_id.clone().unwrap_or_default()).or_default().push(call.wall_time);
            }),
        }
        let overfull = groups.into_values().flat_map(|times| overfull(times, count, seconds * scope.jitter()));
        wrong.extend(overfull.map(|window| format!("{scope:?}, {count} in {seconds} s: {window}")));
    }
    wrong.extend(unannounced(fleet, &videos, inits.len()).await);
    let broken = fleet.sandbox.record(Filter { violations: true, ..Filter::default() }).await.expect("the record");
    wrong.extend(broken.iter().map(|call| format!("a rule of TikTok's was broken: {call:?}")));
    let faults = ["panicked", "is locked", "unreadable"];
    let logs = fleet.logs();
    wrong.extend(logs.lines().filter(|line| faults.iter().any(|fault| line.contains(fault))).map(str::to_owned));
    wrong
}

/// Every init that reached TikTok was committed as an intent before.
async fn unannounced(fleet: &Fleet, videos: &[Value], sent: usize) -> Option<String> {
    let ledger = fleet.ledger().await;
    let mut intents = 0;
    for video in videos {
        let id = video["id"].as_str().expect("an id").parse().expect("an id");
        intents += ledger.publication(id).await.expect("read").map_or(0, |row| row.inits);
    }
    let announced = usize::try_from(intents).is_ok_and(|intents| sent <= intents);
    (!announced).then(|| format!("TikTok saw {sent} inits, and {intents} were intended"))
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Runs of the edit stage, as the ledger has them.
    Edits,
    /// As they came to TikTok.
    Inits,
    InitsOfCreator,
}

impl Scope {
    /// A busy machine may bring inits closer together than their permits were.
    fn jitter(self) -> f64 {
        if self == Self::Edits { 1.0 } else { 0.9 }
    }
}

async fn edits(fleet: &Fleet, videos: &[Value]) -> Vec<DateTime<Utc>> {
    let ledger = fleet.ledger().await;
    let mut times = Vec::new();
    for video in videos {
        let id = video["id"].as_str().expect("an id").parse().expect("an id");
        let lines = ledger.history(id).await.expect("read");
        let runs = lines
            .iter()
            .filter(|line| line.stage == Some(Stage::Edit) && matches!(line.event.as_str(), "started" | "taken over"));
        times.extend(runs.filter_map(|line| DateTime::from_timestamp_millis(line.at)));
    }
    times
}

/// Every window that holds more than `count`.
fn overfull(mut times: Vec<DateTime<Utc>>, count: usize, seconds: f64) -> Vec<String> {
    times.sort_unstable();
    let windows = times.windows(count + 1);
    let short = windows.filter(|window| (window[count] - window[0]).as_seconds_f64() < seconds);
    short.map(|window| format!("{} from {} to {}", count + 1, window[0], window[count])).collect()
}

#[test]
fn a_window_that_holds_too_many_is_noticed() {
    let at = |millis: i64| DateTime::from_timestamp_millis(millis).expect("a time");
    assert_eq!(overfull(vec![at(0), at(900), at(1_000), at(1_900)], 2, 1.0), Vec::<String>::new());
    assert_eq!(overfull(vec![at(0), at(999), at(900), at(2_000)], 2, 1.0).len(), 1);
}
