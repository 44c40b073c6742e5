//! Results on stdout: tables that fit 80 columns, or the API's JSON.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::app::Failure;
pub(super) use crate::app::{drawn, printable};

/// Nobody reads stdout any more.
static READER_IS_GONE: AtomicBool = AtomicBool::new(false);

/// A reader that went away (`| head`) has what it wanted.
pub(super) fn bytes(text: &[u8], out: &mut impl Write) -> Result<(), Failure> {
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            READER_IS_GONE.store(true, Ordering::Relaxed);
            Ok(())
        }
        Err(error) => Err(Failure::failed(format!("stdout: {error}"))),
        Ok(()) => Ok(()),
    }
}

pub(super) fn reader_is_gone() -> bool {
    READER_IS_GONE.load(Ordering::Relaxed)
}

pub(super) fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes(), &mut io::stdout())
}

pub(super) fn json(value: &Value) -> Result<(), Failure> {
    line(&format!("{value:#}"))
}

/// Rows under a head.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), Failure> {
    line(&drawn(head, rows))
}

/// Names and values, one a line.
pub(super) fn fields(rows: Vec<(&str, String)>) -> Result<(), Failure> {
    let shown = rows.into_iter().filter(|(_, value)| !value.is_empty());
    table(&[], shown.map(|(name, value)| vec![name.to_owned(), value]))
}

/// The beginning of a long text, for a line of a list.
pub(super) fn shortened(text: &str) -> String {
    const LENGTH: usize = 60;
    if text.chars().count() <= LENGTH {
        return text.to_owned();
    }
    text.chars().take(LENGTH - 1).chain(['…']).collect()
}

/// A field as a cell: nothing for null, text without quotes.
pub(super) fn cell(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
