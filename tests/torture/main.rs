//! Nothing lost, nothing twice: proved by killing it.
//!
//! The real binaries, built with crash points (`subiteya::torture`), run as child processes and are killed, stopped and
//! cut off at every step at which the world changes. Then a checker asks the ledger and the TikTok sandbox, whose record
//! is the oracle, what became of every video.
//!
//! Each test is a fixed-seed share of a row of what the torture proves, small enough for `make test`. `make torture`
//! runs the ignored test [`budget`] for as long as it is told, and appends what it counted to a results file.

mod answers;
mod bite;
mod budget;
mod checker;
mod dice;
mod history;
mod lanes;
mod load;
mod outages;
mod pipeline;
mod points;
mod results;
mod storms;
mod timeline;
mod wipes;
mod zombies;

#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "what the other tests stand on, too")]
mod support;
