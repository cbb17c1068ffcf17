//! Exports a log as Parquet, for people and SQL engines: one file for each segment, contract and hour, under
//! `predictions/logic_id=.../dt=.../hour=...`, and events under `events/dt=.../hour=...`.
//!
//! Only sealed segments are exported, because they never change. The name and the bytes of a file follow from the
//! segment. A file that exists is left alone, so an export can run again, also after it was killed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufWriter};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bucket::{NewFile, Place};
use arrow_array::builder::{Int64Builder, StringBuilder, TimestampMillisecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use omomi::serving_log::{LoggedEvent, PredictionId, RecordBody, SegmentHeader};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::attribution::Outcome;
use super::bytes::{Put, Take};
use super::error::ServingLogError;
use super::join::{Joint, Output, RowPlan, file_error};
use super::losses::Losses;
use super::segments::Segments;
use crate::learn::utc;

/// What an export did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Files that were written.
    pub written_count: u64,
    /// Files that an earlier run wrote.
    pub existing_count: u64,
    /// Rows in the files that were written.
    pub row_count: u64,
    /// Values in these rows that are left out: hashes of texts, which the server passed instead of the texts.
    pub left_out_count: u64,
    /// Segments that are still written, and were left out.
    pub partial_count: u64,
    /// What of the log cannot be read.
    pub losses: Losses,
}

/// Rows of one file.
#[derive(Default)]
struct Group {
    plan: Option<RowPlan>,
    rows: Vec<u8>,
    row_count: u64,
    left_out_count: u64,
    events: Vec<(i64, LoggedEvent)>,
}

/// Exports the sealed segments of `segments` to the folder `out`, which is created.
///
/// # Errors
///
/// Returns [`ServingLogError`] if a segment cannot be read, or a file cannot be written. What was written by then is
/// complete.
pub fn export(segments: &Segments, out: &Path) -> Result<ExportReport, ServingLogError> {
    let mut report = ExportReport::default();
    let (sealed, partial) = segments.sealed();
    report.partial_count = partial;
    let mut each = Vec::new();
    for segment in sealed {
        let mut groups: BTreeMap<PathBuf, Group> = BTreeMap::new();
        let mut segment_header: Option<SegmentHeader> = None;
        each.push(segment.read(&mut |header, block, record| {
            segment_header.get_or_insert_with(|| header.clone());
            let at_unix_ms = record.head.at_unix_ms;
            match &record.body {
                RecordBody::Prediction(prediction) => {
                    let model = record.head.model.map(|model| &block.models[model]);
                    let logic_id = model.map_or("", |model| model.logic_id);
                    let fingerprint = model.map_or(0, |model| model.contract_fingerprint);
                    let folder = format!("predictions/logic_id={}", path_part(logic_id));
                    let name = format!("{}-{fingerprint:016x}.parquet", stem(header));
                    let group = groups.entry(Path::new(&folder).join(hour(at_unix_ms)).join(name)).or_default();
                    let plan = group.plan.get_or_insert_with(|| RowPlan::of_logged(model));
                    let mut row = Vec::new();
                    group.left_out_count += plan.encode_all(header, block, record, prediction, &mut row);
                    group.rows.put(prediction.id.as_bytes());
                    group.rows.put_bytes(&row);
                    group.row_count += 1;
                }
                RecordBody::Event(event) => {
                    let name = format!("{}.parquet", stem(header));
                    let group = groups.entry(Path::new("events").join(hour(at_unix_ms)).join(name)).or_default();
                    group.events.push((at_unix_ms, *event));
                    group.row_count += 1;
                }
                RecordBody::Detail(_) | RecordBody::Unknown(_) => {}
            }
            ControlFlow::Continue(())
        })?);
        let server = segment_header.map_or_else(String::new, |header| header.name);
        for (path, group) in groups {
            write_group(&out.join(path), &group, &server, &mut report)?;
        }
    }
    // Losses are those of all segments together: numbers that one of them misses are in another one.
    report.losses = segments.read(&mut |_, _, _| ControlFlow::Continue(()))?;
    Ok(report)
}

/// The name of a segment without its ending.
fn stem(header: &SegmentHeader) -> String {
    format!("{:013}-{:016x}-{:06}", header.started_unix_ms, header.writer_id, header.number)
}

/// The folders of the hour of a time, in UTC.
fn hour(unix_ms: i64) -> PathBuf {
    let text = unix_ms.checked_mul(1_000).and_then(utc);
    // `2026-10-01T00:...`
    let parts = text.as_deref().and_then(|text| text.split_once('T'));
    let (date, hour) = parts.map_or(("unknown", "unknown"), |(date, rest)| (date, rest.get(..2).unwrap_or("unknown")));
    Path::new(&format!("dt={date}")).join(format!("hour={hour}"))
}

/// Returns a text as part of a path: bytes other than letters, digits, `.`, `_` and `-` become `%XX`, as Hive does.
fn path_part(text: &str) -> String {
    if text.is_empty() {
        return "__HIVE_DEFAULT_PARTITION__".to_owned();
    }
    let mut part = String::new();
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        // Writing to a string cannot fail.
        let _ = if is_plain { part.write_char(char::from(byte)) } else { write!(part, "%{byte:02X}") };
    }
    part
}

fn write_group(path: &Path, group: &Group, server: &str, report: &mut ExportReport) -> Result<(), ServingLogError> {
    let exists = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    // Buckets have no folders.
    if let (Some(folder), Ok(Place::Disk(_))) = (path.parent(), Place::of(path)) {
        fs::create_dir_all(folder).map_err(file_error("create the folder", folder))?;
    }
    let new_file = match NewFile::create(path, false) {
        Err(error) if exists(&error) => {
            report.existing_count += 1;
            return Ok(());
        }
        new_file => new_file.map_err(file_error("create the file", path))?,
    };
    let file = BufWriter::new(new_file.file().try_clone().map_err(file_error("write the file", path))?);
    match &group.plan {
        Some(plan) => {
            let mut output = Output::exported(file, plan, path)?;
            let mut rows = Take(&group.rows);
            let broken = || file_error("encode the rows of", path);
            while !rows.0.is_empty() {
                let id = PredictionId::from_bytes(rows.array().map_err(broken())?);
                let mut row = Take(rows.bytes().map_err(broken())?);
                let at_unix_ms = row.i64().map_err(broken())?;
                row.slice(RowPlan::PLACE_LEN).map_err(broken())?;
                output.add(Joint { at_unix_ms, id, is_late: false, outcome: Outcome::default(), row }, plan)?;
            }
            output.finish()?;
        }
        None => write_events(file, &group.events, server)
            .map_err(|error| file_error("write the file", path)(error.into()))?,
    }
    match new_file.commit() {
        // Another export was faster.
        Err(error) if exists(&error) => report.existing_count += 1,
        committed => {
            committed.map_err(file_error("write the file", path))?;
            report.written_count += 1;
            report.row_count += group.row_count;
            report.left_out_count += group.left_out_count;
        }
    }
    Ok(())
}

/// Writes events with the columns that `omomi log join --events` reads.
fn write_events(file: BufWriter<fs::File>, events: &[(i64, LoggedEvent)], server: &str) -> Result<(), ParquetError> {
    let (mut ids, mut kinds, mut servers) = (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
    let mut times = TimestampMillisecondBuilder::new().with_timezone("UTC");
    let (mut micros, mut currencies, mut bases) = (Int64Builder::new(), StringBuilder::new(), StringBuilder::new());
    for (at_unix_ms, event) in events {
        ids.append_value(event.prediction_id.to_string());
        kinds.append_value(event.kind.word());
        times.append_value(*at_unix_ms);
        micros.append_option(event.money.map(|money| money.micros));
        currencies.append_option(event.money.as_ref().map(|money| money.currency.code()));
        bases.append_option(event.money.map(|money| money.basis.word()));
        servers.append_value(server);
    }
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let schema = Arc::new(Schema::new(vec![
        Field::new("prediction_id", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("time", time, false),
        Field::new("price_micros", DataType::Int64, true),
        Field::new("currency", DataType::Utf8, true),
        Field::new("basis", DataType::Utf8, true),
        Field::new("server", DataType::Utf8, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids.finish()),
        Arc::new(kinds.finish()),
        Arc::new(times.finish()),
        Arc::new(micros.finish()),
        Arc::new(currencies.finish()),
        Arc::new(bases.finish()),
        Arc::new(servers.finish()),
    ];
    let properties = WriterProperties::builder()
        .set_created_by("omomi log export".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    let mut parquet = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
    parquet.write(&RecordBatch::try_new(schema, columns)?)?;
    parquet.into_inner()?.into_inner().map(drop).map_err(|error| ParquetError::External(Box::new(error.into_error())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logic_id_never_leaves_its_folder() {
        assert_eq!(path_part("ctr-a_1.2"), "ctr-a_1.2");
        assert_eq!(path_part("../x=旅"), "..%2Fx%3D%E6%97%85");
        assert_eq!(path_part(""), "__HIVE_DEFAULT_PARTITION__");
    }

    #[test]
    fn the_hour_is_that_of_utc() {
        assert_eq!(hour(1_790_812_800_000 - 1), Path::new("dt=2026-09-30/hour=23"));
        assert_eq!(hour(i64::MAX), Path::new("dt=unknown/hour=unknown"));
    }
}
