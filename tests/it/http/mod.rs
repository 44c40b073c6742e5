//! The API's manners: who sees what, errors, ranges, sessions, events, metrics.

mod bytes;
mod creator;
mod errors;
pub(crate) mod monitor;
mod pauses;
mod roles;
mod session;
