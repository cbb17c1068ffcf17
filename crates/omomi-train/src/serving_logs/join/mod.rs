//! Joins predictions with what happened to them: the log that the next model is trained from.
//!
//! ```text
//!     segments, events, earlier outputs --by hash of the id--> partitions (temporary files)
//!     partition --by id--> rows --by time--> run (temporary file)
//!     runs --merge--> Parquet, by time served and prediction id
//! ```
//!
//! One segment, one partition or one row group is in memory at a time, whatever the size of the log. The order of the
//! inputs does not change a byte of the output.

mod columns;
mod events;
mod output;
mod partition;
mod row;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::bucket::{NewFile, beside, len_of};
use omomi::contract::{Contract, LogPolicy};
use omomi::serving_log::{EventKind, RecordBody};

use super::attribution::Rule;
use super::error::ServingLogError;
use super::losses::Losses;
use super::segments::Segments;
pub(super) use events::read as read_columns;
pub(super) use output::Output;
pub(super) use partition::Joint;
use partition::{Partitions, merge};
pub(super) use row::RowPlan;

/// What is joined, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JoinOptions {
    /// Patterns of more events: CSV, JSON lines or Parquet with the columns `prediction_id`, `kind` and `time`, and
    /// for prices `price_micros`, `currency` and `basis`.
    pub events: Vec<String>,
    /// Outputs of earlier runs. Their rows are not written again, unless an event came late.
    pub previous: Vec<String>,
    /// How much later than its prediction an event may be, in milliseconds.
    pub window_ms: i64,
    /// Until when the log is complete, in Unix milliseconds. Predictions whose window is still open then wait for a
    /// later run.
    pub until_unix_ms: i64,
    /// How many rows of `events` may be unusable.
    pub max_bad_rows: u64,
    /// How many bytes of the inputs are joined at a time.
    pub partition_len_bytes: u64,
}

impl JoinOptions {
    /// Returns options without more events and earlier outputs, that accept no bad row and join 64 MiB at a time.
    #[must_use]
    pub fn new(window_ms: i64, until_unix_ms: i64) -> Self {
        Self {
            events: Vec::new(),
            previous: Vec::new(),
            window_ms,
            until_unix_ms,
            max_bad_rows: 0,
            partition_len_bytes: 64 << 20,
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// What a join did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JoinReport {
    /// Records of predictions that were read.
    pub prediction_count: u64,
    /// Rows that were written.
    pub row_count: u64,
    /// Rows with a click.
    pub click_count: u64,
    /// Rows with a win.
    pub win_count: u64,
    /// Rows that were written again because an event came late; `row_count` includes them.
    pub late_count: u64,
    /// Predictions that were not written, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
    /// Events in the log and in other files.
    pub event_count: u64,
    /// Events that count for a row.
    pub counted_event_count: u64,
    /// Events that do not, by reason.
    pub unused_events: BTreeMap<&'static str, u64>,
    /// Unusable rows of the other files.
    pub bad_row_count: u64,
    /// Columns of the log that have another name, because the contract has one of that name: both names.
    pub renamed_columns: Vec<(String, String)>,
    /// Columns of hashed fields, which hold feature keys.
    pub key_columns: Vec<String>,
    /// Columns without any value, because the fields are never logged.
    pub empty_columns: Vec<String>,
    /// What of the log cannot be read.
    pub losses: Losses,
}

/// Joins the predictions of `segments` with their events, and writes a Parquet log to `out`. The file appears only when
/// it is complete.
///
/// # Errors
///
/// Returns [`ServingLogError`] if `out` exists and `replace` is false, if something cannot be read or written, or if
/// more rows of the other event files are unusable than allowed.
pub fn join(
    segments: &Segments,
    contract: &Contract,
    options: &JoinOptions,
    out: &Path,
    replace: bool,
) -> Result<JoinReport, ServingLogError> {
    let new_file = NewFile::create(out, replace).map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => ServingLogError::Exists { path: out.to_owned() },
        _ => file_error("create the file", out)(source),
    })?;
    let scratch = Scratch::beside(out)?;
    let plan = RowPlan::new(contract);
    let mut report = JoinReport::default();
    report.renamed_columns.clone_from(&plan.names.renamed);
    for (index, field) in contract.fields().iter().enumerate() {
        let list = match field.log {
            LogPolicy::Plain => continue,
            LogPolicy::Hashed => &mut report.key_columns,
            LogPolicy::Never => &mut report.empty_columns,
        };
        list.push(plan.names.fields[index].clone());
    }
    let rule = Rule { window_ms: options.window_ms, until_unix_ms: options.until_unix_ms };
    let mut len_bytes = segments.len_bytes();
    for pattern in options.events.iter().chain(&options.previous) {
        len_bytes += len_of(pattern).ok().flatten().unwrap_or(0);
    }
    let mut partitions = Partitions::create(&scratch.folder, len_bytes, options.partition_len_bytes)?;
    report.losses = scatter(segments, &plan, &mut partitions, &mut report)?;
    events::read_events(&options.events, options.max_bad_rows, &mut partitions, &mut report)?;
    events::read_previous(&options.previous, &plan.names, &mut partitions)?;
    let runs = partitions.join(rule, &mut report)?;
    let file = new_file.file().try_clone().map_err(file_error("write the file", out))?;
    let facts = [
        ("omomi.contract_fingerprint", format!("{:016x}", contract.fingerprint())),
        ("omomi.window_ms", options.window_ms.to_string()),
    ];
    let mut output = Output::joined(BufWriter::new(file), &plan, &facts, out)?;
    merge(runs, &mut |row| {
        report.row_count += 1;
        report.click_count += u64::from(row.outcome.click.is_some());
        report.win_count += u64::from(row.outcome.win.is_some());
        output.add(row, &plan)
    })?;
    output.finish()?;
    new_file.commit().map_err(file_error("write the file", out))?;
    Ok(report)
}

/// Writes every record of the log into its partition.
fn scatter(
    segments: &Segments,
    plan: &RowPlan,
    partitions: &mut Partitions,
    report: &mut JoinReport,
) -> Result<Losses, ServingLogError> {
    let mut failure = None;
    let mut row = Vec::new();
    let losses = segments.read(&mut |header, block, record| {
        let written = match &record.body {
            RecordBody::Prediction(prediction) => {
                report.prediction_count += 1;
                row.clear();
                match plan.encode(header, block, record, prediction, &mut row) {
                    Ok(()) => partitions.add_prediction(&prediction.id, &row),
                    Err(reason) => {
                        *report.left_out.entry(reason).or_default() += 1;
                        partitions.add_left_out(&prediction.id)
                    }
                }
            }
            RecordBody::Event(event) => {
                report.event_count += 1;
                let (kind, money): (EventKind, _) = (event.kind, event.money);
                partitions.add_event(&event.prediction_id, kind, record.head.at_unix_ms, money)
            }
            RecordBody::Detail(_) | RecordBody::Unknown(_) => Ok(()),
        };
        match written {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                std::ops::ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok(losses), Err)
}

pub(super) fn file_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ServingLogError {
    let path = path.to_owned();
    move |source| ServingLogError::File { action, path, source }
}

/// A folder for temporary files, which is removed in the end. A killed process leaves it, under a name that begins with
/// a dot.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn beside(out: &Path) -> Result<Self, ServingLogError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(out.file_name().unwrap_or_default());
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
        name.push(format!(".{}-{time}.join", std::process::id()));
        let folder = beside(out, &name);
        std::fs::create_dir(&folder).map_err(file_error("create the folder", &folder))?;
        Ok(Self { folder })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it, and there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

type Writer = BufWriter<File>;
