//! Misspelt names: a variable or a parameter that nobody reads is passed over in silence otherwise.

use super::environment::Environment;
use super::problem::Problem;

/// Those without which a process falls back on something else.
const WATCHED: [&str; 8] = [
    "DATABASE_URL",
    "S3_BUCKET",
    "REDIS_URL",
    "ENCRYPTION_KEY",
    "TIKTOK_API_URL",
    "TIKTOK_CLIENT_KEY",
    "TIKTOK_CLIENT_SECRET",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Variables that mean nothing, and look like one that does and isn't set.
pub(super) fn misspelt(env: &Environment) -> Vec<Problem> {
    let names: Vec<&str> = env.names().collect();
    let known = |name: &str| WATCHED.contains(&name.strip_suffix("_FILE").unwrap_or(name));
    let unset = WATCHED.into_iter().filter(|name| !env.has(name));
    let unset: Vec<&str> = unset.collect();
    let meant = names.iter().filter(|name| !known(name)).filter_map(|name| {
        let near = closest(name.strip_suffix("_FILE").unwrap_or(name), unset.iter().copied())?;
        Some(Problem::new(*name, format!("nothing reads this variable; is {near} meant, which is not set?")))
    });
    meant.collect()
}

/// The candidate that is one or two slips of the finger away.
pub(super) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = candidates.into_iter().map(|one| (slips(word, one), one)).filter(|(slips, _)| *slips <= 2);
    near.min_by_key(|(slips, _)| *slips).map(|(_, one)| one)
}

/// Letters that were left out, added, changed, or swapped with their neighbour (optimal string alignment).
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_counted() {
        for (a, b, expected) in [("sslmode", "sslmode", 0), ("sslmod", "sslmode", 1), ("DATABSE", "DATABASE", 1)] {
            assert_eq!(slips(a, b), expected, "{a} {b}");
        }
        assert_eq!((slips("requier", "require"), slips("", "abc")), (1, 3));
        assert_eq!(closest("requier", ["disable", "require"]), Some("require"));
        assert_eq!(closest("nonsense", ["disable", "require"]), None);
    }

    #[test]
    fn a_misspelt_variable_is_found_and_an_unrelated_one_is_not() {
        let env = |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<Environment>();
        let found = misspelt(&env(&[("DATABSE_URL", "x"), ("S3_BUKET", "x"), ("HOME", "/"), ("REDIS_URL", "x")]));
        assert_eq!(found.iter().map(Problem::name).collect::<Vec<_>>(), ["DATABSE_URL", "S3_BUKET"]);
        assert!(misspelt(&env(&[("REDIS_URI", "x"), ("REDIS_URL_FILE", "x")])).is_empty(), "the right one is set");
    }
}
