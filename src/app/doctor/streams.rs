//! The streams and their groups, against what the ledger has put there.

use std::collections::HashSet;

use super::report::Report;
use crate::config::Config;
use crate::event::Stage;
use crate::ledger::{Ledger, LedgerError};
use crate::stream::{GroupInfo, StreamError, StreamInfo, Streams};

const PART: &str = "streams";
/// An entry that was released so long ago has been appended, or has been lost.
const LONG: i64 = 30_000;

pub(super) async fn look(config: &Config, ledger: &Ledger, streams: &Streams, report: &mut Report) {
    for stage in Stage::STREAMED {
        let name = stage.stream().unwrap_or_default();
        match compare(config, ledger, streams, stage).await {
            Ok(found) => found.tell(stage, report),
            Err(Trouble::Redis(StreamError::Refused(text))) if text.starts_with("WRONGTYPE") => report.ill(
                PART,
                format!("the key {name} holds something that is no stream: another program uses this Redis"),
                format!("redis-cli RENAME {name} {name}.foreign, or set REDIS_URL to a Redis of its own"),
            ),
            Err(Trouble::Redis(error)) => report.ill(
                PART,
                format!("{name}: {error}"),
                "let the user send what ARCHITECTURE.md lists (ACL SETUSER …)",
            ),
            Err(Trouble::Ledger(error)) => report.ill(PART, format!("{name}: {error}"), "see to the database"),
        }
    }
    if report.is_well(PART) {
        report.well(PART, "they hold what the ledger has put there");
    }
}

enum Trouble {
    Redis(StreamError),
    Ledger(LedgerError),
}

impl From<StreamError> for Trouble {
    fn from(error: StreamError) -> Self {
        Self::Redis(error)
    }
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// A stream as Redis has it, beside what the ledger says.
struct Compared {
    info: StreamInfo,
    /// Tasks that were released long ago and that nobody has started.
    queued: u64,
    /// The entry that was started last.
    started: Option<String>,
    /// The newest entry's id, if the ledger doesn't know its task.
    unknown: Option<String>,
    /// Consumers with entries that are no workers of ours, and how many they hold.
    strangers: Vec<(String, u64)>,
}

/// In this order no move of a running fleet looks like a fault: what was started before Redis was asked has been
/// delivered, and what is still queued after it was on the stream.
async fn compare(config: &Config, ledger: &Ledger, streams: &Streams, stage: Stage) -> Result<Compared, Trouble> {
    let now = ledger.now().await?;
    let started = ledger.newest_started_entry(stage).await?;
    let mut workers = names(ledger).await?;
    let info = streams.stream_info(stage).await?;
    workers.extend(names(ledger).await?);
    let queued = ledger.long_queued(stage, now - LONG).await?;
    // Rows of videos that ended long ago are gone, while their entries may still be there.
    let kept = config.stages.edit.retain.min(config.stages.publish.retain);
    let oldest = now - i64::try_from(kept.as_millis()).unwrap_or(i64::MAX) / 2;
    let unknown = match &info.last {
        Some((id, entry)) if milliseconds(id) > oldest => match entry {
            Some(entry) if ledger.has_task(entry.task).await? => None,
            _ => Some(id.clone()),
        },
        _ => None,
    };
    let consumers = info.group.iter().flat_map(|group| &group.consumers);
    let strangers = consumers.filter(|one| one.pending > 0 && !workers.contains(&one.name));
    let strangers = strangers.map(|one| (one.name.clone(), one.pending)).collect();
    Ok(Compared { info, queued, started, unknown, strangers })
}

async fn names(ledger: &Ledger) -> Result<HashSet<String>, LedgerError> {
    Ok(ledger.workers(0).await?.into_iter().map(|worker| worker.name).collect())
}

fn milliseconds(id: &str) -> i64 {
    id.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0)
}

impl Compared {
    fn tell(&self, stage: Stage, report: &mut Report) {
        let stream = stage.stream().unwrap_or_default();
        match &self.info.group {
            _ if !self.info.exists && self.queued > 0 => report.ill(
                PART,
                format!("{} tasks are out on {stream}, and Redis has no such stream: it was wiped, or is another one than the workers'", self.queued),
                format!("see that `subiteya work {stage}` runs, which puts them there anew, and on this REDIS_URL"),
            ),
            None if self.info.exists && (self.queued > 0 || self.started.is_some()) => report.ill(
                PART,
                format!("the group {stage} of {stream} is gone, so nobody reads it"),
                format!("see that `subiteya work {stage}` runs, which makes it; or redis-cli XGROUP CREATE {stream} {stage} 0"),
            ),
            Some(group) => self.tell_of_group(stage, group, report),
            None => {}
        }
        for other in &self.info.other_groups {
            report.doubt(
                PART,
                format!("{stream} has a group {other}, which is none of ours: another program reads it"),
                format!("redis-cli XGROUP DESTROY {stream} {other}, unless you know whose it is"),
            );
        }
        if let Some(id) = &self.unknown {
            report.ill(
                PART,
                format!("the newest entry of {stream}, {id}, is of no task in this database: another installation uses this Redis, or the database was restored"),
                "give each installation a Redis of its own (REDIS_URL); after a restore see docs/running.md",
            );
        }
    }

    fn tell_of_group(&self, stage: Stage, group: &GroupInfo, report: &mut Report) {
        let stream = stage.stream().unwrap_or_default();
        if let Some(started) = self.started.as_deref().filter(|started| self.info.stands_before(started)) {
            report.ill(
                PART,
                format!(
                    "the group {stage} of {stream} was set back: it stands at {}, and {started} was delivered",
                    group.last_delivered
                ),
                format!("redis-cli XGROUP SETID {stream} {stage} {started}"),
            );
        }
        let out = group.lag.map(|lag| lag + group.pending);
        if let Some(out) = out.filter(|out| *out < self.queued) {
            report.ill(
                PART,
                format!(
                    "{} tasks are out on {stream}, and Redis has {out} entries for them: it lost some",
                    self.queued
                ),
                format!(
                    "see that `subiteya work {stage}` runs, which puts them there anew; why: redis-cli INFO persistence"
                ),
            );
        }
        for (name, pending) in &self.strangers {
            report.ill(
                PART,
                format!("the consumer {name} of {stream} holds {pending} entries and is no worker of this installation"),
                format!("stop what reads there; then redis-cli XGROUP DELCONSUMER {stream} {stage} {name}: the ledger releases them anew"),
            );
        }
    }
}
