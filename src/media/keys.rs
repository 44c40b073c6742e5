//! Where things lie. Ids only: no byte of a user's text is in a key.

use crate::event::{LeaseToken, VideoId};

/// Everything of one video lies under this.
pub fn video_folder(video: VideoId) -> String {
    format!("videos/{video}")
}

pub fn source_key(video: VideoId) -> String {
    format!("videos/{video}/source")
}

pub fn captions_key(video: VideoId) -> String {
    format!("videos/{video}/captions")
}

/// One a run: a worker that lost its lease writes to a key that nobody reads.
pub fn rendition_key(video: VideoId, run: LeaseToken) -> String {
    format!("videos/{video}/edited-{run}.mp4")
}

pub fn thumbnail_key(video: VideoId, run: LeaseToken) -> String {
    format!("videos/{video}/thumbnail-{run}.jpg")
}

/// The video to which a key belongs, and the name under which it lies there.
pub fn video_of(key: &str) -> Option<(VideoId, &str)> {
    let (id, name) = key.strip_prefix("videos/")?.split_once('/')?;
    Some((id.parse().ok()?, name))
}

/// By content, so that a video that is being edited keeps the image it began with.
pub fn watermark_key(sha256: &str) -> String {
    format!("watermarks/{sha256}")
}

/// The name by which a brand calls the image at this key: its content's SHA-256.
pub fn watermark_name(key: &str) -> Option<&str> {
    key.strip_prefix("watermarks/")
}
