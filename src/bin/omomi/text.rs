//! Figures and tables as people read them.

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

/// A line below the header and nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table; every column but the first stands to the right if it holds figures only.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    if !header.is_empty() {
        table.set_header(header);
    }
    let column_count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let is_figure = |text: &String| text.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first));
    let figures: Vec<bool> =
        (0..column_count).map(|column| rows.iter().filter_map(|row| row.get(column)).all(is_figure)).collect();
    table.add_rows(rows);
    for (column, figures) in figures.into_iter().enumerate().skip(1) {
        if figures && let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A whole number with its thousands apart: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes: `84.2 MB` (powers of 1,000).
#[expect(clippy::cast_precision_loss, reason = "a figure to read")]
pub(crate) fn bytes(count: u64) -> String {
    for (unit, size) in [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)] {
        if count as f64 >= size {
            return format!("{:.1} {unit}", count as f64 / size);
        }
    }
    format!("{count} bytes")
}

/// A metric that may not be defined.
pub(crate) fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
