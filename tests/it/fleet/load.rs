//! The load that the tests of a fleet put on it, and what became of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures::StreamExt;
use subiteya::ledger::Status;

use crate::support::fleet::Fleet;
use crate::support::standin::StandIn;

/// Uploads under way at once.
const AT_ONCE: usize = 16;

pub(super) fn creators(number: usize) -> Vec<String> {
    (0..number).map(|number| format!("creator{number}")).collect()
}

/// Uploads the clips of these numbers, the creators by turns, and gives the ids of those that were accepted, by title.
pub(super) async fn upload(fleet: &Fleet, creators: &[String], videos: Range<usize>) -> BTreeMap<String, String> {
    let uploads = videos.map(|number| async move {
        let title = format!("video {number}");
        let creator = &creators[number % creators.len()];
        let id = fleet.try_upload_bytes(creator, &title, &[], StandIn::clip(&title)).await;
        id.map(|id| (title, id))
    });
    futures::stream::iter(uploads).buffer_unordered(AT_ONCE).filter_map(async |one| one).collect().await
}

/// Waits as long as something moves.
pub(super) async fn until_posted(fleet: &Fleet, accepted: &BTreeMap<String, String>) {
    let ledger = fleet.ledger().await;
    let mut seen = (0, Instant::now());
    loop {
        let counts = ledger.status_counts(0).await.expect("read");
        let posted = counts.iter().find(|(status, _)| *status == Status::Posted).map_or(0, |(_, number)| *number);
        if usize::try_from(posted).is_ok_and(|posted| posted >= accepted.len()) {
            return;
        }
        if posted > seen.0 {
            seen = (posted, Instant::now());
        }
        assert!(seen.1.elapsed() < Duration::from_secs(60), "nothing moves: {counts:?}\n{}", fleet.logs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What was lost and what was doubled, by the ledger and by the sandbox's record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Accepted, and not POSTED or not at the sandbox.
    pub(super) lost: Vec<String>,
    /// Posted more than once, or by nobody's wish.
    pub(super) double: Vec<String>,
    /// Posted with other bytes than the rendition's.
    pub(super) other_bytes: Vec<String>,
    /// Calls that broke a rule of TikTok's.
    pub(super) rules_broken: usize,
    /// Faults and deaths that tasks were charged with.
    pub(super) attempts: u32,
    pub(super) takeovers: u32,
}

pub(super) async fn verdict(fleet: &Fleet, accepted: &BTreeMap<String, String>) -> Verdict {
    let ledger = fleet.ledger().await;
    let mut posts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for post in fleet.sandbox.posts() {
        posts.entry(post.title).or_default().push(post.sha256);
    }
    let mut verdict = Verdict::default();
    for (title, id) in accepted {
        let id = id.parse().expect("an id");
        let video = ledger.video(id).await.expect("read");
        let posted = posts.remove(title).unwrap_or_default();
        if posted.len() > 1 {
            verdict.double.push(title.clone());
        }
        match video.filter(|video| video.status == Status::Posted && !posted.is_empty()) {
            None => verdict.lost.push(title.clone()),
            Some(video) if video.edited_sha256.as_deref() != posted.first().map(String::as_str) => {
                verdict.other_bytes.push(title.clone());
            }
            Some(_) => {}
        }
        for row in ledger.tasks_of(id).await.expect("read") {
            verdict.attempts += row.task.attempts;
            verdict.takeovers += row.task.takeovers;
        }
    }
    verdict.double.extend(posts.into_keys());
    let broken = subiteya::sandbox::Filter { violations: true, ..Default::default() };
    verdict.rules_broken = fleet.sandbox.record(broken).await.expect("the record").len();
    verdict
}
