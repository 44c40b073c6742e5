//! What looks into bytes before they are accepted, all of it contained: FFmpeg's tools.

use std::path::Path;

use serde_json::{Value, json};

use super::Refusal;
use crate::ffmpeg::{Fault, Probe, Tools};
use crate::media::{self, Media};

/// In place where the store is a folder, else from a copy. What the ledger keeps of it.
pub(super) async fn probe(media: &Media, tools: &Tools, key: &str) -> Result<Value, Refusal> {
    let folder = tempfile::tempdir_in(&tools.setup().spool).map_err(media::MediaError::from)?;
    let file = media.as_file(key, &folder.path().join("source")).await?;
    Ok(told(&tools.probe(&file).await?))
}

/// Whether the bytes are a PNG, JPEG or WebP that may be a watermark: its width and height.
pub async fn watermark(tools: &Tools, bytes: &[u8]) -> Result<(u32, u32), Refusal> {
    let folder = tempfile::tempdir_in(&tools.setup().spool).map_err(media::MediaError::from)?;
    let file = folder.path().join("watermark");
    write(&file, bytes).await.map_err(media::MediaError::from)?;
    let image = tools.check_image(&file).await?;
    Ok((image.width, image.height))
}

async fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    tokio::fs::write(file, bytes).await
}

fn told(probe: &Probe) -> Value {
    json!({
        "durationMs": u64::try_from(probe.duration.as_millis()).unwrap_or(u64::MAX),
        "width": probe.width,
        "height": probe.height,
        "sizeBytes": probe.size_bytes,
        "videoCodec": probe.video_codec,
        "audioCodec": probe.audio.as_ref().map(|audio| audio.codec.as_str()),
        "fps": probe.fps.map(|fps| fps.value()),
        "rotation": probe.rotation,
        "hdr": probe.hdr,
        // For the edit, which need not look again.
        "source": probe,
    })
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            // A file that its own probe fails on, twice or not, is none that we could edit.
            Fault::Refused(reason) | Fault::Failed(reason) => Self::Content(reason),
            Fault::Environment(reason) => Self::Machine(reason),
            Fault::Canceled => Self::Broken,
        }
    }
}
