//! How a video is cut for upload: a [`ChunkPlan`], made from its size and the [`ChunkRules`].
//!
//! TikTok wants `count = floor(size / chunk_size)`, the remainder inside the last chunk. Whether its "MB" is 10^6 or
//! 2^20 is not known, so the rules stay inside both readings.

use serde::{Deserialize, Serialize};

use crate::config::ChunkConfig;
use crate::torture;

/// TikTok's limits and our own choice of a chunk's size. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRules {
    /// The size aimed at. Smaller chunks cost less to repeat.
    pub target: u64,
    /// Up to this size a video goes in one piece: the path nobody reports trouble with.
    pub whole: u64,
    pub smallest: u64,
    pub largest: u64,
    pub largest_last: u64,
    pub most_chunks: u64,
    pub largest_video: u64,
}

impl From<ChunkConfig> for ChunkRules {
    fn from(config: ChunkConfig) -> Self {
        Self {
            target: config.target,
            whole: config.whole,
            smallest: config.smallest,
            largest: config.largest,
            largest_last: config.largest_last,
            most_chunks: config.most,
            largest_video: config.largest_video,
        }
    }
}

impl Default for ChunkRules {
    fn default() -> Self {
        Self {
            target: 10_000_000,
            whole: 64_000_000,
            smallest: 5_242_880,
            largest: 64_000_000,
            largest_last: 128_000_000,
            most_chunks: 1_000,
            largest_video: 4_000_000_000,
        }
    }
}

impl ChunkRules {
    /// As they are, but in a torture-only build, where a small video is to have several chunks.
    pub fn cut(self) -> Self {
        match torture::chunk() {
            Some(size) => Self { target: size, whole: size, smallest: size / 2, ..self },
            None => self,
        }
    }
}

/// The cut, as init is told of it and as the row keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChunkPlan {
    pub size: u64,
    pub chunk_size: u64,
    pub count: u32,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoPlan {
    #[error("the video is empty")]
    Empty,
    #[error("the video has {size} bytes; TikTok takes at most {largest}")]
    TooLarge { size: u64, largest: u64 },
    #[error("the chunk rules leave no way to cut {size} bytes: {why}")]
    Impossible { size: u64, why: &'static str },
}

impl ChunkPlan {
    pub fn new(size: u64, rules: &ChunkRules) -> Result<Self, NoPlan> {
        if size == 0 {
            return Err(NoPlan::Empty);
        }
        if size > rules.largest_video {
            return Err(NoPlan::TooLarge { size, largest: rules.largest_video });
        }
        // What cannot give two chunks of the smallest size has to go whole, whatever `whole` says.
        if size <= rules.whole.min(rules.largest) || size < rules.smallest.saturating_mul(2) {
            return Ok(Self { size, chunk_size: size, count: 1 });
        }
        let target = rules.target.clamp(rules.smallest.max(1), rules.largest.max(1));
        let most = rules.most_chunks.min(size / rules.smallest.max(1));
        let count = size.div_ceil(target).clamp(2, most.max(2));
        let chunk_size = size / count;
        let plan = Self {
            size,
            chunk_size,
            count: u32::try_from(count).map_err(|_| NoPlan::Impossible { size, why: "too many chunks" })?,
        };
        if chunk_size < rules.smallest || chunk_size > rules.largest {
            return Err(NoPlan::Impossible { size, why: "no chunk size lies between the smallest and the largest" });
        }
        if plan.len(plan.count - 1) > rules.largest_last {
            return Err(NoPlan::Impossible { size, why: "the last chunk would be too large" });
        }
        Ok(plan)
    }

    pub fn is_last(&self, chunk: u32) -> bool {
        chunk + 1 >= self.count
    }

    /// The first byte of a chunk.
    pub fn start(&self, chunk: u32) -> u64 {
        u64::from(chunk) * self.chunk_size
    }

    /// The byte after a chunk's last one.
    pub fn end(&self, chunk: u32) -> u64 {
        if self.is_last(chunk) { self.size } else { self.start(chunk) + self.chunk_size }
    }

    /// A chunk's bytes.
    pub fn len(&self, chunk: u32) -> u64 {
        self.end(chunk) - self.start(chunk)
    }

    /// The chunk to send when TikTok has the first `stored` bytes. A number inside a chunk repeats that chunk.
    pub fn resume(&self, stored: u64) -> u32 {
        let whole = stored / self.chunk_size.max(1);
        u32::try_from(whole).unwrap_or(u32::MAX).min(self.count.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_fact_sheets_examples_come_out_as_they_stand_there() {
        let wide = ChunkRules { target: 64_000_000, ..ChunkRules::default() };
        for (size, chunk_size, count, last) in [
            (4_999_999, 4_999_999, 1, 4_999_999),
            (64_000_000, 64_000_000, 1, 64_000_000),
            (64_000_001, 32_000_000, 2, 32_000_001),
            (66_259_900, 33_129_950, 2, 33_129_950),
            (158_008_374, 52_669_458, 3, 52_669_458),
            (4_000_000_000, 63_492_063, 63, 63_492_094),
        ] {
            let plan = ChunkPlan::new(size, &wide).unwrap();
            assert_eq!((plan.chunk_size, plan.count, plan.len(plan.count - 1)), (chunk_size, count, last), "{size}");
        }
    }

    #[test]
    fn nothing_and_too_much_have_no_plan() {
        let rules = ChunkRules::default();
        assert_eq!(ChunkPlan::new(0, &rules), Err(NoPlan::Empty));
        assert!(matches!(ChunkPlan::new(4_000_000_001, &rules), Err(NoPlan::TooLarge { .. })));
    }

    /// Wherever one more chunk is needed, a byte before and a byte after.
    #[test]
    fn every_size_at_which_the_number_of_chunks_changes_has_a_plan() {
        let rules = ChunkRules::default();
        let edges = (1..=rules.largest_video / rules.target).map(|chunks| chunks * rules.target);
        for size in edges.chain([rules.whole, rules.smallest, rules.largest_video]) {
            for size in [size - 1, size, size + 1].into_iter().filter(|size| *size <= rules.largest_video) {
                let plan = ChunkPlan::new(size, &rules).unwrap();
                assert_eq!(u64::from(plan.count), size / plan.chunk_size, "{size}");
                assert!(plan.count == 1 || plan.chunk_size >= rules.smallest, "{size}: {plan:?}");
                assert!(plan.chunk_size <= rules.largest && plan.end(plan.count - 1) == size, "{size}: {plan:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn every_plan_keeps_every_rule(
            size in prop_oneof![1u64..=4_000_000_000, 1u64..=200_000_000, 63_999_000u64..=64_001_000],
            target in 5_242_880u64..=64_000_000,
            whole in prop_oneof![Just(64_000_000u64), 5_242_880u64..=64_000_000],
        ) {
            let rules = ChunkRules { target, whole, ..ChunkRules::default() };
            let plan = ChunkPlan::new(size, &rules).unwrap();
            prop_assert_eq!(u64::from(plan.count), size / plan.chunk_size);
            prop_assert!(plan.count >= 1 && u64::from(plan.count) <= rules.most_chunks);
            if plan.count == 1 {
                prop_assert_eq!(plan.chunk_size, size);
                prop_assert!(size <= rules.largest);
            } else {
                prop_assert!((rules.smallest..=rules.largest).contains(&plan.chunk_size));
            }
            let mut at = 0;
            for chunk in 0..plan.count {
                prop_assert_eq!(plan.start(chunk), at);
                prop_assert_eq!(plan.resume(at), chunk);
                prop_assert!(plan.len(chunk) >= 1);
                let most = if plan.is_last(chunk) { rules.largest_last } else { rules.largest };
                prop_assert!(plan.len(chunk) <= most);
                at = plan.end(chunk);
                prop_assert_eq!(plan.resume(at - 1), chunk);
            }
            prop_assert_eq!(at, size);
        }
    }
}
