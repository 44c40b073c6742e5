//! Every time and every count of the protocol, in one struct with floors.

use std::time::Duration;

use crate::torture;

/// One second, in milliseconds.
pub const SECOND: i64 = 1_000;
/// One minute, in milliseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// One hour, in milliseconds.
pub const HOUR: i64 = 60 * MINUTE;

/// Milliseconds, but for the counts at the end. `default()` is what production uses; a torture-only build
/// may use smaller ones, together with a sandbox whose URLs expire sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long an upload URL lives after init (TikTok's rule).
    pub url_life: i64,
    /// The longest that one PUT may be on its way: the client's time-out for a chunk.
    pub longest_put: i64,
    /// On top of both, before an id is called dead.
    pub margin: i64,
    /// Between the two FAILED that prove an id dead.
    pub failed_gap: i64,
    /// From the last chunk to a person's look.
    pub review_after: i64,
    /// The first pause between two polls; doubles.
    pub poll_first: i64,
    /// The longest pause between two polls.
    pub poll_longest: i64,
    /// The first pause after a trouble that is nobody's fault; doubles.
    pub trouble_first: i64,
    pub trouble_longest: i64,
    /// How long a post waits for an account that must be connected again, before it looks by itself.
    pub reconnect_pause: i64,
    /// How long an account stays closed that TikTok banned, before it is tried again.
    pub ban_pause: i64,
    /// Troubles in a row that are answered at once, by a question; after more the task is parked.
    pub quick_troubles: i64,
    /// Lost init answers in one generation that end in review.
    pub lost_inits: i64,
    /// How often TikTok may fail a video with a reason that allows another try, before it is FAILED for good.
    pub failures: i64,
    /// Generations after which a person must look.
    pub generations: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            url_life: HOUR,
            longest_put: 10 * MINUTE,
            margin: 10 * MINUTE,
            failed_gap: 10 * MINUTE,
            review_after: 24 * HOUR,
            poll_first: 2 * SECOND,
            poll_longest: HOUR,
            trouble_first: 5 * SECOND,
            trouble_longest: 10 * MINUTE,
            reconnect_pause: HOUR,
            ban_pause: 24 * HOUR,
            quick_troubles: 2,
            lost_inits: 3,
            failures: 3,
            generations: 10,
        }
    }
}

impl Times {
    /// Raises to its floor whatever lies below, so that no configuration can make a second post possible.
    pub fn floored(self) -> Self {
        let floor = Self::default();
        Self {
            url_life: self.url_life.max(floor.url_life),
            longest_put: self.longest_put.max(MINUTE),
            margin: self.margin.max(floor.margin),
            failed_gap: self.failed_gap.max(floor.failed_gap),
            review_after: self.review_after.max(HOUR),
            poll_first: self.poll_first.max(SECOND),
            poll_longest: self.poll_longest.max(MINUTE),
            trouble_first: self.trouble_first.max(SECOND),
            trouble_longest: self.trouble_longest.max(MINUTE),
            reconnect_pause: self.reconnect_pause.max(MINUTE),
            ban_pause: self.ban_pause.max(HOUR),
            quick_troubles: self.quick_troubles.max(0),
            lost_inits: self.lost_inits.max(1),
            failures: self.failures.max(0),
            generations: self.generations.max(1),
        }
    }

    /// As they are, but in a torture-only build: there the sandbox's URLs expire sooner by the same factor.
    pub fn scaled(self) -> Self {
        let scaled = |time: i64| {
            let time = torture::scaled(Duration::from_millis(u64::try_from(time).unwrap_or(0)));
            i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1)
        };
        Self {
            url_life: scaled(self.url_life),
            longest_put: scaled(self.longest_put),
            margin: scaled(self.margin),
            failed_gap: scaled(self.failed_gap),
            review_after: scaled(self.review_after),
            poll_first: scaled(self.poll_first),
            poll_longest: scaled(self.poll_longest),
            trouble_first: scaled(self.trouble_first),
            trouble_longest: scaled(self.trouble_longest),
            reconnect_pause: scaled(self.reconnect_pause),
            ban_pause: scaled(self.ban_pause),
            ..self
        }
    }

    /// How long after init (by TikTok's clock) no byte can arrive any more.
    pub fn dead_after(&self) -> i64 {
        self.url_life + self.longest_put + self.margin
    }

    /// The pause after the `n`th poll (0 is the first).
    pub fn poll_pause(&self, n: i64) -> i64 {
        doubled(self.poll_first, n, self.poll_longest)
    }

    /// The pause after the `n`th trouble in a row (1 is the first).
    pub fn trouble_pause(&self, n: i64) -> i64 {
        doubled(self.trouble_first, n - 1, self.trouble_longest)
    }
}

fn doubled(first: i64, times: i64, longest: i64) -> i64 {
    let factor = 1i64 << times.clamp(0, 40);
    first.saturating_mul(factor).min(longest)
}
