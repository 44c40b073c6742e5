//! SubiteYa takes a creator's video from upload, through branding with FFmpeg, to a published TikTok post.
//!
//! The database holds the truth and the time, Redis hands out the work, the object store holds the bytes, and a
//! worker holds nothing. `ARCHITECTURE.md` tells the whole story; the modules stand here in the order in which a
//! video meets them.

pub mod access;
pub mod child;
pub mod config;
pub mod control;
pub mod event;
pub mod http;
pub mod ingest;
pub mod ledger;
pub mod limit;
pub mod media;
pub mod outcome;
pub mod relay;
pub mod stream;
pub mod task;

#[path = "../migrations/mod.rs"]
mod migrations;
