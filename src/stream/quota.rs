//! A plan whose commands are used up: nothing is sent any more but a question now and then whether that is still so.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Result, StreamError};
use crate::outcome::backoff;

/// From the first refusal until a question is answered. One a process: each connection asks here before it sends.
pub(super) struct Quota {
    over: Mutex<Option<Over>>,
    first: Duration,
    longest: Duration,
}

struct Over {
    since: Instant,
    /// What Redis said.
    said: String,
    asked: u32,
    ask_at: Instant,
}

impl Quota {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { over: Mutex::default(), first, longest }
    }

    /// What Redis said, while the quota is used up.
    pub(super) fn over(&self) -> Option<String> {
        self.lock().as_ref().map(|over| over.said.clone())
    }

    pub(super) fn open(&self) -> Result<()> {
        self.over().map_or(Ok(()), |said| Err(StreamError::QuotaExceeded(said)))
    }

    /// Takes note of an answer, and says once that the quota is used up.
    pub(super) fn heard<T>(&self, answer: &Result<T>) {
        let Err(StreamError::QuotaExceeded(said)) = answer else { return };
        let mut over = self.lock();
        if over.is_none() {
            tracing::warn!(
                redis = said,
                "Redis' command quota is used up: uploads go on, their work waits in the ledger and moves again by itself"
            );
            let ask_at = Instant::now() + self.pause(1);
            *over = Some(Over { since: Instant::now(), said: said.clone(), asked: 0, ask_at });
        }
    }

    /// True for one caller, whenever a pause is over; pauses grow and are jittered.
    pub(super) fn may_ask(&self) -> bool {
        let mut lock = self.lock();
        let Some(over) = lock.as_mut().filter(|over| Instant::now() >= over.ask_at) else { return false };
        over.asked += 1;
        over.ask_at = Instant::now() + self.pause(over.asked + 1);
        true
    }

    pub(super) fn end(&self) {
        if let Some(over) = self.lock().take() {
            let seconds = over.since.elapsed().as_secs();
            tracing::info!(seconds, asked = over.asked, "Redis takes commands again: what waited moves on");
        }
    }

    fn pause(&self, question: u32) -> Duration {
        backoff(self.first, self.longest, question, rand::random())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Over>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Result<()> {
        Err(StreamError::QuotaExceeded("used up".to_owned()))
    }

    #[test]
    fn one_asks_after_each_pause_and_nobody_sends_until_it_is_answered() {
        let quota = Quota::new(Duration::ZERO, Duration::ZERO);
        assert!(quota.open().is_ok() && !quota.may_ask());
        quota.heard(&refusal());
        assert!(matches!(quota.open(), Err(StreamError::QuotaExceeded(said)) if said == "used up"));
        assert!(quota.may_ask());
        quota.end();
        assert!(quota.open().is_ok());
        let quota = Quota::new(Duration::from_secs(60), Duration::from_secs(300));
        quota.heard(&refusal());
        assert!(!quota.may_ask(), "the first pause comes before the first question");
    }
}
