//! Accepting uploads.

pub mod options;
