//! Tables that fit 80 columns, on a terminal and in a pipe.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

const COLUMNS: u16 = 80;
/// The widest first column that is kept in one piece: an id has 36.
const WHOLE: usize = 40;

/// Rows under a head, in 80 columns, wherever it is printed to.
pub(crate) fn drawn(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(COLUMNS);
    if !head.is_empty() {
        table.set_header(head);
    }
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    for row in &rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    // The first column is a name or an id, which has to stay in one piece to be copied, where there is room for it.
    let widest = rows.iter().filter_map(|row| row.first()).map(|cell| cell.chars().count()).max().unwrap_or(0);
    if widest <= WHOLE
        && let Some(column) = table.column_mut(0)
    {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    // Wide tables stand closer.
    let apart = if head.len() > 8 { 1 } else { 2 };
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, apart));
    });
    table.trim_fmt()
}

/// Titles and names are other people's text: nothing in them may steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
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
        for (head, row) in [
            (
                &["STREAM", "GROUP", "LENGTH", "LAG", "PENDING", "CONSUMERS", "WAITING", "PARKED", "DEAD"][..],
                vec!["video.uploaded", "publish", "123456", "123456", "1234", "12", "1000000", "100000", "1000"],
            ),
            (&["ID", "USER", "ROLE", "STATE"], vec!["0199f2b1-aaaa", &"u".repeat(200), "operator", "active"]),
            (&["ACCOUNT", "NAME"], vec![&"a".repeat(200), "ada"]),
        ] {
            let text = drawn(head, [row.into_iter().map(str::to_owned).collect()]);
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(COLUMNS)), "{text}");
        }
    }
}
