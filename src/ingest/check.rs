//! What has to look into bytes before they are accepted. The contained FFmpeg tools do it.

use std::path::Path;

use async_trait::async_trait;
use serde_json::Value;

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
