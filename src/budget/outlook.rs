//! Between what the month's total is likely to end, from how the days so far differ.

use super::Course;

/// Fewer say nothing about how days differ.
const FEWEST: usize = 3;

/// Student's t for nine of ten, by degrees of freedom from 1 on; beyond them it hardly moves.
const NINE_OF_TEN: [f64; 15] =
    [6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753];

/// The month ends within it in nine of ten cases, if the days to come differ as those so far do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub low: u64,
    pub high: u64,
}

/// `days`: what each whole day since the first that was counted sent. `forecast` lies within. None: too little is known.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of something that is not negative"
)]
pub fn range(total: u64, forecast: u64, days: &[u64], course: Course) -> Option<Range> {
    if days.len() < FEWEST {
        return None;
    }
    let number = days.len() as f64;
    let mean = days.iter().sum::<u64>() as f64 / number;
    let variance = days.iter().map(|&day| (day as f64 - mean).powi(2)).sum::<f64>() / (number - 1.0);
    let left = course.days_left();
    // The days to come scatter, and so does the mean that stands for them.
    let scatter = (variance * left * (1.0 + left / number)).sqrt();
    let certain = NINE_OF_TEN[(days.len() - 2).min(NINE_OF_TEN.len() - 1)];
    let (middle, margin) = (total as f64 + mean * left, certain * scatter);
    let low = ((middle - margin).round() as u64).max(total).min(forecast);
    let high = ((middle + margin).round() as u64).max(forecast);
    Some(Range { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A month of thirty days, at the end of the tenth.
    fn after_ten(days: [u64; 10]) -> Range {
        let total = days.iter().sum();
        range(total, total * 3, &days, Course { over: 10.0, whole: 30.0 }).expect("known")
    }

    #[test]
    fn a_constant_load_has_no_range_to_speak_of() {
        assert_eq!(after_ten([600; 10]), Range { low: 18_000, high: 18_000 });
    }

    #[test]
    fn bursts_make_it_wide_and_never_less_than_what_is_sent() {
        let Range { low, high } = after_ten([0, 0, 0, 0, 10_000, 0, 0, 0, 0, 10_000]);
        assert!((20_000..30_000).contains(&low) && high > 110_000, "{low} to {high}");
        let Range { low: lower, high: higher } =
            after_ten([1_900, 2_100, 2_000, 2_000, 2_000, 1_900, 2_100, 2_000, 2_000, 2_000]);
        assert!(lower > 58_000 && higher < 62_000, "{lower} to {higher}");
    }

    #[test]
    fn the_first_days_say_nothing() {
        let course = Course { over: 2.5, whole: 30.0 };
        assert_eq!(range(10, 120, &[], course), None);
        assert_eq!(range(10, 120, &[4, 4], course), None);
    }

    #[test]
    fn the_nearer_the_months_end_the_narrower() {
        let days = [500, 700, 600];
        let wide = |over| range(1800, 1800, &days, Course { over, whole: 30.0 }).map(|Range { low, high }| high - low);
        assert!(wide(10.0) > wide(20.0) && wide(20.0) > wide(29.0) && wide(30.0) == Some(0));
    }

    #[test]
    fn the_forecast_lies_within_also_when_counting_began_in_mid_month() {
        let Range { low, high } =
            range(1800, 2700, &[600, 600, 600], Course { over: 20.0, whole: 30.0 }).expect("known");
        assert!(low <= 2700 && high >= 1800 + 6000, "{low} to {high}");
    }
}
