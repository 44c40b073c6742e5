//! Results on stdout: tables that fit 80 columns, or the API's JSON.

use std::io::{self, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;

use crate::app::Failure;

const COLUMNS: u16 = 80;

/// A reader that went away (`| head`) has what it wanted.
pub(super) fn bytes(text: &[u8], out: &mut impl Write) -> Result<(), Failure> {
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(format!("stdout: {error}"))),
        _ => Ok(()),
    }
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

fn drawn(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(COLUMNS);
    if !head.is_empty() {
        table.set_header(head);
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    // The first column is a name or an id, which has to stay in one piece to be copied.
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.trim_fmt()
}

/// Names and values, one a line.
pub(super) fn fields(rows: Vec<(&str, String)>) -> Result<(), Failure> {
    let shown = rows.into_iter().filter(|(_, value)| !value.is_empty());
    table(&[], shown.map(|(name, value)| vec![name.to_owned(), value]))
}

/// Titles and names are other people's text: nothing in them may steer the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_80_columns_and_keeps_the_terminal_safe() {
        let row = vec!["x".repeat(36), "NEEDS_REVIEW".to_owned(), "100".to_owned(), "a title \x1b[2J ".repeat(20)];
        let text = drawn(&["VIDEO", "STATUS", "%", "TITLE"], [row]);
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(COLUMNS)), "{text}");
        assert!(text.contains(&"x".repeat(36)), "an id can be copied: {text}");
        assert!(!text.contains('\x1b'));
    }
}
