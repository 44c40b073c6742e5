//! Sizes in bytes as people write them: `4GB` is powers of 1000, `4GiB` powers of 1024.

const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// The number of bytes, or nothing where it is no size.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let count: u64 = text[..digits].parse().ok()?;
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == text[digits..].trim_start())?;
    count.checked_mul(*unit)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        assert_eq!(parse("4GB"), Some(4_000_000_000));
        assert_eq!(parse("4GiB"), Some(4 << 30));
        assert_eq!(parse("10 MB"), Some(10_000_000));
        assert_eq!(parse("1B"), Some(1));
        for text in ["", "4", "GB", "-4GB", "4gb", "4G", "99999999999999TB"] {
            assert_eq!(parse(text), None, "{text:?} was taken");
        }
    }
}
