//! One binary for all tests that need real servers. Each test starts its own, on files and ports of its own.

mod delivery;
mod support;
