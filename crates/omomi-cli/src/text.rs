//! Formats figures and tables for people.

use std::io::stdout;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use omomi::contract::TimeUnit;
use omomi_train::learn::{FileUnseen, utc};
use omomi_train::log::{FileMissing, parse_time_us};
use terminal_size::{Width, terminal_size_of};

pub(crate) use omomi_train::readable::{bytes, grouped};

use crate::output::one_line;

/// A line below the header, and no other lines.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Starts a table as wide as the terminal. Without a terminal it is as wide as its cells, so that `grep` finds them
/// whole.
pub(crate) fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    if !header.is_empty() {
        table.set_header(header.iter().map(|name| one_line(name)));
    }
    if let Some((Width(columns), _)) = terminal_size_of(stdout()) {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    }
    table
}

/// Formats a table of `rows`. Columns of figures, except the first column, are aligned to the right. Control characters
/// in cells are escaped.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = new_table(header);
    let column_count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let is_figure = |text: &String| text.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first));
    let figures: Vec<bool> =
        (0..column_count).map(|column| rows.iter().filter_map(|row| row.get(column)).all(is_figure)).collect();
    table.add_rows(rows.iter().map(|row| row.iter().map(|cell| one_line(cell))));
    for (column, figures) in figures.into_iter().enumerate().skip(1) {
        if figures && let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Writes the times of the first and the last row.
pub(crate) fn window_text((first_us, last_us): (i64, i64)) -> String {
    let time = |time_us| utc(time_us).unwrap_or_else(|| format!("{time_us} us"));
    format!("{} to {}", time(first_us), time(last_us))
}

/// Parses the unit of times that are integers.
pub(crate) fn parse_time_unit(text: &str) -> Result<TimeUnit, String> {
    TimeUnit::of_word(text).ok_or_else(|| format!("expected one of {}", TimeUnit::WORDS.join(", ")))
}

/// Parses a size in bytes: `200MB` (powers of 1,000), `64MiB` (powers of 1,024) or `5000`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("B", 1),
    ];
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    let number: Option<f64> = number.trim().parse().ok().filter(|number: &f64| *number > 0.0 && *number < 1e15);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "above 0, and far below 2^63")]
    let bytes = number.map(|number| (number * unit as f64) as u64);
    bytes.ok_or_else(|| "expected a size such as 200MB or 64MiB".to_owned())
}

/// Parses a time in words, such as `2026-10-01T00:00:00Z`, as Unix milliseconds.
pub(crate) fn parse_unix_ms(text: &str) -> Result<i64, String> {
    let time_us = parse_time_us(text, None, true).filter(|_| !text.bytes().all(|byte| byte.is_ascii_digit()));
    time_us.map(|us| us.div_euclid(1_000)).ok_or_else(|| "expected a time such as 2026-10-01T00:00:00Z".to_owned())
}

/// Formats a metric with 4 decimals, or `-` if it is undefined.
pub(crate) fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

/// The columns `missing`, `out of range` and, with a start state, `unseen`: their names, and their cells by field.
pub(crate) fn rate_columns(
    missing: &[FileMissing],
    invalid_numbers: &[u64],
    unseen: &[FileUnseen],
) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let sums = |counts: &mut dyn Iterator<Item = &Vec<u64>>| {
        counts.fold(Vec::new(), |mut sums: Vec<u64>, counts| {
            sums.resize(sums.len().max(counts.len()), 0);
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            sums
        })
    };
    let rate = |count: u64, of: u64| match of {
        0 => "-".to_owned(),
        _ => format!("{:.1} %", 100.0 * count as f64 / of as f64),
    };
    let row_count = missing.iter().map(|log| log.row_count).sum();
    let missing_counts = sums(&mut missing.iter().map(|log| &log.missing_counts));
    let counts = missing_counts.iter().zip(invalid_numbers.iter().chain(std::iter::repeat(&0)));
    let mut cells: Vec<Vec<String>> =
        counts.map(|(&missing, &invalid)| vec![rate(missing, row_count), rate(invalid, row_count)]).collect();
    if unseen.is_empty() {
        return (vec!["missing", "out of range"], cells);
    }
    let values = sums(&mut unseen.iter().map(|log| &log.value_counts));
    let unseen = sums(&mut unseen.iter().map(|log| &log.unseen_counts));
    for (cells, (&unseen, &values)) in cells.iter_mut().zip(unseen.iter().zip(&values)) {
        cells.push(rate(unseen, values));
    }
    (vec!["missing", "out of range", "unseen"], cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        let sizes = ["200MB", "1.5 kB", "2KB", "64MiB", "7", "7B"].map(|text| parse_bytes(text).unwrap());
        assert_eq!(sizes, [200_000_000, 1_500, 2_000, 64 << 20, 7, 7]);
        for text in ["", "MB", "-1MB", "1 mb", "NaN"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_in_words() {
        assert_eq!(parse_unix_ms("2026-10-01T00:00:00Z"), Ok(1_790_812_800_000));
        assert!(parse_unix_ms("1790812800").is_err(), "an integer without a unit");
        assert!(parse_unix_ms("tomorrow").is_err());
    }
}
