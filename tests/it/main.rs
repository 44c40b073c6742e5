//! The one integration binary.

mod publish_model;
mod publish_protocol;
mod tiktok;
