//! Durations as people write them: `500ms`, `10s`, `5m`, `1h`, `7d`, or a sum such as `1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A duration that is read and shown in its written form. Exact to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written(pub Duration);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a duration is written like 500ms, 10s, 5m, 1h, 7d or 1h30m")]
pub struct NotADuration;

impl FromStr for Written {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(NotADuration);
        }
        let mut millis: u64 = 0;
        let mut last_unit = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(NotADuration)?;
            let count: u64 = rest[..digits].parse().map_err(|_| NotADuration)?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (_, unit) = UNITS.iter().find(|(name, _)| *name == &rest[..letters]).ok_or(NotADuration)?;
            if *unit >= last_unit {
                return Err(NotADuration);
            }
            last_unit = *unit;
            millis = count.checked_mul(*unit).and_then(|part| millis.checked_add(part)).ok_or(NotADuration)?;
            rest = &rest[letters..];
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        for (name, unit) in UNITS {
            if millis >= unit {
                write!(f, "{}{name}", millis / unit)?;
                millis %= unit;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        for (text, millis) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
        ] {
            assert_eq!(text.parse::<Written>().expect(text).0, Duration::from_millis(millis));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "10", "s", "10 s", "-1s", "1.5s", "10x", "1s1h", "1s1s", "99999999999999999999d", "5M"] {
            assert!(text.parse::<Written>().is_err(), "{text:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(millis in 0u64..10_000_000_000) {
            let written = Written(Duration::from_millis(millis));
            prop_assert_eq!(written.to_string().parse::<Written>(), Ok(written));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,24}") {
            text.parse::<Written>().ok();
        }
    }
}
