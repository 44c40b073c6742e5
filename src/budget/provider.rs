//! What the provider counts. The only place where it says so without a command of its own is its refusal of one.

/// Of the plan's month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provider {
    pub limit: u64,
    pub usage: u64,
}

impl Provider {
    /// From `ERR max requests limit exceeded. Limit: 500000, Usage: 500000. See …`. A day's limit says nothing of the month.
    pub fn read(refusal: &str) -> Option<Self> {
        let (_, counts) = refusal.split_once("max requests limit exceeded")?;
        let number = |label: &str| {
            let (_, rest) = counts.split_once(label)?;
            let digits = rest.trim_start();
            digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
        };
        Some(Self { limit: number("Limit:")?, usage: number("Usage:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstashs_refusal_holds_its_count() {
        let said =
            "ERR max requests limit exceeded. Limit: 500000, Usage: 500012. See https://upstash.com/docs for details";
        assert_eq!(Provider::read(said), Some(Provider { limit: 500_000, usage: 500_012 }));
        assert_eq!(
            Provider::read("ERR max requests limit exceeded. Limit: 5, Usage: 7").map(|found| found.usage),
            Some(7)
        );
    }

    #[test]
    fn what_holds_no_count_of_the_month_is_none() {
        for said in [
            "ERR max daily request limit exceeded. Limit: 10000, Usage: 10000",
            "ERR max requests limit exceeded.",
            "ERR max requests limit exceeded. Limit: many, Usage: 7",
            "OOM command not allowed",
        ] {
            assert_eq!(Provider::read(said), None, "{said}");
        }
    }
}
