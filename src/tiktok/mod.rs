//! TikTok's API as it is on the wire.
pub mod refusal;
pub mod wire;
