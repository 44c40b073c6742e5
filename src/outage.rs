//! An outage in the log: one line when it begins, a reminder with growing pauses, one line when it is over. Whoever
//! speaks to a service keeps one of these; those who call it need not say again that it is away.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shortest and the longest time between two lines about the same trouble, which also holds for a service that comes
/// and goes.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(600);

/// Different refusals of one trouble that are told at once.
const KINDS: usize = 3;

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
    /// The last failure. What is asked seldom may have worked for a while when the next question shows it.
    last: Option<Instant>,
    said: Option<Instant>,
    /// After the last line, until the next one.
    pause: Duration,
    /// What the last failure said, and the refusals that the log has been told of.
    error: String,
    told: Vec<String>,
    /// The log says that it is away, and not yet that it is back.
    open: bool,
}

impl Outage {
    pub fn of(what: &'static str) -> Self {
        Self { what, spell: Mutex::default(), troubled: Mutex::default() }
    }

    pub fn failed(&self, error: &dyn Display) {
        self.note(error, false);
    }

    /// It said no, which a person has to mend: told at once, also in an outage that the log knows of already.
    pub fn refused(&self, error: &dyn Display) {
        self.note(error, true);
    }

    fn note(&self, error: &dyn Display, refused: bool) {
        self.stumbled();
        let mut spell = self.spell();
        if let Some(lasting) = spell.failed(error.to_string(), refused, Instant::now()) {
            let seconds = lasting.as_secs();
            match seconds {
                0 => tracing::warn!(%error, "{} fails; it is tried until it works", self.what),
                _ => tracing::warn!(%error, seconds, "{} still fails", self.what),
            }
        }
    }

    pub fn worked(&self) {
        if let Some(lasted) = self.spell().worked() {
            tracing::info!(failed_for_seconds = lasted.as_secs(), "{} works again", self.what);
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
    fn failed(&mut self, error: String, refused: bool, now: Instant) -> Option<Duration> {
        let began = *self.began.get_or_insert(now);
        self.last = Some(now);
        if self.said.is_none_or(|said| now - said > 2 * LONGEST) {
            // The first, or the last is long forgotten.
            self.pause = FIRST / 2;
            self.told.clear();
        }
        let news = refused && self.told.len() < KINDS && !self.told.contains(&error);
        if news {
            self.told.push(error.clone());
        }
        self.error = error;
        let due = self.said.is_none_or(|said| now - said >= self.pause);
        if due {
            self.pause = (self.pause * 2).min(LONGEST);
        } else if !news {
            return None;
        }
        self.said = Some(now);
        self.open = true;
        Some(now - began)
    }

    /// From the first failure to the last, when the log knows of it.
    fn worked(&mut self) -> Option<Duration> {
        let lasted = self.last? - self.began.take()?;
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
            if fails(second) {
                spell.failed("closed".to_owned(), false, now).is_some()
            } else {
                spell.worked().is_some()
            }
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
    fn what_is_asked_seldom_is_not_said_to_have_failed_until_it_was_asked() {
        let (start, mut spell) = (Instant::now(), Spell::default());
        for second in [0, 7] {
            spell.failed("closed".to_owned(), false, start + Duration::from_secs(second));
        }
        assert_eq!(spell.worked(), Some(Duration::from_secs(7)));
        assert_eq!(spell.worked(), None);
    }

    #[test]
    fn a_service_that_comes_and_goes_fills_no_log() {
        let flapping = lines(3_600, |second| second % 2 == 0);
        assert!(flapping <= 22, "{flapping}");
        assert_eq!(lines(10, |_| false), 0);
    }

    #[test]
    fn a_refusal_is_told_at_once_but_not_any_number_of_them() {
        let (now, mut spell) = (Instant::now(), Spell::default());
        let mut told = |error: &str, refused| spell.failed(error.to_owned(), refused, now).is_some();
        assert!(told("closed", false) && !told("reset", false) && told("wrong password", true));
        assert_eq!((0..9).filter(|number| told(&number.to_string(), true)).count(), KINDS - 1);
    }
}
