//! `GET /api/monitor/redis-usage`: this month's commands against the plan's cap.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::budget::{self, Provider, Range, Step};
use crate::http::{Access, AppState, Caller, Problem};
use crate::stream::Streams;

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Usage {
    /// Commands this month, over all processes.
    total: u64,
    /// The plan's cap; 0 where commands are not metered.
    limit: u64,
    pub(super) percentage: f64,
    /// OK, WARNING (80 %), CRITICAL (95 %) or OVER: all are counted, or Redis says so, whatever was counted here.
    pub(super) status: &'static str,
    /// The month's total if it goes on like this.
    pub(in crate::http) forecast: u64,
    /// Between what the month ends in nine of ten cases, from how this month's days differ. Null before three whole days are counted.
    pub(in crate::http) forecast_range: Option<ForecastRange>,
    /// `elsewhere`: what the provider counts beyond what is counted here.
    pub(in crate::http) by_purpose: BTreeMap<String, u64>,
    /// What the provider counts. It says so only while the plan is used up; null before.
    provider: Option<Counted>,
    /// What is stretched or waits at present so that the plan lasts, and why. Empty: nothing.
    held_back: Vec<HeldBack>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct ForecastRange {
    pub(in crate::http) low: u64,
    pub(in crate::http) high: u64,
}

/// In the provider's own words, of its month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
struct Counted {
    limit: u64,
    usage: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
struct HeldBack {
    /// sweeps, edits or everything.
    what: &'static str,
    text: &'static str,
}

/// Redis commands this month.
#[utoipa::path(get, path = "/api/monitor/redis-usage", tag = "monitor", responses((status = 200, body = Usage)))]
pub(in crate::http) async fn redis_usage(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<Usage>, Problem> {
    caller.may(Access::Monitor)?;
    Ok(Json(Usage::now(&state).await?))
}

impl Usage {
    /// From the ledger, and what this process has counted since it last wrote. No Redis command.
    pub(in crate::http) async fn now(state: &AppState) -> Result<Self, Problem> {
        let now = DateTime::<Utc>::from_timestamp_millis(state.ledger.now().await?).unwrap_or_default();
        let mut by_purpose: BTreeMap<String, u64> = BTreeMap::new();
        for row in state.ledger.usage(&budget::month(now)).await? {
            *by_purpose.entry(row.purpose).or_default() += u64::try_from(row.commands).unwrap_or(0);
        }
        if let Some(streams) = state.dispatch.streams() {
            for (purpose, commands) in streams.meter().peek() {
                *by_purpose.entry(purpose.as_str().to_owned()).or_default() += commands;
            }
        }
        let refusal = state.dispatch.streams().and_then(Streams::over_quota);
        let provider = refusal.as_deref().and_then(Provider::read);
        if let Some(provider) = provider {
            reconcile(&mut by_purpose, provider.usage);
        }
        let mut usage = Self::of(by_purpose, state.monthly_commands, budget::elapsed(now));
        usage.provider = provider.map(|Provider { limit, usage }| Counted { limit, usage });
        let days = whole_days(&state.ledger.usage_by_day(&budget::month(now)).await?, now);
        usage.forecast_range = budget::range(usage.total, usage.forecast, &days, budget::course(now))
            .map(|Range { low, high }| ForecastRange { low, high });
        if refusal.is_some() {
            usage.status = "OVER";
        }
        usage.held_back = held_back(state, usage.status);
        Ok(usage)
    }

    fn of(by_purpose: BTreeMap<String, u64>, limit: Option<u64>, elapsed: f64) -> Self {
        let total = by_purpose.values().sum::<u64>();
        let limit = limit.unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
        let percentage = if limit == 0 { 0.0 } else { (total as f64 / limit as f64 * 10_000.0).round() / 100.0 };
        let status = Step::of(total, limit).as_str();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate of something that is not negative"
        )]
        let forecast = (total as f64 / elapsed).round() as u64;
        Self {
            total,
            limit,
            percentage,
            status,
            forecast,
            forecast_range: None,
            by_purpose,
            provider: None,
            held_back: Vec::new(),
        }
    }
}

/// Others may use the same database, and a kill loses what a process counted in its last seconds.
fn reconcile(by_purpose: &mut BTreeMap<String, u64>, provider: u64) {
    let missed = provider.saturating_sub(by_purpose.values().sum());
    if missed > 0 {
        by_purpose.insert("elsewhere".to_owned(), missed);
    }
}

/// The commands of the days between the first that was counted, which was hardly a whole one, and today. A month before
/// which something was counted begins whole, but nobody needs to know that: it costs the range a day.
fn whole_days(counted: &[(String, i64)], now: DateTime<Utc>) -> Vec<u64> {
    let by_day: BTreeMap<u32, u64> = counted
        .iter()
        .filter_map(|(day, commands)| {
            Some((day.parse::<NaiveDate>().ok()?.day(), u64::try_from(*commands).unwrap_or(0)))
        })
        .collect();
    let Some(first) = by_day.keys().next().copied() else { return Vec::new() };
    (first + 1..now.day()).map(|day| by_day.get(&day).copied().unwrap_or(0)).collect()
}

/// As the budget has it; it follows the ledger's count.
fn held_back(state: &AppState, status: &str) -> Vec<HeldBack> {
    let budget = state.dispatch.budget();
    let all = HeldBack {
        what: "everything",
        text: "the plan's commands are used up: uploads are accepted and wait until its month begins anew",
    };
    let edits = HeldBack {
        what: "edits",
        text: "from 95 % on editing may use no more than the month's course allows: what is left is kept for publishing",
    };
    let sweeps = HeldBack {
        what: "sweeps",
        text: "from 80 % on Redis' pending lists are compared with the ledger more seldom: work of a dead worker is still taken \
               over at once, only entries that nobody stands for are found later",
    };
    let told = [(status == "OVER", all), (budget.holds_edits(), edits), (budget.stretches_sweeps(), sweeps)];
    told.into_iter().filter_map(|(is, one)| is.then_some(one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_systems_figures_come_out_as_they_did() {
        let usage = Usage::of([("read".to_owned(), 174_700)].into(), Some(500_000), 0.5);
        assert_eq!((usage.percentage, usage.status, usage.forecast), (34.94, "OK", 349_400));
        let status = |total| Usage::of([("read".to_owned(), total)].into(), Some(100), 0.5).status;
        assert_eq!([status(79), status(80), status(95), status(100)], ["OK", "WARNING", "CRITICAL", "OVER"]);
    }

    #[test]
    fn the_first_day_and_today_are_no_whole_days_and_one_without_commands_is() {
        let counted = [("2026-11-03", 7), ("2026-11-04", 600), ("2026-11-06", 500), ("2026-11-07", 9)];
        let counted = counted.map(|(day, commands)| (day.to_owned(), commands));
        let now = "2026-11-07T08:00:00Z".parse().expect("a time");
        assert_eq!(whole_days(&counted, now), [600, 0, 500]);
        assert!(whole_days(&[], now).is_empty() && whole_days(&counted[3..], now).is_empty());
    }

    #[test]
    fn what_only_the_provider_has_counted_stands_beside_ours() {
        let mut counted: BTreeMap<String, u64> = [("read".to_owned(), 480_000)].into();
        reconcile(&mut counted, 400_000);
        assert_eq!(counted.len(), 1, "ours may be the larger one: its month may have begun later");
        reconcile(&mut counted, 500_000);
        assert_eq!(counted.get("elsewhere"), Some(&20_000));
    }

    #[test]
    fn without_a_cap_nothing_is_used_up() {
        let usage = Usage::of([("read".to_owned(), 5)].into(), None, 1.0);
        assert_eq!((usage.limit, usage.percentage, usage.status), (0, 0.0, "OK"));
    }
}
