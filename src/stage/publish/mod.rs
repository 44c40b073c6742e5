//! Publishing: never twice.
//!
//! The data: one [`Publication`](row::Publication) per video, which says how far this video got with TikTok. Nothing
//! is known that does not stand in it.
//!
//! How it moves: a worker reads the row, calls [`protocol::decide`] with the row and what just happened, commits the
//! write that comes back (a compare-and-set), makes the one call that comes with it, and calls `decide` again with the
//! answer. Two stages do this with the same function: *publish* sends the bytes, *confirm* asks what became of them.
//! The model in `tests/it/publish_model.rs` exhausts the same function.
//!
//! All times are milliseconds. `now` is the ledger's clock; whether a publish id is dead is judged by TikTok's alone.

mod called;
pub mod chunks;
mod driver;
pub mod operator;
mod post;
pub mod protocol;
pub mod record;
pub mod row;
mod settle;
pub mod step;
pub mod times;
mod work;

pub use driver::{Ended, Publisher};
pub use settle::post_url;
pub use work::{Confirm, Publish};
