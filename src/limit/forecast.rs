//! How long a number of acts takes under the limits: what governor would grant, played through and not taken.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use super::{Ask, Key, Verdict, granted, judge, later};
use crate::config::Rate;
use crate::ledger::{LedgerError, LimitRow, Session};

/// One act that waits for its permits.
#[derive(Debug, Clone)]
pub struct Start {
    /// The creator whose own limit it needs too.
    pub creator: Option<String>,
    /// Not before.
    pub due: i64,
}

/// Those of one creator, and the limit's row as it would be by then.
struct Creator {
    ask: Option<Ask>,
    row: LimitRow,
    waiting: VecDeque<i64>,
}

/// When the last of these may begin, if they go as soon as the limits let them. None: there is nothing to begin.
pub async fn last_start(
    session: &Session,
    now: i64,
    stage: &Ask,
    per_creator: Option<Rate>,
    starts: &[Start],
) -> Result<Option<i64>, LedgerError> {
    let mut stage_row = session.limit(&stage.key.to_string()).await?;
    let mut creators: BTreeMap<Option<&str>, Creator> = BTreeMap::new();
    for start in starts {
        let name = start.creator.as_deref();
        let creator = match creators.entry(name) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let ask = name.map(|name| Ask { key: Key::Creator(name.to_owned()), rate: per_creator });
                let row = match &ask {
                    Some(ask) => session.limit(&ask.key.to_string()).await?,
                    None => LimitRow::default(),
                };
                new.insert(Creator { ask, row, waiting: VecDeque::new() })
            }
        };
        creator.waiting.push_back(start.due.max(now));
    }
    creators.values_mut().for_each(|creator| creator.waiting.make_contiguous().sort_unstable());
    let mut last = None;
    loop {
        let open = |creator: &Creator| {
            let due = *creator.waiting.front()?;
            Some(creator.ask.as_ref().map_or(due, |ask| opens(&creator.row, ask, due)))
        };
        let next = creators.values_mut().filter_map(|creator| Some((open(creator)?, creator)));
        let Some((at, creator)) = next.min_by_key(|(at, _)| *at) else { return Ok(last) };
        let at = both_open(&stage_row, stage, creator, at);
        creator.waiting.pop_front();
        if let Some(Ask { rate: Some(rate), .. }) = creator.ask {
            creator.row = granted(std::mem::take(&mut creator.row), rate, at);
        }
        if let Some(rate) = stage.rate {
            stage_row = granted(stage_row, rate, at);
        }
        last = last.max(Some(at));
    }
}

/// When this limit is open first, from then on.
fn opens(row: &LimitRow, ask: &Ask, from: i64) -> i64 {
    match judge(row, ask, from) {
        Verdict::Open => from,
        // A limit that someone closed may be used up besides.
        Verdict::Closed { until, .. } => opens(row, ask, until.max(from + 1)),
    }
}

fn both_open(stage_row: &LimitRow, stage: &Ask, creator: &Creator, mut at: i64) -> i64 {
    loop {
        let of_creator = creator.ask.as_ref().map_or(Verdict::Open, |ask| judge(&creator.row, ask, at));
        match later(judge(stage_row, stage, at), of_creator) {
            Verdict::Open => return at,
            Verdict::Closed { until, .. } => at = until.max(at + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn last(stage: &str, per_creator: &str, starts: &[(Option<&str>, i64)]) -> Option<i64> {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        let ledger = crate::ledger::Ledger::open(&url).await.unwrap();
        let now = 1_800_000_000_000;
        let rate = |text: &str| text.parse::<Rate>().ok();
        let starts: Vec<Start> = starts
            .iter()
            .map(|(creator, after)| Start { creator: creator.map(str::to_owned), due: now + after })
            .collect();
        let stage = Ask { key: Key::Publish, rate: rate(stage) };
        let last = last_start(&ledger, now, &stage, rate(per_creator), &starts).await.unwrap();
        last.map(|last| (last - now) / 1000)
    }

    #[tokio::test]
    async fn seven_at_three_a_minute_take_two_windows() {
        let window = Duration::from_secs(60).mul_f64(1.02).as_secs();
        assert_eq!(last("3/1m", "", &[(None, 0); 7]).await, Some(2 * window.cast_signed()));
        assert_eq!(last("", "", &[(None, 0); 7]).await, Some(0));
        assert_eq!(last("3/1m", "", &[]).await, None);
    }

    #[tokio::test]
    async fn a_creators_own_limit_holds_up_only_their_own() {
        let two_of_ada = [(Some("ada"), 0), (Some("ada"), 0), (Some("bob"), 0)];
        assert_eq!(last("1/1m", "1/5m", &two_of_ada).await, Some(306), "bob goes while ada waits");
        assert_eq!(last("1/1m", "1/5m", &two_of_ada[1..]).await, Some(61));
        assert_eq!(last("", "1/5m", &[(Some("ada"), 900_000)]).await, Some(900), "its own time comes later");
    }
}
