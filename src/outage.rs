//! An outage in the log: one line when it begins, a reminder with growing pauses, one line when it is over. Whoever
//! speaks to a service keeps one of these; those who call it need not say again that it is away.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shortest and the longest time between two lines about the same trouble, which also holds for a service that comes
/// and goes.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct Outage {
    /// What fails, as the log names it: "writing to the database".
    what: &'static str,
    spell: Mutex<Spell>,
    /// The last failure, or the last answer that took far too long.
    troubled: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Spell {
    began: Option<Instant>,
    said: Option<Instant>,
    /// After the last line, until the next one.
    pause: Duration,
    /// What the last failure said.
    error: String,
    /// The log says that it is away, and not yet that it is back.
    open: bool,
}

impl Outage {
    pub fn of(what: &'static str) -> Self {
        Self { what, spell: Mutex::default(), troubled: Mutex::default() }
    }

    pub fn failed(&self, error: &dyn Display) {
        self.stumbled();
        let mut spell = self.spell();
        spell.error = error.to_string();
        if let Some(lasting) = spell.failed(Instant::now()) {
            let seconds = lasting.as_secs();
            match seconds {
                0 => tracing::warn!(%error, "{} fails; it is tried until it works", self.what),
                _ => tracing::warn!(%error, seconds, "{} still fails", self.what),
            }
        }
    }

    pub fn worked(&self) {
        if let Some(lasted) = self.spell().worked(Instant::now()) {
            tracing::info!(seconds = lasted.as_secs(), "{} works again", self.what);
        }
    }

    /// It answered, but far too late.
    pub fn stumbled(&self) {
        *self.troubled.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long nothing has failed or stumbled; without end where nothing ever did.
    pub fn calm_for(&self) -> Duration {
        let troubled = *self.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        troubled.map_or(Duration::MAX, |at| at.elapsed())
    }

    /// What the last failure said, while nothing has worked since.
    pub fn why(&self) -> Option<String> {
        let spell = self.spell();
        spell.began.map(|_| spell.error.clone())
    }

    fn spell(&self) -> std::sync::MutexGuard<'_, Spell> {
        self.spell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spell {
    /// How long it has lasted, when it is time for a line.
    fn failed(&mut self, now: Instant) -> Option<Duration> {
        let began = *self.began.get_or_insert(now);
        match self.said {
            Some(said) if now - said < self.pause => return None,
            // Long forgotten, or the first.
            Some(said) if now - said > 2 * LONGEST => self.pause = FIRST,
            None => self.pause = FIRST,
            Some(_) => self.pause = (self.pause * 2).min(LONGEST),
        }
        self.said = Some(now);
        self.open = true;
        Some(now - began)
    }

    /// How long it had lasted, when the log knows of it.
    fn worked(&mut self, now: Instant) -> Option<Duration> {
        let lasted = now - self.began.take()?;
        std::mem::take(&mut self.open).then_some(lasted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many lines a service leaves that is asked every second and fails when `fails` says so.
    fn lines(seconds: u64, fails: impl Fn(u64) -> bool) -> usize {
        let (start, mut spell) = (Instant::now(), Spell::default());
        let said = |second| {
            let now = start + Duration::from_secs(second);
            if fails(second) { spell.failed(now).is_some() } else { spell.worked(now).is_some() }
        };
        (0..seconds).map(said).filter(|said| *said).count()
    }

    #[test]
    fn an_outage_is_told_when_it_begins_now_and_then_and_when_it_is_over() {
        assert_eq!(lines(20, |second| second < 15), 2);
        assert_eq!(lines(100, |second| second < 70), 3);
        assert!((8..=11).contains(&lines(3_600, |_| true)), "{}", lines(3_600, |_| true));
    }

    #[test]
    fn a_service_that_comes_and_goes_fills_no_log() {
        let flapping = lines(3_600, |second| second % 2 == 0);
        assert!(flapping <= 22, "{flapping}");
        assert_eq!(lines(10, |_| false), 0);
    }
}
