//! Asking before something that can't be undone.

use std::io::{BufRead, IsTerminal, Write};

use crate::app::{Exit, Failure, Manner};

/// Goes on after `--yes`, or when the word is typed. Without a terminal there is nobody to ask.
pub(super) fn confirm(question: &str, word: &str, manner: Manner) -> Result<(), Failure> {
    if manner.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, format!("{question} There is no terminal to ask on: add --yes")));
    }
    eprint!("{question} Type \"{word}\" to go on: ");
    std::io::stderr().flush().ok();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| Failure::failed(error.to_string()))?;
    if line.trim() == word { Ok(()) } else { Err(Failure::failed("nothing was changed")) }
}
