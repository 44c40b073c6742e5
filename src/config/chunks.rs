//! How a video is cut for TikTok.

use super::layers::Layers;
use super::problem::Problem;

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkConfig {
    pub target: u64,
    pub whole: u64,
    pub smallest: u64,
    pub largest: u64,
    pub largest_last: u64,
    pub most: u64,
    pub largest_video: u64,
}

impl ChunkConfig {
    pub(super) fn load(layers: &Layers, problems: &mut Vec<Problem>) -> Self {
        let known = problems.len();
        let mut section = layers.section(&["chunks"], problems);
        let config = Self {
            target: section.size("target", 1),
            whole: section.size("whole", 1),
            smallest: section.size("smallest", 1),
            largest: section.size("largest", 1),
            largest_last: section.size("largest_last", 1),
            most: section.number("most", 1, 1_000_000),
            largest_video: section.size("largest_video", 1),
        };
        if known == problems.len()
            && let Some(wrong) = config.contradiction()
        {
            problems.push(Problem::new("[chunks] of streams.toml", wrong));
        }
        config
    }

    /// Figures under which some size could not be cut.
    fn contradiction(&self) -> Option<&'static str> {
        if self.smallest.saturating_mul(2) > self.largest {
            return Some("expected `largest` to be at least twice `smallest`; else some sizes can't be cut");
        }
        if !(self.smallest..=self.largest).contains(&self.target) {
            return Some("expected `target` to lie between `smallest` and `largest`");
        }
        if self.whole > self.largest {
            return Some("expected `whole` to be at most `largest`");
        }
        if self.largest_last < self.largest {
            return Some("expected `largest_last` to be at least `largest`");
        }
        if self.most.saturating_mul(self.target) < self.largest_video {
            return Some("expected `most` chunks of the `target` size to hold `largest_video`");
        }
        None
    }
}
