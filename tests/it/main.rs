//! The integration tests, as one binary.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod sandbox;
