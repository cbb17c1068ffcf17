//! Events from elsewhere, and outputs of earlier runs: any log that the trainer reads.

use std::collections::BTreeMap;
use std::str::FromStr;

use omomi::serving_log::{Basis, Currency, EventKind, Money, PredictionId};

use super::partition::Partitions;
use super::row::Names;
use super::{JoinReport, ServingLogError};
use crate::log::{LogReader, ReadOptions, RowBatch, log_columns, parse_time_us};
use crate::serving_logs::attribution::Joined;

/// Columns that every event has.
const REQUIRED: [&str; 3] = ["prediction_id", "kind", "time"];
/// Columns of events with a price.
const PRICE: [&str; 3] = ["price_micros", "currency", "basis"];

/// An event of a row, or what is wrong with it: the column, what was expected, what was found.
type Read = Result<(PredictionId, EventKind, i64, Option<Money>), (&'static str, &'static str, String)>;

pub(super) fn read_events(
    patterns: &[String],
    max_bad_rows: u64,
    partitions: &mut Partitions,
    report: &mut JoinReport,
) -> Result<(), ServingLogError> {
    if patterns.is_empty() {
        return Ok(());
    }
    let options = ReadOptions { max_bad_rows, ..ReadOptions::default() };
    let found = log_columns(patterns, &options)?;
    let is_found = |name: &&str| found.iter().any(|(found, _)| found == name);
    let prices: Vec<&str> = PRICE.into_iter().filter(is_found).collect();
    // A price without its currency or its basis is refused by the reader, which names the missing column.
    let columns: Vec<&str> =
        REQUIRED.into_iter().chain(if prices.is_empty() { [].iter() } else { PRICE.iter() }.copied()).collect();
    let mut rows = 0;
    read(patterns, &columns, options, &mut |batch, bad_row_count| {
        for row in 0..batch.row_count() {
            rows += 1;
            match event_of(batch, row) {
                Ok((id, kind, at_unix_ms, money)) => {
                    report.event_count += 1;
                    partitions.add_event(&id, kind, at_unix_ms, money)?;
                }
                Err((column, expected, found)) => {
                    report.bad_row_count += 1;
                    if report.bad_row_count + bad_row_count > max_bad_rows {
                        return Err(ServingLogError::BadEvent { row: rows, column, expected, found });
                    }
                }
            }
        }
        Ok(())
    })
    .map(|bad_row_count| report.bad_row_count += bad_row_count)
}

fn event_of(batch: &RowBatch, row: usize) -> Read {
    let text = |place: usize| batch.extra.get(place).and_then(|column| column.text(row)).unwrap_or_default();
    let wrong = |column, expected, place: usize| (column, expected, text(place).chars().take(64).collect::<String>());
    let id = PredictionId::from_str(text(0));
    let id = id.map_err(|_| wrong("prediction_id", "32 hexadecimal digits in lower case", 0))?;
    let kind = EventKind::ALL.iter().copied().find(|kind| kind.word() == text(1));
    let kind = kind.ok_or_else(|| wrong("kind", "win, impression, click or conversion", 1))?;
    let time_us = parse_time_us(text(2), None, false);
    let time_us = time_us.ok_or_else(|| wrong("time", "a time in RFC 3339, or as an integer, from 2000 to now", 2))?;
    let mut money = None;
    if !text(3).is_empty() {
        let micros = text(3).parse().map_err(|_| wrong("price_micros", "an integer of millionths", 3))?;
        let currency = Currency::new(text(4));
        let currency = currency.map_err(|_| wrong("currency", "three capital letters, such as JPY", 4))?;
        let basis = Basis::ALL.iter().copied().find(|basis| basis.word() == text(5));
        let expected = "impression, thousand_impressions, click or conversion";
        money = Some(Money { micros, currency, basis: basis.ok_or_else(|| wrong("basis", expected, 5))? });
    }
    Ok((id, kind, time_us.div_euclid(1_000), money))
}

pub(super) fn read_previous(
    patterns: &[String],
    names: &Names,
    partitions: &mut Partitions,
) -> Result<(), ServingLogError> {
    if patterns.is_empty() {
        return Ok(());
    }
    let columns =
        [names.of("prediction_id"), names.label.clone().unwrap_or_default(), names.of("won"), names.of("converted")];
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut rows = 0;
    read(patterns, &columns, ReadOptions::default(), &mut |batch, _| {
        for row in 0..batch.row_count() {
            rows += 1;
            let text = |place: usize| batch.extra[place].text(row).unwrap_or_default();
            let is_set = |place: usize| matches!(text(place), "1" | "true");
            let Ok(id) = PredictionId::from_str(text(0)) else {
                return Err(ServingLogError::BadEvent {
                    row: rows,
                    column: "prediction_id",
                    expected: "32 hexadecimal digits, as an earlier run of `omomi log join` wrote them",
                    found: text(0).chars().take(64).collect(),
                });
            };
            partitions.add_previous(&id, Joined { clicked: is_set(1), won: is_set(2), converted: is_set(3) })?;
        }
        Ok(())
    })
    .map(drop)
}

/// Reads columns as texts, with the count of bad rows so far. Returns the count in the end.
pub(in crate::serving_logs) fn read(
    patterns: &[String],
    columns: &[&str],
    options: ReadOptions,
    visit: &mut dyn FnMut(&RowBatch, u64) -> Result<(), ServingLogError>,
) -> Result<u64, ServingLogError> {
    let extra_columns = columns.iter().map(|&column| column.to_owned()).collect();
    let mut reader = LogReader::open_lists(&BTreeMap::new(), patterns, ReadOptions { extra_columns, ..options })?;
    while let Some(batch) = reader.next_batch()? {
        visit(&batch, reader.bad_row_count())?;
    }
    Ok(reader.bad_row_count())
}
