//! `omomi log join`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use omomi_train::serving_logs::{JoinOptions, Segments, join};

use super::note_losses;
use crate::Failure;
use crate::contract::read_contract;
use crate::output::{note, say};
use crate::text::{grouped, parse_bytes, parse_unix_ms, table};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Segments, or folders of them
    #[arg(value_name = "FILE|FOLDER", required = true)]
    paths: Vec<PathBuf>,
    /// Path of the contract.toml
    #[arg(long, value_name = "FILE")]
    contract: PathBuf,
    /// More events, as paths or quoted patterns: Parquet, CSV or JSON lines
    ///
    /// Their columns are prediction_id, kind (win, impression, click or conversion) and time; with prices also
    /// price_micros, currency and basis.
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    events: Vec<String>,
    /// Outputs of earlier runs, as paths or quoted patterns: their rows are not written again, unless an event came
    /// late
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    previous: Vec<String>,
    /// How much later than its prediction an event may be: 90s, 30m, 24h or 7d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration_ms)]
    window: i64,
    /// Until when the log is complete, such as 2026-10-01T00:00:00Z: later windows are open [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_unix_ms)]
    until: Option<i64>,
    /// File to write: .parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file of --out if it exists
    #[arg(long)]
    force: bool,
    /// Number of unusable rows of --events to skip before the command fails
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_rows: u64,
    /// How much of the inputs is joined at a time; a multiple of it is in memory
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_bytes)]
    partition: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut options = JoinOptions::new(
        arguments.window,
        arguments.until.unwrap_or_else(|| i64::try_from(now.as_millis()).unwrap_or(i64::MAX)),
    );
    options.events = arguments.events.clone();
    options.previous = arguments.previous.clone();
    options.max_bad_rows = arguments.max_bad_rows;
    options.partition_len_bytes = arguments.partition;
    if !arguments.out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) {
        let found = arguments.out.display();
        return Err(format!("--out: expected a name that ends in .parquet, found {found}; name it so").into());
    }
    let contract = read_contract(&arguments.contract)?;
    let segments = Segments::find(&arguments.paths)?;
    let report = join(&segments, &contract, &options, &arguments.out, arguments.force)?;
    note_losses(&report.losses);
    for (before, after) in &report.renamed_columns {
        note!("renamed: the contract has a column `{before}`, so what was logged under that name is in `{after}`");
    }
    for column in &report.key_columns {
        note!("hashed: `{column}` has feature keys; `omomi train` learns from them as from plain values");
    }
    for column in &report.empty_columns {
        note!("never logged: `{column}` has no values");
    }
    let mut rows = vec![
        vec!["predictions".to_owned(), grouped(report.prediction_count)],
        vec!["rows".to_owned(), grouped(report.row_count)],
        vec!["  with a click".to_owned(), grouped(report.click_count)],
        vec!["  with a win".to_owned(), grouped(report.win_count)],
        vec!["  again, because an event came late".to_owned(), grouped(report.late_count)],
    ];
    rows.extend(report.left_out.iter().map(|(why, count)| vec![format!("left out: {why}"), grouped(*count)]));
    rows.push(vec!["events".to_owned(), grouped(report.event_count)]);
    rows.push(vec!["  that count".to_owned(), grouped(report.counted_event_count)]);
    rows.extend(report.unused_events.iter().map(|(why, count)| vec![format!("not used: {why}"), grouped(*count)]));
    if report.bad_row_count > 0 {
        rows.push(vec!["unusable rows of events".to_owned(), grouped(report.bad_row_count)]);
    }
    say!("{}", table(&[], rows));
    Ok(report.losses.check_readable()?)
}

/// Parses a duration: an integer and one of s, m, h and d.
fn parse_duration_ms(text: &str) -> Result<i64, String> {
    const UNITS: [(char, i64); 4] = [('s', 1_000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
    let parsed = UNITS.iter().find_map(|(unit, ms)| text.strip_suffix(*unit)?.parse::<u32>().ok().map(|it| (it, ms)));
    let duration_ms = parsed.and_then(|(count, ms)| i64::from(count).checked_mul(*ms));
    duration_ms.ok_or_else(|| "expected a duration such as 90s, 30m, 24h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration_ms("24h"), Ok(86_400_000));
        assert_eq!(parse_duration_ms("7d"), Ok(604_800_000));
        assert_eq!(parse_duration_ms("0s"), Ok(0));
        for text in ["24", "h", "-1h", "1.5h", "24 h", "99999999999d", ""] {
            assert!(parse_duration_ms(text).is_err(), "{text}");
        }
    }
}
