//! One part of an object, as `Range` asks for it.

use std::ops::Range;

/// What a request wants of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    Part(Range<u64>),
    /// It asks for what isn't there.
    Unsatisfiable,
}

impl Wanted {
    /// Several ranges at once, other units and nonsense are answered with the whole, as RFC 9110 allows.
    pub(super) fn read(header: Option<&str>, size: u64) -> Self {
        let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else { return Self::Whole };
        let Some((from, to)) = spec.trim().split_once('-').filter(|_| !spec.contains(',')) else { return Self::Whole };
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok());
        let range = match (number(from).flatten(), number(to).flatten()) {
            (Some(from), Some(to)) if from <= to => from..to.saturating_add(1).min(size),
            (Some(from), None) if to.is_empty() => from..size,
            (None, Some(last)) if from.is_empty() => size.saturating_sub(last)..size,
            _ => return Self::Whole,
        };
        if range.is_empty() { Self::Unsatisfiable } else { Self::Part(range) }
    }
}

#[cfg(test)]
mod tests {
    use super::Wanted::{self, Part, Unsatisfiable, Whole};

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let read = |text| Wanted::read(Some(text), 100);
        assert_eq!(Wanted::read(None, 100), Whole);
        assert_eq!(read("bytes=0-9"), Part(0..10));
        assert_eq!(read("bytes=90-"), Part(90..100));
        assert_eq!(read("bytes=-10"), Part(90..100));
        assert_eq!(read("bytes=-1000"), Part(0..100));
        assert_eq!(read("bytes=50-5000"), Part(50..100));
        assert_eq!(read("bytes=100-"), Unsatisfiable);
        assert_eq!(read("bytes=-0"), Unsatisfiable);
        assert_eq!(read("bytes=0-1,5-6"), Whole);
        assert_eq!(read("bytes=9-1"), Whole);
        assert_eq!(read("bytes=-"), Whole);
        assert_eq!(read("lines=1-2"), Whole);
    }
}
