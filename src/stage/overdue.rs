//! Leases that are over, and how long they may be left to their holders.
//!
//! A lease runs out because its worker died, or because nobody could renew anything: the database was away, or the whole
//! machine slept. A holder that lives renews within moments of the database's return, so whoever would take its work over
//! first sees the lease stay over for a grace in which the ledger answers, and takes what is written.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Engine;
use crate::event::LeaseToken;
use crate::ledger::TaskRow;

/// Looks that lie further apart say nothing of what was between them.
const GAP: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Overdue {
    grace: Duration,
    /// How long the ledger must have been without trouble.
    calm: Duration,
    looked: Option<Instant>,
    /// Since when each was seen to be over, in every look.
    since: HashMap<LeaseToken, Instant>,
}

impl Overdue {
    pub(super) fn of(engine: &Engine) -> Self {
        Self::new(engine.grace(), engine.calm())
    }

    fn new(grace: Duration, calm: Duration) -> Self {
        Self { grace, calm, looked: None, since: HashMap::new() }
    }

    /// Of all leases that are over, those that may be taken over now. `calm`: how long the ledger had no trouble.
    pub(super) fn ripe(&mut self, rows: Vec<TaskRow>, now: Instant, calm: Duration) -> Vec<TaskRow> {
        if self.looked.is_some_and(|looked| now - looked > self.grace.max(GAP)) {
            self.since.clear();
        }
        self.looked = Some(now);
        let over: Vec<LeaseToken> = rows.iter().filter_map(|row| row.task.token).collect();
        self.since.retain(|token, _| over.contains(token));
        for token in over {
            self.since.entry(token).or_insert(now);
        }
        let ripe = |row: &TaskRow| {
            let since = row.task.token.and_then(|token| self.since.get(&token));
            since.is_some_and(|since| now - *since >= self.grace && calm >= self.calm)
        };
        rows.into_iter().filter(ripe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Stage, VideoId};
    use crate::task::Task;

    fn row() -> TaskRow {
        let task = Task { token: Some(LeaseToken::new()), ..Task::new(VideoId::new(), Stage::Edit, 0) };
        TaskRow { task, account: String::new(), creator: String::new(), priority: 1 }
    }

    /// How many may be taken over at each of these looks, in seconds, when the ledger had trouble until `calm`.
    fn looks(calm: u64, looks: &[(u64, &[&TaskRow])]) -> Vec<usize> {
        let (start, mut overdue) = (Instant::now(), Overdue::new(Duration::from_secs(10), Duration::from_secs(10)));
        let mut look = |(second, rows): &(u64, &[&TaskRow])| {
            let rows = rows.iter().map(|&row| row.clone()).collect();
            let calm = Duration::from_secs(second.saturating_sub(calm));
            overdue.ripe(rows, start + Duration::from_secs(*second), calm).len()
        };
        looks.iter().map(&mut look).collect()
    }

    #[test]
    fn a_lease_that_stays_over_for_the_grace_is_a_dead_workers() {
        let (one, other) = (row(), row());
        let seen = looks(0, &[(0, &[&one]), (9, &[&one]), (10, &[&one, &other]), (19, &[&other]), (20, &[&other])]);
        assert_eq!(seen, [0, 0, 1, 0, 1]);
    }

    #[test]
    fn what_was_renewed_meanwhile_or_not_looked_at_begins_anew() {
        let (one, other) = (row(), row());
        assert_eq!(looks(0, &[(0, &[&one]), (5, &[&other]), (11, &[&one])]), [0, 0, 0], "renewed");
        assert_eq!(looks(0, &[(0, &[&one]), (30, &[&one]), (40, &[&one])]), [0, 0, 1], "a gap");
        assert_eq!(looks(5, &[(0, &[&one]), (7, &[&one]), (12, &[&one]), (15, &[&one])]), [0, 0, 0, 1], "an outage");
    }
}
