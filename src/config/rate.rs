//! Rates as people write them: `3/1m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::duration::Written;

/// At most `count` in every sliding window of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub window: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate is written like 3/1m: a count from 1 to 1000 and a window from 1s to 31d")]
pub struct NotARate;

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let (count, window) = text.split_once('/').ok_or(NotARate)?;
        let count: u32 = count.trim().parse().map_err(|_| NotARate)?;
        let window = window.parse::<Written>().map_err(|_| NotARate)?.0;
        let sane = (1..=1000).contains(&count)
            && (Duration::from_secs(1)..=Duration::from_secs(31 * 86_400)).contains(&window);
        if sane { Ok(Self { count, window }) } else { Err(NotARate) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, Written(self.window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_shown_alike() {
        for text in ["3/1m", "1/5m", "1000/1d"] {
            assert_eq!(text.parse::<Rate>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in ["", "3", "3/", "/1m", "0/1m", "3/0s", "-1/1m", "3/m", "1001/1m", "3/32d", "3 per 1m"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?} was taken");
        }
    }
}
