//! `explain`: the one thing that a video waits for, and until when.

use super::client::Api;
use super::print::{self, cell};
use super::video::local_time;
use crate::app::{Failure, Manner, Output};

pub(super) async fn run(api: &Api, id: &str, manner: Manner) -> Result<(), Failure> {
    let answer = api.get(&["api", "videos", id, "explain"], &[]).await?;
    if manner.output == Output::Json {
        return print::json(&answer);
    }
    let text = |name| cell(&answer, name);
    let until = match text("until") {
        until if until.is_empty() => until,
        until => format!(", until {}", local_time(&until)),
    };
    print::line(&print::printable(&format!("{} is {}: {}{until}", text("id"), text("status"), text("text"))))?;
    match text("estimatedPostAt") {
        none if none.is_empty() => Ok(()),
        at => print::line(&format!("it is likely to be posted at {}", local_time(&at))),
    }
}
