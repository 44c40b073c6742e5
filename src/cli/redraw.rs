//! `--watch`: the same again every two seconds, in place on a terminal, one after the other in a pipe.

use std::io::IsTerminal;
use std::time::Duration;

use serde_json::Value;

use super::print;
use crate::app::{Failure, Manner, Output};

const AGAIN: Duration = Duration::from_secs(2);
const CLEAR: &str = "\x1b[2J\x1b[H";

pub(super) async fn shown(
    watch: bool,
    manner: Manner,
    ask: impl AsyncFn() -> Result<Value, Failure>,
    show: impl Fn(&Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    loop {
        let answer = ask().await?;
        if watch && manner.output == Output::Table && std::io::stdout().is_terminal() {
            print::bytes(CLEAR.as_bytes(), &mut std::io::stdout())?;
        }
        match manner.output {
            Output::Json => print::json(&answer)?,
            Output::Table => show(&answer)?,
        }
        if !watch || print::reader_is_gone() {
            return Ok(());
        }
        tokio::time::sleep(AGAIN).await;
    }
}
