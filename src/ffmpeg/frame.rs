//! The geometry and the rate of the result. Pure arithmetic.

use super::report::Fps;
use super::setup::OutputRules;

/// The picture is scaled to `picture` and stands in the middle of `canvas`; where they differ, bars or a blurred
/// background fill the rest. All sides are even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) canvas: (u32, u32),
    pub(super) picture: (u32, u32),
}

/// Keeps the shape: the short side goes to at most `short_edge` and at least the least edge, the long one to at most
/// the most. A ribbon that can't have both gets bars.
pub(super) fn fit(width: u32, height: u32, rules: &OutputRules, short_edge: u32) -> Layout {
    let (short, long) = (f64::from(width.min(height)), f64::from(width.max(height)));
    let (least, most) = (f64::from(rules.least_edge), f64::from(rules.most_edge));
    let mut scale = (f64::from(short_edge) / short).min(1.0);
    scale = scale.max(least / short);
    scale = scale.min(most / long);
    let picture = (even(f64::from(width) * scale), even(f64::from(height) * scale));
    let picture = (picture.0.min(rules.most_edge), picture.1.min(rules.most_edge));
    Layout { canvas: (picture.0.max(rules.least_edge), picture.1.max(rules.least_edge)), picture }
}

/// 9:16, no larger than the source has use for.
pub(super) fn vertical(width: u32, height: u32, short_edge: u32) -> Layout {
    let wanted = f64::from(width).max(f64::from(height) * 9.0 / 16.0);
    let canvas_width = match wanted {
        wanted if wanted > 810.0 && short_edge >= 1080 => 1080,
        wanted if wanted > 630.0 && short_edge >= 720 => 720,
        _ => 540,
    };
    let canvas = (canvas_width, canvas_width / 9 * 16);
    let scale = (f64::from(canvas.0) / f64::from(width)).min(f64::from(canvas.1) / f64::from(height));
    let picture = (even(f64::from(width) * scale), even(f64::from(height) * scale));
    Layout { canvas, picture: (picture.0.min(canvas.0), picture.1.min(canvas.1)) }
}

fn even(edge: f64) -> u32 {
    ((edge / 2.0).round() as u32 * 2).max(2)
}

/// A constant rate that TikTok takes: the source's where it can be, else its smallest multiple or largest part that is
/// in range, so that frames are repeated or left out evenly. 120 gives 60, 15 gives 30, 144 gives 48.
pub(super) fn steady(source: Option<Fps>, rules: &OutputRules) -> Fps {
    let Some(source) = source else { return Fps::new(30, 1) };
    let (least, most) = (f64::from(rules.least_fps), f64::from(rules.most_fps));
    let is = source.value();
    // A varying rate has an average like 181/6; a round one is kinder to players. NTSC's fractions stay.
    let round = if source.den > 1001 || (source.den != 1001 && source.den != 1) {
        Fps::new(is.round().max(1.0) as u32, 1)
    } else {
        source
    };
    let is = round.value();
    if is < least {
        let times = (least / is).ceil() as u32;
        return Fps::new(round.num.saturating_mul(times), round.den);
    }
    // 60000/1001 is below 60, and 60.05 of a phone is meant to be 60.
    if is > most {
        let parts = (is / most - 0.01).ceil().max(1.0) as u32;
        let part = Fps::new(round.num, round.den.saturating_mul(parts));
        return if part.value() > most { Fps::new(rules.most_fps, 1) } else { part };
    }
    round
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_keep_their_shape_within_the_rules() {
        let rules = OutputRules::default();
        let fit = |width, height| fit(width, height, &rules, 1080);
        assert_eq!(fit(1080, 1920).canvas, (1080, 1920));
        assert_eq!(fit(3840, 2160).canvas, (1920, 1080));
        assert_eq!(fit(321, 241).canvas, (480, 360));
        assert_eq!(fit(640, 360).canvas, (640, 360));
        assert_eq!(fit(4000, 100), Layout { canvas: (4000, 360), picture: (4000, 100) }.widened());
    }

    impl Layout {
        /// 4000 x 100 may grow to 4096 wide before it needs bars.
        fn widened(self) -> Self {
            Self { canvas: (4096, 360), picture: (4096, 102) }
        }
    }

    #[test]
    fn vertical_is_9_to_16_and_as_large_as_is_of_use() {
        assert_eq!(vertical(1920, 1080, 1080), Layout { canvas: (1080, 1920), picture: (1080, 608) });
        assert_eq!(vertical(320, 240, 1080), Layout { canvas: (540, 960), picture: (540, 406) });
        assert_eq!(vertical(1080, 1920, 1080), Layout { canvas: (1080, 1920), picture: (1080, 1920) });
        assert_eq!(vertical(720, 720, 1080).canvas, (720, 1280));
    }

    #[test]
    fn rates_are_brought_into_range_evenly() {
        let rules = OutputRules::default();
        let steady = |num, den| {
            let fps = steady(Some(Fps::new(num, den)), &rules);
            (fps.num, fps.den)
        };
        assert_eq!(steady(30000, 1001), (30000, 1001));
        assert_eq!(steady(15, 1), (30, 1));
        assert_eq!(steady(120, 1), (120, 2));
        assert_eq!(steady(144, 1), (144, 3));
        assert_eq!(steady(181, 6), (30, 1));
        assert_eq!(steady(1, 10), (23, 1));
    }

    proptest! {
        #[test]
        fn whatever_comes_in_tiktok_takes_what_goes_out(
            width in 1u32..9000, height in 1u32..9000, num in 1u32..2_000_000, den in 1u32..100_000
        ) {
            let rules = OutputRules::default();
            for layout in [fit(width, height, &rules, 1080), vertical(width, height, 1080)] {
                for (canvas, picture) in [(layout.canvas.0, layout.picture.0), (layout.canvas.1, layout.picture.1)] {
                    prop_assert!(canvas % 2 == 0 && picture % 2 == 0 && picture <= canvas);
                    prop_assert!((360..=4096).contains(&canvas));
                }
            }
            let fps = steady(Some(Fps::new(num, den)), &rules).value();
            prop_assert!((23.0..=60.0).contains(&fps), "{fps}");
        }
    }
}
