//! The month's Redis commands against the plan's cap, and what is held back as the cap comes near: sweeps first, then
//! editing, so that what is edited can still be published.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};

mod outlook;
mod provider;

pub use outlook::{Range, range};
pub use provider::Provider;

const WARNING: f64 = 0.80;
const CRITICAL: f64 = 0.95;
/// What is left from here on is for the posts of what was edited last.
const LAST: f64 = 0.9995;

/// How far the plan is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Ok,
    /// From 80 % on: sweeps without a reason come more seldom.
    Warning,
    /// From 95 % on: what is left is kept for publishing, see [`holds_edits`].
    Critical,
    Over,
}

impl Step {
    /// `cap` 0: not metered.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub fn of(total: u64, cap: u64) -> Self {
        match total as f64 / cap as f64 {
            _ if cap == 0 => Step::Ok,
            share if share >= 1.0 => Step::Over,
            share if share >= CRITICAL => Step::Critical,
            share if share >= WARNING => Step::Warning,
            _ => Step::Ok,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Step::Ok => "OK",
            Step::Warning => "WARNING",
            Step::Critical => "CRITICAL",
            Step::Over => "OVER",
        }
    }
}

/// Whether editing waits: from 95 % on it may use no more than the month's course allows, so that the last twentieth lasts
/// to the month's end.
#[expect(clippy::cast_precision_loss, reason = "a share")]
pub fn holds_edits(total: u64, cap: u64, elapsed: f64) -> bool {
    cap > 0 && total as f64 >= cap as f64 * elapsed.clamp(CRITICAL, LAST)
}

/// How far a month is, in days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    over: f64,
    whole: f64,
}

impl Course {
    pub fn days_left(self) -> f64 {
        (self.whole - self.over).max(0.0)
    }
}

/// How much of the month is over; never less than an hour's share, so that its first minutes promise nothing wild.
pub fn elapsed(now: DateTime<Utc>) -> f64 {
    let Course { over, whole } = course(now);
    over / whole
}

/// Where `now` stands in its month; never in its first hour.
pub fn course(now: DateTime<Utc>) -> Course {
    let Some(first) = NaiveDate::from_ymd_opt(now.year(), now.month(), 1) else {
        return Course { over: 1.0, whole: 1.0 };
    };
    let begin = first.and_time(NaiveTime::MIN).and_utc();
    let end = begin.checked_add_months(Months::new(1)).unwrap_or(now);
    #[expect(clippy::cast_precision_loss, reason = "days of a month, from seconds")]
    let days = |seconds: i64| seconds as f64 / 86_400.0;
    Course { over: days((now - begin).num_seconds().max(3600)), whole: days((end - begin).num_seconds().max(1)) }
}

/// `2026-11`, in UTC: a plan's month.
pub fn month(now: DateTime<Utc>) -> String {
    now.format("%Y-%m").to_string()
}

/// `2026-11-03`, in UTC.
pub fn day(now: DateTime<Utc>) -> String {
    now.format("%Y-%m-%d").to_string()
}

/// What a process holds back at present; cheap to clone. It follows the ledger's count of all processes.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    held: Arc<AtomicU8>,
}

const SWEEPS: u8 = 1;
const EDITS: u8 = 2;

impl Budget {
    pub fn see(&self, total: u64, cap: u64, elapsed: f64) {
        let step = Step::of(total, cap);
        let edits = holds_edits(total, cap, elapsed);
        let held = if step >= Step::Warning { SWEEPS } else { 0 } | if edits { EDITS } else { 0 };
        let before = self.held.swap(held, Ordering::Relaxed);
        if held & EDITS != before & EDITS {
            if edits {
                tracing::warn!(
                    total,
                    cap,
                    "the month's Redis commands are nearly used up: editing waits, what is left is for publishing"
                );
            } else {
                tracing::info!(total, cap, "there are Redis commands for editing again");
            }
        } else if held & SWEEPS > before & SWEEPS {
            tracing::warn!(total, cap, "80 % of the month's Redis commands are used up: sweeps come more seldom");
        }
    }

    pub fn stretches_sweeps(&self) -> bool {
        self.held.load(Ordering::Relaxed) & SWEEPS != 0
    }

    pub fn holds_edits(&self) -> bool {
        self.held.load(Ordering::Relaxed) & EDITS != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_begin_where_the_page_says() {
        let steps = [0, 79, 80, 94, 95, 99, 100, 120].map(|total| Step::of(total, 100).as_str());
        assert_eq!(steps, ["OK", "OK", "WARNING", "WARNING", "CRITICAL", "CRITICAL", "OVER", "OVER"]);
        assert_eq!(Step::of(1_000_000, 0), Step::Ok);
    }

    #[test]
    fn editing_waits_from_95_percent_on_unless_the_month_is_further_still() {
        assert!(!holds_edits(94, 100, 0.1) && holds_edits(95, 100, 0.1) && holds_edits(96, 100, 0.955));
        assert!(!holds_edits(96, 100, 0.97) && !holds_edits(1_000_000, 0, 0.5));
    }

    #[test]
    fn a_budget_goes_back_when_a_new_month_begins() {
        let budget = Budget::default();
        budget.see(95, 100, 0.5);
        assert!(budget.stretches_sweeps() && budget.holds_edits());
        budget.see(80, 100, 0.5);
        assert!(budget.stretches_sweeps() && !budget.holds_edits());
        budget.see(1, 100, 0.01);
        assert!(!budget.stretches_sweeps() && !budget.holds_edits());
    }

    /// Thirty days, second by second, at what a video is measured to cost (`delivery.rs`), with ten times as many uploads as the limits allow.
    #[test]
    fn a_month_of_ten_times_the_load_ends_within_the_plan_and_publishes_to_its_last_hour() {
        const CAP: u64 = 500_000;
        const MONTH: u64 = 30 * 24 * 3600;
        // Idle reads and sweeps apart, twice what is measured: so that the plan is not enough without the budget.
        for per_video in [4, 8, 16] {
            let budget = Budget::default();
            let (mut total, mut edited, mut posted, mut last) = (0, 0, 0, 0);
            for minute in 0..MONTH / 60 {
                #[expect(clippy::cast_precision_loss, reason = "a share of a month")]
                let elapsed = minute as f64 * 60.0 / MONTH as f64;
                budget.see(total, CAP, elapsed);
                for _ in 0..3 {
                    if !budget.holds_edits() {
                        (edited, total) = (edited + 1, total + per_video / 2);
                    }
                    if posted < edited {
                        (posted, total, last) = (posted + 1, total + per_video / 2, minute);
                    }
                }
            }
            assert!(total <= CAP, "{total} at {per_video} a video");
            assert!(last >= MONTH / 60 - 60 && posted == edited, "{posted} of {edited}, the last at {last}");
        }
    }
}
