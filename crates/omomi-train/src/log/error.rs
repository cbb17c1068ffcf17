//! Errors of a log. Each names the file, row and column that are wrong, as far as they are known.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

use super::csv_records::CsvFault;
use super::skipped::SkippedFile;
use crate::bucket::BucketError;
use omomi::error::Owner;

/// Most characters of a cell that a message quotes.
const EXCERPT_CHAR_COUNT: usize = 40;

/// Why a log cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    /// No path or pattern was given.
    #[error("expected at least one path or pattern of log files, found none")]
    NoPattern,
    /// A pattern has a syntax error.
    #[error("`{pattern}` is not a valid path pattern: {message}")]
    BadPattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// No file matches a pattern, or only files that are not logs do.
    #[error(
        "no file matches `{pattern}`: expected the path of a file or folder, or a pattern such as 'logs/*.parquet'; \
         check the path, and quote a pattern so that the shell does not expand it{}",
        skipped_lines(skipped)
    )]
    NoMatch {
        /// The pattern as given.
        pattern: String,
        /// Files that match but are not logs.
        skipped: Vec<SkippedFile>,
    },
    /// An address is not one that can be read.
    #[error("logs cannot be read there")]
    Address {
        /// What is wrong with it.
        source: BucketError,
    },
    /// The model was trained with an importance column, and a later step does not say how much its rows count.
    #[error(
        "the model was trained with the importance column `{trained}`, so that each step has to say how much rows \
         count: pass --importance-column {trained} if these rows have it too, or --unweighted if none of them stands \
         for others that were left out"
    )]
    ImportanceUnstated {
        /// The importance column of the training.
        trained: String,
    },
    /// A rule holds out no row of the logs.
    #[error(
        "the hold-out rule `{rule}` holds out none of the {row_count} rows of the logs: expected some; take another \
         rule, a column with more values, or logs that have such rows"
    )]
    NothingHeldOut {
        /// The rule.
        rule: String,
        /// Number of rows of the logs, without bad ones.
        row_count: u64,
    },
    /// A rule holds out every row of the logs, so that none is left for a step that wants the others.
    #[error(
        "the hold-out rule `{rule}` holds out all {row_count} rows of the logs: expected others, too; take another \
         rule, a column with more values, or more logs"
    )]
    EverythingHeldOut {
        /// The rule.
        rule: String,
        /// Number of rows of the logs, without bad ones.
        row_count: u64,
    },
    /// Models were trained on CSV logs that were written in different ways, and the step does not say how these are.
    #[error(
        "the models were trained on logs that were read with {flag} `{one}` and `{other}`: say with {flag} how these \
         logs are written"
    )]
    DialectUnstated {
        /// The flag of the command line that states the character.
        flag: &'static str,
        /// Its value in the training of one model.
        one: String,
        /// Its value in the training of another model.
        other: String,
    },
    /// A folder has no file that is a log.
    #[error(
        "the folder {} has no logs: expected files with names such as part-0.parquet{}",
        folder.display(), skipped_lines(skipped)
    )]
    NoLogs {
        /// The folder.
        folder: PathBuf,
        /// Files in it that are not logs.
        skipped: Vec<SkippedFile>,
    },
    /// The name of a file does not end in the extension of a log format.
    #[error(
        "{}: expected a name that ends in .parquet, .parq, .csv, .tsv, .json, .jsonl, .ndjson or .vw (.gz or .zst may \
         follow a text format); rename the file or narrow the pattern",
        file.display()
    )]
    UnknownFormat {
        /// The file.
        file: PathBuf,
    },
    /// A file numbers its features, as LIBSVM does, instead of naming fields and categories.
    #[error(
        "{}: expected a format that names fields, found LIBSVM, which numbers features: write the fields and \
         categories that its numbers mean as CSV, JSON lines or Parquet",
        file.display()
    )]
    NoFieldNames {
        /// The file.
        file: PathBuf,
    },
    /// The operating system does not open or read a file.
    #[error("{}: cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A pipe, a device or standard input holds Parquet, which can be read only from a file.
    #[error(
        "{}: a pipe cannot hold Parquet, because its end is read first: write it to a regular file",
        file.display()
    )]
    ParquetPipe {
        /// The pipe.
        file: PathBuf,
    },
    /// A pipe, a device or standard input would have to be read more than once.
    #[error(
        "{}: a pipe is read only once, and this command reads its logs more than once: write the log to a regular file",
        file.display()
    )]
    ReadOnce {
        /// The pipe.
        file: PathBuf,
    },
    /// The options for CSV contradict each other.
    #[error("the CSV dialect cannot be used: {message}")]
    Dialect {
        /// What is wrong.
        message: String,
    },
    /// The content of a file has another format than its name says.
    #[error("{}: expected {expected}, found {found}", file.display())]
    OtherFormat {
        /// The file.
        file: PathBuf,
        /// The format that the name says.
        expected: &'static str,
        /// The format of the content, and what to do.
        found: &'static str,
    },
    /// The header of a CSV file is malformed.
    #[error("{}: the header is malformed: {message}; correct the header", file.display())]
    BadHeader {
        /// The file.
        file: PathBuf,
        /// Where and how.
        message: String,
    },
    /// A folder in the path of a file names a column, such as `dt=2026-01-01`, with a value that the column cannot
    /// have.
    #[error("{}: column `{column}` in the name of a folder: {fault}; rename the folder", file.display())]
    BadPartition {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// What is wrong with the value.
        fault: RowFault,
    },
    /// A file is well formed but uses something that this reader does not support.
    #[error("{}: {found} is not supported: {remedy}", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// What it uses.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The content of a file does not have the format that its name promises, or is truncated.
    #[error("{}: damaged after row {rows_before}: {message}; write or copy the file again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// How many rows were decoded before the damage was found. The damage may begin some rows earlier or later.
        rows_before: u64,
        /// The message of the decoder.
        message: String,
    },
    /// A file lacks a column that the contract or an option names. Keys of JSON lines are columns too; a key is missing
    /// if no line of any file has it.
    #[error(
        "{}: the column `{column}` is missing: the file has {}; correct the contract, the option or the log",
        file.display(), columns(found, column)
    )]
    MissingColumn {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// The columns of the file.
        found: Vec<String>,
    },
    /// A step needs plain values, and the log has only feature keys of a field.
    #[error(
        "the log has only feature keys of `{field}`, whose policy in the serving log is `hashed`: {step} needs plain \
         values; use a log that has them"
    )]
    KeysOnly {
        /// The field.
        field: String,
        /// What needs plain values.
        step: &'static str,
    },
    /// Two columns of a file have the same name.
    #[error("{}: two columns are named `{column}`: rename one of them", file.display())]
    RepeatedColumn {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
    },
    /// A column has a type that cannot be read as the type in the contract.
    #[error(
        "{}: column `{column}`: expected {expected}, found {found}; correct the contract or cast the column",
        file.display()
    )]
    WrongType {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// The types that fit.
        expected: &'static str,
        /// The type in the file.
        found: String,
    },
    /// The time column is also a field or the label of the contract.
    #[error("the time column `{column}` is also in the contract: expected a separate column for the time")]
    TimeColumnTaken {
        /// The column.
        column: String,
    },
    /// The importance column is also the time column, or a field or the label of the contract.
    #[error(
        "the importance column `{column}` is also in the contract or the time: expected a separate column for how much \
         a row counts"
    )]
    ImportanceColumnTaken {
        /// The column.
        column: String,
    },
    /// The number of a part is 0 or above the number of parts.
    #[error("expected a part from 1 to {count}, found {number}")]
    NoSuchPart {
        /// Number of the part.
        number: u32,
        /// How many parts there are.
        count: u32,
    },
    /// Rows are split by time, but no time column was named.
    #[error(
        "rows are split or held out by time: expected the name of the time column, found none; name the column with \
         --time-column"
    )]
    PartsWithoutTime,
    /// A row is bad, and no bad rows are allowed.
    #[error("{0}; correct the row, or allow some bad rows with --max-bad-rows")]
    BadRow(BadRow),
    /// There are more bad rows than allowed.
    #[error(
        "expected at most {max_bad_rows} bad rows, found more; correct the log or raise --max-bad-rows{}",
        lines(listed)
    )]
    TooManyBadRows {
        /// How many were allowed.
        max_bad_rows: u64,
        /// The first bad rows, at most [`BadRow::MAX_LISTED`].
        listed: Vec<BadRow>,
    },
}

impl LogError {
    /// Returns who must act: the team that trains, the team that runs the server and writes its logs, or the team that
    /// keeps machines and disks.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::NoPattern
            | Self::BadPattern { .. }
            | Self::NoMatch { .. }
            | Self::Address { .. }
            | Self::UnknownFormat { .. }
            | Self::NoFieldNames { .. }
            | Self::ParquetPipe { .. }
            | Self::ReadOnce { .. }
            | Self::Dialect { .. }
            | Self::TimeColumnTaken { .. }
            | Self::ImportanceColumnTaken { .. }
            | Self::ImportanceUnstated { .. }
            | Self::NothingHeldOut { .. }
            | Self::EverythingHeldOut { .. }
            | Self::DialectUnstated { .. }
            | Self::NoSuchPart { .. }
            | Self::KeysOnly { .. }
            | Self::PartsWithoutTime => Owner::Ml,
            Self::Unreadable { .. } => Owner::Infra,
            Self::NoLogs { .. }
            | Self::OtherFormat { .. }
            | Self::BadHeader { .. }
            | Self::BadPartition { .. }
            | Self::Unsupported { .. }
            | Self::Damaged { .. }
            | Self::MissingColumn { .. }
            | Self::RepeatedColumn { .. }
            | Self::WrongType { .. }
            | Self::BadRow(_)
            | Self::TooManyBadRows { .. } => Owner::Delivery,
        }
    }
}

/// A row that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The file.
    pub file: PathBuf,
    /// Number of the row in the file, from 1. The header of a CSV file and blank lines are not rows.
    pub row: u64,
    /// The column with the fault, or `None` if the fault is not in one column.
    pub column: Option<String>,
    /// What is wrong.
    pub fault: RowFault,
}

impl BadRow {
    /// Most bad rows that are listed. Further ones are only counted.
    pub const MAX_LISTED: usize = 100;
}

impl fmt::Display for BadRow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: row {}", self.file.display(), self.row)?;
        if let Some(column) = &self.column {
            write!(formatter, ", column `{column}`")?;
        }
        write!(formatter, ": {}", self.fault)
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RowFault {
    /// The label is neither 0 nor 1.
    #[error("expected a label of 0 or 1, found {found}")]
    Label {
        /// The cell, shortened.
        found: String,
    },
    /// A cell that every row needs (the label, the time or the importance) is empty, null or absent.
    #[error("expected {expected}, found nothing")]
    Missing {
        /// What the cell should hold.
        expected: &'static str,
    },
    /// A cell has the wrong type or a value that its column cannot have.
    #[error("expected {expected}, found {found}")]
    Cell {
        /// What the cell should hold.
        expected: &'static str,
        /// The cell, shortened.
        found: String,
    },
    /// A time that no log of ads can have: before 2000, or later than a day from now.
    #[error(
        "expected a time from 2000-01-01 to a day from now, found {found}{hint}; name the unit with --time-unit, or \
         allow any time with --any-time"
    )]
    Time {
        /// The time.
        found: String,
        /// Which unit would make it plausible, if any.
        hint: &'static str,
    },
    /// A list in a CSV cell has a notation that is neither categories with separators nor JSON.
    #[error(
        "expected categories joined by `{separator}` or a list in JSON, found {found}; if that is one category, write \
         lists = \"separated\" under [reading] in the contract"
    )]
    List {
        /// The separator.
        separator: char,
        /// The cell, shortened.
        found: String,
    },
    /// A cell, or a line of JSON, is not UTF-8.
    #[error("expected UTF-8 text, found other bytes")]
    NotUtf8,
    /// A record is not CSV of the dialect.
    #[error("{fault} (line {line}{})", lines_of_record(*line_count))]
    Csv {
        /// What is wrong.
        fault: CsvFault,
        /// Number of the line on which the record begins, from 1.
        line: u64,
        /// How many lines the record has. Each of them counts as a bad row.
        line_count: u64,
    },
    /// A cell or a line is longer than any that belongs in a log.
    #[error("expected at most 16 MiB, found more")]
    TooLong,
    /// A line of CSV has more or fewer cells than the header.
    #[error("expected {expected} cells as in the header, found {found}")]
    CellCount {
        /// Number of cells in the header.
        expected: usize,
        /// Number of cells in the row.
        found: usize,
    },
    /// A line is not a JSON object.
    #[error("expected a JSON object on one line, found a truncated or malformed one: {message}")]
    NotJson {
        /// The message of the parser.
        message: String,
    },
    /// A JSON object has a key more than once.
    #[error("expected the key once, found it twice")]
    RepeatedKey,
}

/// The bad rows so far, and how many are allowed.
#[derive(Debug, Default)]
pub(super) struct BadRows {
    pub(super) max: u64,
    pub(super) count: u64,
    pub(super) listed: Vec<BadRow>,
}

impl BadRows {
    /// Counts and lists a bad row, which the caller then skips. Returns an error if this is one bad row too many.
    pub(super) fn add(&mut self, bad_row: BadRow) -> Result<(), LogError> {
        self.add_rows(bad_row, 1)
    }

    /// Counts `row_count` rows that one fault made bad, and lists the first.
    pub(super) fn add_rows(&mut self, bad_row: BadRow, row_count: u64) -> Result<(), LogError> {
        if self.max == 0 {
            return Err(LogError::BadRow(bad_row));
        }
        self.count += row_count;
        if self.listed.len() < BadRow::MAX_LISTED {
            self.listed.push(bad_row);
        }
        if self.count > self.max {
            return Err(LogError::TooManyBadRows { max_bad_rows: self.max, listed: self.listed.clone() });
        }
        Ok(())
    }
}

/// Formats a cell's text for a message: quoted, with control characters escaped, and shortened if it is long.
pub(super) fn excerpt(text: &str) -> String {
    let mut chars = text.chars();
    let mut excerpt = String::from("`");
    excerpt.extend(chars.by_ref().take(EXCERPT_CHAR_COUNT).flat_map(|char| {
        let escaped = if char.is_control() { Some(char.escape_default()) } else { None };
        let plain = escaped.is_none().then_some(char);
        escaped.into_iter().flatten().chain(plain)
    }));
    if chars.next().is_some() {
        excerpt.push_str("...");
    }
    excerpt.push('`');
    excerpt
}

/// Most column names and skipped files that a message lists.
const MAX_NAMED: usize = 20;

/// Formats the columns of a file for a message about `missing`: at most [`MAX_NAMED`], each quoted if it would be
/// unclear otherwise. Names a name that differs from `missing` in spaces, case
/// or Unicode form only.
fn columns(found: &[String], missing: &str) -> String {
    if found.is_empty() {
        return "no columns".to_owned();
    }
    // The compatible form also makes wide spaces and letters equal to the usual ones.
    let plain = |name: &str| {
        let name: String = name.nfkc().collect();
        name.trim_matches(|char: char| char.is_whitespace() || char == '\u{feff}').to_lowercase()
    };
    let is_like = |name: &&String| plain(name) == plain(missing);
    let named = |name: &String| {
        let is_clear = name.trim() == name && !name.contains(|char: char| char.is_control() || char == ',');
        if is_clear && !name.is_empty() && name.chars().count() <= EXCERPT_CHAR_COUNT {
            name.clone()
        } else {
            excerpt(name)
        }
    };
    let mut text = found.iter().take(MAX_NAMED).map(named).collect::<Vec<_>>().join(", ");
    if found.len() > MAX_NAMED {
        text.push_str(&format!(" and {} more", found.len() - MAX_NAMED));
    }
    if let Some(like) = found.iter().find(is_like) {
        text.push_str(&format!(", and {} differs only in spaces, case or Unicode form", excerpt(like)));
    }
    if let [only] = found
        && let Some(delimiter) = [';', '\t', '|', ','].into_iter().find(|&delimiter| only.contains(delimiter))
    {
        text.push_str(&format!(" (for CSV, is the delimiter {delimiter:?}? name it with --csv-delimiter)"));
    }
    text
}

/// Says how many lines a record has, if it has several.
fn lines_of_record(line_count: u64) -> String {
    if line_count == 1 { String::new() } else { format!("; its {line_count} lines count as {line_count} bad rows") }
}

/// Formats skipped files for a message, each on a line of its own.
fn skipped_lines(skipped: &[SkippedFile]) -> String {
    let mut text: String = skipped.iter().take(MAX_NAMED).map(|skipped| format!("\n  skipped: {skipped}")).collect();
    if skipped.len() > MAX_NAMED {
        text.push_str(&format!("\n  skipped: {} more", skipped.len() - MAX_NAMED));
    }
    text
}

/// Formats bad rows for a message, each on a line of its own.
fn lines(bad_rows: &[BadRow]) -> String {
    bad_rows.iter().map(|bad_row| format!("\n  {bad_row}")).collect()
}
