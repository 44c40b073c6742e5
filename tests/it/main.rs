//! One binary for all tests that need real servers. Each test starts its own, on files and ports of its own.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod away;
mod backends;
mod browser;
mod cli;
mod config;
mod connect;
mod delivery;
mod delivery_model;
mod deploy;
mod doctor;
mod embedded;
mod ffmpeg;
mod fixture;
mod fleet;
mod hands;
mod http;
mod ingest;
mod layers;
mod ledger;
mod media;
mod migrate;
mod pipeline;
mod pitfalls;
mod publish_model;
mod publish_protocol;
mod refusals;
mod sandbox;
mod starting;
mod streams;
#[expect(dead_code, reason = "the torture stands on it, too")]
mod support;
mod tiktok;
mod tokens;
mod upkeep;
mod upstash;
mod webhook;
