//! A point in time as people write it.

use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::config::Written;

/// RFC 3339, or from now on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(DateTime<Utc>);

impl Moment {
    /// As the API takes it.
    pub(super) fn to_text(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a time such as 2026-12-24T18:00:00Z, or +2h from now on".to_owned();
        if let Some(pause) = text.strip_prefix('+') {
            let pause = pause.parse::<Written>().map_err(|_| expected())?.0;
            let pause = chrono::Duration::from_std(pause).map_err(|_| expected())?;
            return Utc::now().checked_add_signed(pause).map(Self).ok_or_else(expected);
        }
        DateTime::parse_from_rfc3339(text).map(|time| Self(time.to_utc())).map_err(|_| expected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_absolute_or_from_now_on() {
        let at = "2026-12-24T18:00:00+01:00".parse::<Moment>().expect("a time").0;
        assert_eq!(at.to_rfc3339_opts(SecondsFormat::Secs, true), "2026-12-24T17:00:00Z");
        let later = "+2h".parse::<Moment>().expect("a time").0 - Utc::now();
        assert!((7190..=7200).contains(&later.num_seconds()));
        for text in ["tomorrow", "2h", "+", "+99999999999d"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
