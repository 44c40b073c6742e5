//! A [`Task`]: one publish id, from init to its end. It has a [`Plan`] of chunks, takes them one after another, and once
//! all bytes are in, its [`Fate`] is settled: whether it becomes a post can't change any more, only be waited for.

use serde::{Deserialize, Serialize};

use super::answer::{Refusal, invalid};
use super::options::Limits;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) publish_id: String,
    pub(super) open_id: String,
    /// The part of the upload URL that makes it a secret.
    pub(super) upload_token: String,
    pub(super) title: String,
    pub(super) privacy_level: String,
    pub(super) plan: Plan,
    pub(super) created_at: i64,
    pub(super) expires_at: i64,
    pub(super) fate: Fate,
    /// A count of bytes.
    pub(super) uploaded: u64,
    /// What `uploaded` was before the last chunk.
    pub(super) uploaded_before: u64,
    pub(super) completed_at: Option<i64>,
    /// The public post's id, which the status names after moderation.
    pub(super) post_id: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    Publish,
    /// Processed for ever, never posted.
    Endless,
    Fail(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) video_size: u64,
    pub(super) chunk_size: u64,
    pub(super) total_chunk_count: u64,
}

impl Plan {
    /// The rules of the Media Transfer Guide, with the messages that integrators report.
    pub(super) fn checked(video_size: i64, chunk_size: i64, count: i64, limits: &Limits) -> Result<Self, Refusal> {
        let plan = Self {
            video_size: u64::try_from(video_size).unwrap_or(0),
            chunk_size: u64::try_from(chunk_size).unwrap_or(0),
            total_chunk_count: u64::try_from(count).unwrap_or(0),
        };
        if plan.video_size == 0 || plan.video_size > limits.video_max {
            return Err(invalid("video_size", "The video size is invalid"));
        }
        if plan.total_chunk_count == 0 || plan.total_chunk_count > limits.chunk_count {
            return Err(invalid("chunk_count", "The total chunk count is invalid"));
        }
        if plan.total_chunk_count == 1 {
            if plan.chunk_size != plan.video_size || plan.video_size > limits.chunk_max {
                return Err(invalid("chunk_size", "The chunk size is invalid"));
            }
            return Ok(plan);
        }
        if !(limits.chunk_min..=limits.chunk_max).contains(&plan.chunk_size) {
            return Err(invalid("chunk_size", "The chunk size is invalid"));
        }
        if plan.video_size / plan.chunk_size != plan.total_chunk_count {
            return Err(invalid("chunk_count", "The total chunk count is invalid"));
        }
        if plan.video_size - plan.chunk_size * (plan.total_chunk_count - 1) > limits.last_chunk_max {
            return Err(invalid("chunk_size", "The chunk size is invalid"));
        }
        Ok(plan)
    }

    /// First and last byte of the chunk that starts at `first`, if one does.
    pub(super) fn chunk_at(&self, first: u64) -> Option<(u64, u64)> {
        let index = first / self.chunk_size;
        if !first.is_multiple_of(self.chunk_size) || index >= self.total_chunk_count {
            return None;
        }
        let last_chunk = index + 1 == self.total_chunk_count;
        Some((first, if last_chunk { self.video_size } else { first + self.chunk_size } - 1))
    }
}

impl Task {
    pub(super) fn is_complete(&self) -> bool {
        self.uploaded == self.plan.video_size
    }

    /// The digits of the publish id: the name of this task in paths.
    pub(super) fn digits(&self) -> &str {
        self.publish_id.rsplit_once('.').map_or(self.publish_id.as_str(), |(_, digits)| digits)
    }
}

pub(super) const PUBLISH_ID_PREFIX: &str = "v_pub_file~v2-1.";

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(video_size: i64, chunk_size: i64, count: i64) -> Result<Plan, &'static str> {
        Plan::checked(video_size, chunk_size, count, &Limits::default()).map_err(|refusal| refusal.rule.unwrap_or(""))
    }

    #[test]
    fn the_documented_plans_are_taken() {
        for (size, chunk, count, last) in [
            (4_999_999, 4_999_999, 1, 4_999_999),
            (50_000_123, 10_000_000, 5, 10_000_123),
            (64_000_000, 64_000_000, 1, 64_000_000),
            (64_000_001, 32_000_000, 2, 32_000_001),
            (158_008_374, 52_669_458, 3, 52_669_458),
            (4_000_000_000, 63_492_063, 63, 63_492_094),
        ] {
            let plan = checked(size, chunk, count).expect("a documented plan");
            let (first, end) = plan.chunk_at(plan.chunk_size * (plan.total_chunk_count - 1)).expect("a last chunk");
            assert_eq!(end - first + 1, last);
            assert_eq!(end + 1, plan.video_size);
        }
    }

    #[test]
    fn the_reported_refusals_are_given() {
        assert_eq!(checked(50_000_123, 10_000_000, 6), Err("chunk_count"), "rounded up");
        assert_eq!(checked(121_000_000, 64_000_000, 1), Err("chunk_size"), "one chunk that isn't the whole");
        assert_eq!(checked(64_000_001, 64_000_001, 1), Err("chunk_size"), "one chunk too large");
        assert_eq!(checked(10_000_000, 5_000_000, 2), Err("chunk_size"), "a chunk too small");
        assert_eq!(checked(0, 0, 1), Err("video_size"));
        assert_eq!(checked(-5, 5, 1), Err("video_size"));
        assert_eq!(checked(4_000_000_001, 63_492_063, 63), Err("video_size"));
        assert_eq!(checked(10_000_000, 10_000_000, 0), Err("chunk_count"));
    }
}
