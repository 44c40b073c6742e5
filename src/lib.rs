//! SubiteYa takes a creator's video from upload, through branding with FFmpeg, to a published TikTok post.
//!
//! The database holds the truth and the time, Redis hands out the work, the object store holds the bytes, and a
//! worker holds nothing. `ARCHITECTURE.md` tells the whole story; the modules stand here in the order in which a
//! video meets them.

pub mod budget;
pub mod config;
pub mod event;
pub mod metrics;
pub mod outage;
pub mod outcome;
pub mod task;
pub mod torture;

pub mod ledger;
pub mod media;
pub mod stream;

pub mod ffmpeg;
pub mod seal;
pub mod tiktok;

pub mod access;
pub mod account;
pub mod control;
pub mod creator;
pub mod forecast;
pub mod ingest;
pub mod limit;
pub mod relay;
pub mod stage;
pub mod trace;
pub mod upkeep;
pub mod webhook;

pub mod health;
pub mod http;
pub mod sandbox;

pub mod app;
pub mod child;
pub mod cli;

#[path = "../migrations/mod.rs"]
mod migrations;
