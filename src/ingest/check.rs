//! What has to look into bytes before they are accepted. The contained FFmpeg tools do it.

use std::path::Path;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::ffmpeg::{Brand, Captions, Fault, Tools};
use crate::outcome::Reason;

/// An image's size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub width: u32,
    pub height: u32,
}

#[async_trait]
pub trait Checks: Send + Sync {
    /// What the file holds, as JSON for the ledger, or why TikTok or we won't take it.
    async fn probe(&self, file: &Path) -> Result<Value, Reason>;
    /// Whether the text is SRT or VTT.
    fn captions(&self, text: &str) -> Result<(), Reason>;
    /// A brand as it is to be kept, or what is wrong about it.
    fn brand(&self, brand: &Value) -> Result<Value, Reason>;
    /// Whether the bytes are a PNG, JPEG or WebP that may be a watermark.
    async fn image(&self, bytes: &[u8]) -> Result<Frame, Reason>;
}

#[async_trait]
impl Checks for Tools {
    async fn probe(&self, file: &Path) -> Result<Value, Reason> {
        let probe = Tools::probe(self, file).await.map_err(blame)?;
        Ok(json!({
            "container": probe.container.demuxer(),
            "durationMs": u64::try_from(probe.duration.as_millis()).unwrap_or(u64::MAX),
            "width": probe.width,
            "height": probe.height,
            "rotation": probe.rotation,
            "fps": probe.fps.map(|fps| fps.value()),
            "videoCodec": probe.video_codec,
            "audioCodec": probe.audio.map(|audio| audio.codec),
            "hdr": probe.hdr,
        }))
    }

    fn captions(&self, text: &str) -> Result<(), Reason> {
        Captions::parse(text.as_bytes()).map(drop)
    }

    fn brand(&self, brand: &Value) -> Result<Value, Reason> {
        let unfit = |error: String| Reason::new("brand_invalid", error);
        let brand = Brand::from_json(brand.to_string().as_bytes()).map_err(|error| unfit(error.to_string()))?;
        serde_json::to_value(brand).map_err(|error| unfit(error.to_string()))
    }

    async fn image(&self, bytes: &[u8]) -> Result<Frame, Reason> {
        let laid = tempfile::NamedTempFile::new_in(&self.setup().spool);
        let laid = laid.and_then(|file| std::fs::write(file.path(), bytes).map(|()| file));
        let file = laid.map_err(|error| Reason::new("spool", format!("the image can't be looked at: {error}")))?;
        let image = self.check_image(file.path()).await.map_err(blame)?;
        Ok(Frame { width: image.width, height: image.height })
    }
}

fn blame(fault: Fault) -> Reason {
    match fault {
        Fault::Refused(reason) | Fault::Failed(reason) | Fault::Environment(reason) => reason,
        Fault::Canceled => Reason::new("canceled", "the check was stopped; upload the file again"),
    }
}
