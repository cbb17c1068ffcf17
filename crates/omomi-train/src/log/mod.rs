//! Ad logs, read as a stream of checked batches.
//!
//! [`LogReader`] reads any number of files of any mix of formats, one behind the other, in bounded memory, and decodes
//! only the columns that the [contract](omomi::contract) names:
//!
//! * Parquet (`.parquet`). `id`: any integers; `text`: strings, also dictionaries; `number`: integers, floats,
//!   decimals; `many`: lists of those; the label: integers, floats or booleans.
//! * CSV (`.csv`, `.csv.gz`, `.csv.zst`): comma-separated with a header, quoted as RFC 4180 says. A `many` cell holds
//!   its categories joined by a separator, of which empty pieces are no categories.
//! * JSON lines (`.jsonl`, `.ndjson`, also with `.gz` or `.zst`): one object a line; `many` is a list. A number in
//!   quotes is text.
//!
//! Null, an absent key and an empty CSV cell are missing values; an empty text in Parquet or JSON is a category. CSV
//! therefore cannot say "empty text". Numbers outside their field's range, and NaN, count as missing and are counted.
//!
//! A row that cannot be used (a label other than 0 or 1, an id that is no integer, a malformed line) ends the reading
//! with its file, row and column, or is skipped, counted and listed while [`ReadOptions::max_bad_rows`] allows it.
//!
//! ```no_run
//! use omomi::contract::Contract;
//! use omomi_train::log::{LogReader, ReadOptions};
//!
//! let contract = crate::toml::parse_contract(&std::fs::read_to_string("contract.toml")?)?;
//! let mut reader = LogReader::open(&contract, &["logs/*.parquet"], ReadOptions::default())?;
//! while let Some(batch) = reader.next_batch()? {
//!     println!("{} rows", batch.row_count());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//!
//! A line of text is at most 16 MiB and 65,536 cells. Nested Parquet columns cannot be named. Parquet files are decoded
//! on the calling thread.

mod batch;
mod builder;
mod csv;
mod distinct_texts;
mod error;
mod files;
pub mod generate;
mod json_lines;
mod parquet;
mod parquet_dictionary;
mod parquet_schema;
mod row_part;
mod time;
mod time_range;
mod wanted;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use batch::{Categories, ExtraColumn, FieldColumn, RowBatch};
pub use error::{BadRow, LogError, RowFault};
pub use files::LogFile;
pub use row_part::{PartBy, RowPart};
pub use time_range::time_range;

use builder::BatchBuilder;
use csv::CsvSource;
use error::BadRows;
use files::Format;
use json_lines::JsonLinesSource;
use parquet::ParquetSource;
use row_part::Narrowing;
use wanted::{Target, Wanted};

use omomi::contract::Contract;

/// How a log is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Most rows of a batch, at least 1. Only the last batch has fewer, or one whose rows are huge.
    pub batch_row_count: usize,
    /// How many rows that cannot be used are skipped, over all files; with 0 the first one is an error.
    pub max_bad_rows: u64,
    /// What stands between the categories of a `many` field in CSV.
    pub many_separator: char,
    /// Name of the column with the time of the impression: timestamps of any unit, RFC 3339 text (UTC where it has no
    /// offset), or integers that are microseconds since 1970-01-01 UTC. Every row needs one.
    pub time_column: Option<String>,
    /// Name of the column that says how much a row counts: a finite number above 0, such as 10 for a row that stands for
    /// nine more which were left out of the log. Every row needs one.
    pub importance_column: Option<String>,
    /// Names of columns that are handed out as texts beside the fields, in this order: whatever a caller wants to cut
    /// the rows by or to weigh them with. They may be columns of the contract too. Lists cannot be read so.
    pub extra_columns: Vec<String>,
    /// Only rows that are in each of these parts are handed out.
    pub parts: Vec<RowPart>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            batch_row_count: 8_192,
            max_bad_rows: 0,
            many_separator: '|',
            time_column: None,
            importance_column: None,
            extra_columns: Vec::new(),
            parts: Vec::new(),
        }
    }
}

/// Reads the rows of a log, file by file.
#[derive(Debug)]
pub struct LogReader {
    wanted: Wanted,
    options: ReadOptions,
    files: Vec<LogFile>,
    formats: Vec<Format>,
    /// Index of the file that is read, or the number of files at the end.
    file_index: usize,
    source: Option<Source>,
    batch: BatchBuilder,
    bad_rows: BadRows,
    rows_read: u64,
    narrowing: Narrowing,
    /// Bytes taken from the file that is read, where it is text.
    read_len: Arc<AtomicU64>,
    /// Columns that some row of JSON lines had, and the file that speaks for those that none had.
    seen: Vec<Target>,
    json_sample: Option<(usize, Vec<String>)>,
}

/// An open file.
enum Source {
    Parquet(Box<ParquetSource>),
    Csv(Box<CsvSource>),
    JsonLines(Box<JsonLinesSource>),
}

impl LogReader {
    /// Finds the files that `patterns` stand for (paths, or globs such as `logs/*.parquet`) and checks that each can
    /// be opened and has the columns of `contract`, so that what is wrong with the last file is known before the first
    /// is read. Files are read in the order of the patterns and, within one, of their names; a file that several
    /// patterns find is read once. Folders that a pattern finds are passed over.
    ///
    /// # Errors
    ///
    /// A pattern that finds no file, a file of unknown format, one that cannot be opened, lacks a column (keys of JSON
    /// lines excepted, which are known at the end only) or has one of a wrong type.
    pub fn open(contract: &Contract, patterns: &[impl AsRef<str>], options: ReadOptions) -> Result<Self, LogError> {
        let narrowing = Narrowing::new(&options.parts, options.time_column.is_some())?;
        let extra_columns: Vec<String> = options.extra_columns.iter().chain(narrowing.columns()).cloned().collect();
        let wanted = Wanted::new(contract, options.time_column.as_deref(), &extra_columns)?
            .with_importance(options.importance_column.as_deref())?;
        Self::open_wanted(wanted, narrowing, patterns, options)
    }

    fn open_wanted(
        wanted: Wanted,
        narrowing: Narrowing,
        patterns: &[impl AsRef<str>],
        options: ReadOptions,
    ) -> Result<Self, LogError> {
        let options = ReadOptions { batch_row_count: options.batch_row_count.max(1), ..options };
        let (files, formats) = files::expand(patterns)?.into_iter().unzip();
        let batch = BatchBuilder::new(&wanted, options.batch_row_count);
        let bad_rows = BadRows { max: options.max_bad_rows, ..BadRows::default() };
        let mut reader = Self {
            wanted,
            options,
            files,
            formats,
            file_index: 0,
            source: None,
            batch,
            bad_rows,
            rows_read: 0,
            narrowing,
            read_len: Arc::default(),
            seen: Vec::new(),
            json_sample: None,
        };
        for index in 0..reader.files.len() {
            if let Source::Parquet(source) = reader.open_source(index)? {
                reader.files[index].row_count = Some(source.row_count());
            }
        }
        Ok(reader)
    }

    /// Reads the next rows, or nothing at the end of the last file. Batches run on over the ends of files.
    ///
    /// # Errors
    ///
    /// A damaged file, a bad row more than allowed, or at the end of the last file a column that no JSON line had. An
    /// error ends the reading: the rows since the last batch are lost, and there are no further ones.
    pub fn next_batch(&mut self) -> Result<Option<RowBatch>, LogError> {
        loop {
            let batch = self.fill_batch();
            if batch.is_err() {
                self.file_index = self.files.len();
                self.json_sample = None;
                self.batch.discard_row();
                self.batch.take();
            }
            let Some(mut batch) = batch? else { return Ok(None) };
            self.narrowing.narrow(&mut batch);
            if batch.row_count() > 0 {
                self.rows_read += batch.row_count() as u64;
                return Ok(Some(batch));
            }
        }
    }

    fn fill_batch(&mut self) -> Result<Option<RowBatch>, LogError> {
        while self.file_index < self.files.len() && self.batch.rows_left() > 0 {
            let mut source = match self.source.take() {
                Some(source) => source,
                None => self.open_source(self.file_index)?,
            };
            if source.fill(&mut self.batch, &self.wanted, &mut self.bad_rows)? {
                self.source = Some(source);
            } else {
                self.finish_file(&source);
            }
        }
        if self.batch.is_empty() {
            self.check_json_keys()?;
            return Ok(None);
        }
        Ok(Some(self.batch.take()))
    }

    fn open_source(&self, index: usize) -> Result<Source, LogError> {
        let file = &self.files[index];
        self.read_len.store(0, Ordering::Relaxed);
        let read_len = Arc::clone(&self.read_len);
        Ok(match self.formats[index] {
            Format::Parquet => {
                let source = ParquetSource::open(file, &self.wanted, self.options.batch_row_count)?;
                Source::Parquet(Box::new(source))
            }
            Format::Csv(compression) => {
                let separator = self.options.many_separator;
                Source::Csv(Box::new(CsvSource::open(file, compression, &self.wanted, separator, read_len)?))
            }
            Format::JsonLines(compression) => {
                let source = JsonLinesSource::open(file, compression, &self.wanted, read_len)?;
                Source::JsonLines(Box::new(source))
            }
        })
    }

    fn finish_file(&mut self, source: &Source) {
        self.files[self.file_index].row_count = Some(source.row());
        if let Source::JsonLines(source) = source
            && source.row() > 0
        {
            for target in source.seen() {
                if !self.seen.contains(&target) {
                    self.seen.push(target);
                }
            }
            self.json_sample.get_or_insert_with(|| (self.file_index, source.first_row_keys().to_vec()));
        }
        self.read_len.store(0, Ordering::Relaxed);
        self.file_index += 1;
    }

    /// A key may be absent from any line, but one that no line has is most likely misspelt.
    fn check_json_keys(&self) -> Result<(), LogError> {
        let Some((file_index, keys)) = &self.json_sample else { return Ok(()) };
        let missing = self.wanted.columns().iter().find(|(_, target)| !self.seen.contains(target));
        missing.map_or(Ok(()), |(column, _)| {
            Err(LogError::MissingColumn {
                file: self.files[*file_index].path.clone(),
                column: column.clone(),
                found: keys.clone(),
            })
        })
    }

    /// The files, in the order in which they are read.
    #[must_use]
    pub fn files(&self) -> &[LogFile] {
        &self.files
    }

    /// Whether the rows say how much they count.
    #[must_use]
    pub fn has_importance(&self) -> bool {
        self.options.importance_column.is_some()
    }

    /// How many rows were handed out.
    #[must_use]
    pub fn rows_read(&self) -> u64 {
        self.rows_read
    }

    /// How many rows all files have together, where every file says it beforehand or has been read.
    #[must_use]
    pub fn total_row_count(&self) -> Option<u64> {
        self.files.iter().map(|file| file.row_count).sum()
    }

    /// Length of all files as they are stored, in bytes.
    #[must_use]
    pub fn total_len_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len_bytes).sum()
    }

    /// How much of [`total_len_bytes`](Self::total_len_bytes) has been read; of a Parquet file in proportion to its
    /// rows.
    #[must_use]
    pub fn read_len_bytes(&self) -> u64 {
        let finished: u64 = self.files[..self.file_index].iter().map(|file| file.len_bytes).sum();
        let (Some(source), Some(file)) = (&self.source, self.files.get(self.file_index)) else { return finished };
        let current = match source {
            Source::Parquet(source) => {
                let share = u128::from(file.len_bytes) * u128::from(source.row());
                u64::try_from(share / u128::from(source.row_count().max(1))).unwrap_or(file.len_bytes)
            }
            Source::Csv(_) | Source::JsonLines(_) => self.read_len.load(Ordering::Relaxed),
        };
        finished + current.min(file.len_bytes)
    }

    /// How many bad rows were skipped.
    #[must_use]
    pub fn bad_row_count(&self) -> u64 {
        self.bad_rows.count
    }

    /// The bad rows that were skipped, the first [`BadRow::MAX_LISTED`] of them.
    #[must_use]
    pub fn bad_rows(&self) -> &[BadRow] {
        &self.bad_rows.listed
    }
}

impl Source {
    fn fill(&mut self, batch: &mut BatchBuilder, wanted: &Wanted, bad_rows: &mut BadRows) -> Result<bool, LogError> {
        match self {
            Self::Parquet(source) => source.fill(batch, wanted, bad_rows),
            Self::Csv(source) => source.fill(batch, wanted, bad_rows),
            Self::JsonLines(source) => source.fill(batch, wanted, bad_rows),
        }
    }

    /// How many rows of the file were read, bad ones included.
    fn row(&self) -> u64 {
        match self {
            Self::Parquet(source) => source.row(),
            Self::Csv(source) => source.row(),
            Self::JsonLines(source) => source.row(),
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = match self {
            Self::Parquet(_) => "Parquet",
            Self::Csv(_) => "Csv",
            Self::JsonLines(_) => "JsonLines",
        };
        formatter.debug_struct(format).field("row", &self.row()).finish_non_exhaustive()
    }
}
