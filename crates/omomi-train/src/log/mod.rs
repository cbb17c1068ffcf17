//! Reads ad logs as a stream of checked batches.
//!
//! [`LogReader`] reads any number of files, one after the other, in bounded memory. The files may have different
//! formats. Only the columns that the [contract](omomi::contract) or the [`ReadOptions`] name are decoded:
//!
//! * Parquet (`.parquet`, `.parq`). `id`: any integers, also as floats, decimals or texts where they are exact,
//!   booleans and dates. `text`: strings, plain or dictionary-encoded, integers, decimals, booleans and dates.
//!   `number`: integers, floats, decimals or texts. `many`: lists of those. The label: integers, floats, booleans or
//!   texts.
//! * CSV (`.csv`, and `.tsv` with tabs; `.gz` or `.zst` may follow): cells with a header, quoted as in RFC 4180 or as
//!   [`CsvDialect`] says. A `many` cell holds its categories, joined by a separator; empty pieces are skipped.
//! * JSON lines (`.jsonl`, `.ndjson`, `.json`, also with `.gz` or `.zst`): one object per line. `many` is a list.
//! * Text of Vowpal Wabbit (`.vw`, also with `.gz` or `.zst`): namespaces are columns, and `site=3` names its own. The
//!   label is 1 or -1. Label and importance have no names, so those of the contract and the options do not matter.
//!
//! Instead of files, a folder can be named: all logs in and below it are read. A folder in the path of a file whose
//! name is `column=value` is a column of that file, unless the file has the column itself. Standard input (`-`) and
//! named pipes are read once, as CSV or JSON lines.
//!
//! The contract may say more about the [notation](omomi::contract::Reading): other names of columns, texts that mean a
//! missing value, labels as words, Unicode normalization, numbers with separators. In JSON lines and Parquet, a column
//! name with dots leads into nested records, unless a column has exactly this name.
//!
//! One value is one category in every format:
//!
//! * An id is an integer from -2^63 to 2^64 - 1. From 2^63 on, it is the signed integer with the same 64 bits, so that
//!   2^64 - 1 and -1 are one id. A double is an id below 2^53 only, where it is exact.
//! * A boolean is the id 1 or 0, and the text `true` or `false`. In CSV, a text is what the cell says.
//! * A date in Parquet is its days since 1970-01-01 as an id, and a text such as `2026-01-31`. A date in words is no
//!   id.
//! * An integer is a text of its digits. A decimal in Parquet is a text with as many digits after the point as its
//!   column has: `1.50`. A double, or a JSON number with a fraction, is no text.
//!
//! Null, an absent key and an empty CSV cell are missing values. An empty text in Parquet or JSON is a category; CSV
//! cannot express it. Unless the contract lists the texts that mean a missing value, `NULL`, `\N`, `NaN`, `None` and
//! the like in a CSV cell do; `NA`, `nil` and others that may be categories are reported. NaN, and numbers outside
//! their field's range, are treated as missing, and their count is reported. [`LogReader::warnings`] tells what was
//! guessed, and where a field vanishes between two files.
//!
//! A log that [`omomi log join`](crate::serving_logs::join) wrote has feature keys in place of a field that is logged
//! `hashed`, in the column `NAME_key`. In Parquet and CSV, such a column is read if the field has no column of its own:
//! in Parquet if its type is u64 or a list of them, in CSV if the contract says `hashed`. Rows then have the values of
//! the plain log, but no names of categories ([`Categories::Keys`]). Texts that the contract lists as missing values,
//! and ids, are missing values there, too; Unicode forms and numbers cannot be told from a key.
//!
//! A bad row is one that cannot be used: its label is neither 0 nor 1, its id is not an integer, its text is not UTF-8,
//! its time is before 2000 or in the future, a cell is too long, or its line is malformed. Where a quote swallows
//! several lines of CSV, each of them counts. A bad row is an error that names the file, row and column. If
//! [`ReadOptions::max_bad_rows`] allows it, the row is skipped, counted and listed instead.
//!
//! ```no_run
//! use omomi::contract::Contract;
//! use omomi_train::log::{LogReader, ReadOptions};
//!
//! let contract = omomi_train::toml::parse_contract(&std::fs::read_to_string("contract.toml")?)?;
//! let mut reader = LogReader::open(&contract, &["logs/*.parquet"], ReadOptions::default())?;
//! while let Some(batch) = reader.next_batch()? {
//!     println!("{} rows", batch.row_count());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//!
//! A line of text, a CSV row and a text in Parquet have at most 16 MiB, a CSV row at most 65,536 cells, and a page of
//! Parquet at most 256 MiB. Encrypted Parquet and the codec LZO cannot be read. Parquet files are decoded on the
//! calling thread. A folder of logs has at most 64 folders within each other. A time in text is within the years 1678
//! to 2261. A guess about the unit of times holds for all files of a log.

mod addresses;
mod batch;
mod builder;
mod columns;
mod csv;
mod csv_records;
mod dialect;
mod error;
mod files;
pub mod generate;
mod hold_out;
mod json_lines;
mod key;
mod lines;
mod missing;
mod notation;
mod open_text;
mod parquet;
mod parquet_bytes;
mod parquet_decoded;
mod parquet_dictionary;
mod parquet_nested;
mod parquet_pages;
mod parquet_schema;
mod parquet_views;
mod partitions;
mod row_part;
mod skipped;
mod time;
mod time_range;
mod vowpal_wabbit;
mod wanted_columns;
mod warning;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use batch::{Categories, ExtraColumn, FieldColumn, RowBatch};
pub use columns::{ColumnForm, log_columns};
pub(crate) use csv::other_format;
pub use csv_records::{CsvDialect, CsvFault, CsvRecord, CsvRecords};
pub use dialect::{LogChar, LogDialect};
pub use error::{BadRow, LogError, RowFault};
pub(crate) use files::FileId;
pub use files::LogFile;
pub(crate) use files::has_pipe;
pub use hold_out::{HoldOut, HoldOutRule, KeptRows, UnknownHoldOut};
pub(crate) use key::{KEY_ENDING, key_of_category, key_of_name, number_in, value_of_key, write_key_name};
pub use missing::FileMissing;
pub(crate) use missing::first_jump;
pub(crate) use notation::{is_guessed_missing, is_usual_missing, nfc, number_of, text_id};
pub(crate) use open_text::digest_text;
pub(crate) use parquet_pages::{Groups, PageFault, decoder, load};
pub use row_part::{PartBy, RowPart};
pub use skipped::{SkipReason, SkippedFile};
pub(crate) use time::is_in_the_future;
#[doc(hidden)]
pub use time::parse_time_us;
pub use time_range::time_range;
pub use warning::LogWarning;

use builder::{BatchBuilder, RowsOfLines};
use csv::CsvReader;
use error::BadRows;
use files::{Format, Found};
use json_lines::JsonLinesReader;
use missing::{End, MIN_JUMP, first_end};
use notation::USUAL_MISSING;
use open_text::{PipeHash, open_text};
use parquet::ParquetReader;
use row_part::PartFilter;
use time::TimeReader;
use vowpal_wabbit::VowpalWabbitReader;
use wanted_columns::{Target, Wanted};

use arrow_schema::DataType;
use omomi::contract::{Contract, LogPolicy, TimeUnit};
use omomi::score::Model;
use serde_json::Value;

/// Returns the contract of a weight file, with how its logs are read, as far as its provenance says so.
#[must_use]
pub fn contract_of(model: &Model) -> Contract {
    let contract = model.contract();
    let reading = model.provenance().pointer("/training/reading").map(Value::to_string);
    // A file whose provenance is wrong is still good for scoring: its logs are then read by the names of the fields.
    let contract_with = reading.and_then(|reading| contract.with_reading_json(&reading).ok());
    contract_with.unwrap_or_else(|| contract.clone())
}

/// Returns the warning about the first jump of the missing rate of a field, the one with index `field`.
pub(crate) fn missing_jump(
    column: &str,
    field: usize,
    missing: &[FileMissing],
    path: impl Fn(usize) -> PathBuf,
) -> Option<LogWarning> {
    let jump = first_jump(missing.iter().map(|file| file.rate(field)), MIN_JUMP)?;
    let (column, file) = (column.to_owned(), path(jump.file));
    Some(LogWarning::MissingRateJumps { column, file, rate_before: jump.rate_before, rate: jump.rate })
}

/// Options for reading a log.
///
/// ```
/// use omomi_train::log::ReadOptions;
///
/// let options = ReadOptions::default().with(|it| {
///     it.time_column = Some("shown_at".to_owned());
///     it.max_bad_rows = 10;
/// });
/// assert_eq!(options.batch_row_count, 8_192);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Most rows per batch; 0 is treated as 1. A batch has fewer rows if it is the last, if its rows are huge, or if
    /// `parts` left some out.
    pub batch_row_count: usize,
    /// How many bad rows are skipped, over all files. With 0, the first bad row is an error.
    pub max_bad_rows: u64,
    /// The character between the categories of a `many` field in CSV.
    pub many_separator: char,
    /// How CSV files are written.
    pub csv: CsvDialect,
    /// Characters of the two options above that are not stated. A step that reads rows for a model takes them from the
    /// model's [training](LogDialect), if that recorded them. Otherwise they are as these options say.
    pub as_trained: Vec<LogChar>,
    /// How the logs of the model's training were written. A character that differs from it is
    /// [reported](LogReader::warnings). Steps that have a model [set](Self::with_trained) it themselves.
    pub trained: Option<LogDialect>,
    /// Name of the column with the time of the impression: timestamps of any unit, RFC 3339 text (UTC if it has no
    /// offset), or integers. Every row needs a time from 2000-01-01 to a day from now.
    pub time_column: Option<String>,
    /// Unit of times that are integers. `None`: the [contract's](omomi::contract::Reading::time_unit). If it has none
    /// either, the unit is guessed from the first plausible integer.
    pub time_unit: Option<TimeUnit>,
    /// Whether any time is taken, even one before 2000 or in the future. Integers are then microseconds unless a unit
    /// is stated.
    pub any_time: bool,
    /// Name of the column with each row's importance: how much the row counts, a number from 1e-9 to 1e9. For example,
    /// a row has importance 10 if nine more rows like it were left out of the log. Every row needs an importance.
    pub importance_column: Option<String>,
    /// Whether each row counts once although the model was trained with an importance column, because these rows have
    /// none left out. No meaning with an importance column.
    pub unweighted: bool,
    /// Names of more columns to return as text, in this order; for example to group rows or to weight them. They may
    /// also be columns of the contract. List columns cannot be read this way.
    pub extra_columns: Vec<String>,
    /// Returns only rows that are in each of these parts.
    pub parts: Vec<RowPart>,
    /// Rows that are held out by a rule: reads those, or all others. `None` reads all.
    pub hold_out: Option<HoldOut>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            batch_row_count: 8_192,
            max_bad_rows: 0,
            many_separator: '|',
            csv: CsvDialect::default(),
            as_trained: Vec::new(),
            trained: None,
            time_column: None,
            time_unit: None,
            any_time: false,
            importance_column: None,
            unweighted: false,
            extra_columns: Vec::new(),
            parts: Vec::new(),
            hold_out: None,
        }
    }
}

impl ReadOptions {
    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Checks that these options say how much rows count, if the model was trained with the importance column
    /// `trained`. Rows that count otherwise than in training would shift every probability.
    ///
    /// # Errors
    ///
    /// Returns [`LogError::ImportanceUnstated`] if there is neither an importance column nor the word that there is
    /// none.
    pub fn check_importance(&self, trained: Option<&str>) -> Result<(), LogError> {
        match trained {
            Some(trained) if self.importance_column.is_none() && !self.unweighted => {
                Err(LogError::ImportanceUnstated { trained: trained.to_owned() })
            }
            _ => Ok(()),
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
    skipped: Vec<SkippedFile>,
    /// The open pipes, by the index of the file. A pipe is opened once; other files are closed after the first look.
    pipes: BTreeMap<usize, FormatReader>,
    /// The hashes of the bytes of pipes, by the index of the file.
    pipe_hashes: BTreeMap<usize, PipeHash>,
    /// Index of the current file, or the number of files at the end.
    file_index: usize,
    /// The current file, if it is open.
    format_reader: Option<FormatReader>,
    batch: BatchBuilder,
    bad_rows: BadRows,
    rows_read: u64,
    part_filter: PartFilter,
    /// Bytes read from the current file, if it is a text file.
    read_len: Arc<AtomicU64>,
    /// Columns that at least one row of the JSON lines, or of the text of Vowpal Wabbit, had.
    seen: Vec<Target>,
    /// Index of the first such file with rows, and the keys of its first row: an example for the error about a key that
    /// no row has.
    key_sample: Option<(usize, Vec<String>)>,
    /// By file, as far as they were read.
    missing: Vec<FileMissing>,
    /// Whether these are only some of the logs: no JSON line has to have the key of a field, and no row has to be held
    /// out.
    is_part: bool,
    /// The type of each extra column in all files; `None` for texts, and where they differ or a file is no Parquet.
    extra_types: Vec<Option<DataType>>,
    /// The hold-out as the options state it, with a share of the last rows as such.
    stated_hold_out: Option<HoldOut>,
}

/// An open file, with the decoder for its format.
enum FormatReader {
    Parquet(Box<ParquetReader>),
    Csv(Box<CsvReader>),
    JsonLines(Box<JsonLinesReader>),
    VowpalWabbit(Box<VowpalWabbitReader>),
}

impl LogReader {
    /// Finds the files that `patterns` name: paths of files, of folders or of pipes, globs such as `logs/*.parquet`, or
    /// `-` for standard input. Addresses such as `s3://bucket/logs/*.parquet` are [as good](crate::bucket). Opens each
    /// file and checks that it has the columns of `contract`, so that an error in the last file shows before the first
    /// is read.
    ///
    /// Files are read in the order of the patterns; files of one pattern are read in the order of their paths. All
    /// files in and below a folder are read. Left out, and listed in [`skipped_files`](Self::skipped_files), are: a
    /// file that comes up again, even under another name; empty files; and files and folders in a folder or of a glob
    /// whose names begin with `.` or `_` or end as those of checksums.
    ///
    /// # Errors
    ///
    /// Fails if a pattern matches no file, if a file has an unknown format or cannot be opened, or if a column is
    /// missing or has the wrong type. Keys of JSON lines and namespaces are not checked here:
    /// [`next_batch`](Self::next_batch) checks them at the end of the log.
    pub fn open(contract: &Contract, patterns: &[impl AsRef<str>], options: ReadOptions) -> Result<Self, LogError> {
        let stated_hold_out = options.hold_out.clone();
        let (wanted, part_filter, options) = Self::wanted(contract, patterns, options)?;
        let reader = Self::open_wanted(wanted, part_filter, patterns, options)?;
        Ok(Self { stated_hold_out, ..reader })
    }

    /// Opens the logs like [`open`](Self::open), but does not read the label: every row counts as not clicked. For
    /// logs of impressions whose clicks are not known.
    ///
    /// # Errors
    ///
    /// Fails like [`open`](Self::open).
    pub fn open_unlabeled(
        contract: &Contract,
        patterns: &[impl AsRef<str>],
        options: ReadOptions,
    ) -> Result<Self, LogError> {
        let (wanted, part_filter, options) = Self::wanted(contract, patterns, options)?;
        Self::open_wanted(wanted.without_label(), part_filter, patterns, options)
    }

    /// Returns the columns to read, which of their rows to return, and the options with a time instead of a share of
    /// the last rows.
    fn wanted(
        contract: &Contract,
        patterns: &[impl AsRef<str>],
        options: ReadOptions,
    ) -> Result<(Wanted, PartFilter, ReadOptions), LogError> {
        let mut options = options;
        if let Some(hold_out) = &options.hold_out {
            // A time column is what a share of the last rows needs, and the message says so.
            PartFilter::new(&[], Some(hold_out), options.time_column.is_some())?;
            options.hold_out = Some(hold_out.resolved(contract, patterns, &options)?);
        }
        let part_filter = PartFilter::new(&options.parts, options.hold_out.as_ref(), options.time_column.is_some())?;
        let extra_columns: Vec<String> = options.extra_columns.iter().chain(part_filter.columns()).cloned().collect();
        let wanted = Wanted::new(contract, options.time_column.as_deref(), &extra_columns)?
            .with_importance(options.importance_column.as_deref())?;
        Ok((wanted, part_filter, options))
    }

    fn open_wanted(
        wanted: Wanted,
        part_filter: PartFilter,
        patterns: &[impl AsRef<str>],
        options: ReadOptions,
    ) -> Result<Self, LogError> {
        let options = ReadOptions { batch_row_count: options.batch_row_count.max(1), ..options };
        options.csv.check().map_err(|message| LogError::Dialect { message })?;
        let Found { files, skipped, .. } = files::expand(patterns)?;
        let (files, formats) = files.into_iter().unzip();
        let times = TimeReader::new(options.time_unit.or(wanted.reading().time_unit), options.any_time);
        let batch = BatchBuilder::new(&wanted, options.batch_row_count, times);
        let bad_rows = BadRows { max: options.max_bad_rows, ..BadRows::default() };
        let mut reader = Self {
            wanted,
            options,
            files,
            formats,
            skipped,
            pipes: BTreeMap::new(),
            pipe_hashes: BTreeMap::new(),
            file_index: 0,
            format_reader: None,
            batch,
            bad_rows,
            rows_read: 0,
            part_filter,
            read_len: Arc::default(),
            seen: Vec::new(),
            key_sample: None,
            missing: Vec::new(),
            is_part: false,
            extra_types: Vec::new(),
            stated_hold_out: None,
        };
        reader.look_at_files()?;
        Ok(reader)
    }

    /// Opens every file, to find errors before the first row is read. Leaves out files without rows.
    fn look_at_files(&mut self) -> Result<(), LogError> {
        let mut index = 0;
        while index < self.files.len() {
            if self.files[index].is_pipe {
                self.pipe_hashes.insert(index, PipeHash::default());
            } else {
                self.pipe_hashes.remove(&index);
            }
            let mut opened = self.open_file(index)?;
            let is_pipe = self.files[index].is_pipe;
            let has_rows = match &mut opened {
                None => false,
                Some(FormatReader::Parquet(parquet)) => parquet.row_count() > 0,
                // Only the reader of the rows may take from a pipe.
                Some(FormatReader::Csv(_) | FormatReader::JsonLines(_) | FormatReader::VowpalWabbit(_)) if is_pipe => {
                    true
                }
                Some(FormatReader::Csv(csv)) => csv.has_rows(),
                Some(FormatReader::JsonLines(_)) => match opened.take() {
                    Some(FormatReader::JsonLines(json)) => json.has_rows(),
                    _ => true,
                },
                Some(FormatReader::VowpalWabbit(_)) => match opened.take() {
                    Some(FormatReader::VowpalWabbit(text)) => text.has_rows(),
                    _ => true,
                },
            };
            if !has_rows {
                let LogFile { path, .. } = self.files.remove(index);
                self.formats.remove(index);
                self.skipped.push(SkippedFile { path, reason: SkipReason::NoRows });
                continue;
            }
            self.note_extra_types(index == 0, opened.as_ref());
            match opened {
                Some(FormatReader::Parquet(parquet)) => self.files[index].row_count = Some(parquet.row_count()),
                Some(pipe) if self.files[index].is_pipe => drop(self.pipes.insert(index, pipe)),
                _ => {}
            }
            index += 1;
        }
        Ok(())
    }

    /// Notes the types of the extra columns of a file.
    fn note_extra_types(&mut self, is_first: bool, opened: Option<&FormatReader>) {
        let type_of = |index| match opened {
            Some(FormatReader::Parquet(parquet)) => parquet.extra_type(index).cloned(),
            _ => None,
        };
        let types = (0..self.wanted.extra_count()).map(type_of);
        if is_first {
            self.extra_types = types.collect();
        } else {
            let both = self.extra_types.iter_mut().zip(types);
            both.filter(|(known, data_type)| *known != data_type).for_each(|(known, _)| *known = None);
        }
    }

    /// The type of each extra column, if all files are Parquet and agree on it.
    pub(crate) fn extra_types(&self) -> &[Option<DataType>] {
        &self.extra_types
    }

    /// Reads the next batch of rows, or returns `None` at the end of the last file. A batch may contain rows of several
    /// files.
    ///
    /// # Errors
    ///
    /// Fails if a file is damaged or if there are more bad rows than allowed. Fails at the end of the last file if no
    /// line of JSON or of Vowpal Wabbit had some column, and if the hold-out held out no row, or left none of the
    /// others that are wanted. After an error, the rows since the last batch are lost and the reader returns no more
    /// rows.
    pub fn next_batch(&mut self) -> Result<Option<RowBatch>, LogError> {
        loop {
            let batch = self.fill_batch();
            if batch.is_err() {
                self.file_index = self.files.len();
                self.key_sample = None;
                self.batch.discard_row();
                self.batch.take();
            }
            let Some(mut batch) = batch? else {
                self.check_held_out()?;
                return Ok(None);
            };
            self.part_filter.apply(&mut batch);
            if batch.row_count() > 0 {
                self.rows_read += batch.row_count() as u64;
                return Ok(Some(batch));
            }
        }
    }

    /// Fails at the end of the logs if the hold-out held out no row, or every row although the others are wanted.
    fn check_held_out(&self) -> Result<(), LogError> {
        let filter = self.part_filter.hold_out().filter(|_| !self.is_part);
        let counts = filter.zip(self.options.hold_out.as_ref());
        counts.map_or(Ok(()), |(filter, hold_out)| filter.counts.check(hold_out))
    }

    fn fill_batch(&mut self) -> Result<Option<RowBatch>, LogError> {
        while self.file_index < self.files.len() && self.batch.rows_left() > 0 {
            let mut format_reader = match self.format_reader.take() {
                Some(format_reader) => format_reader,
                None => match self.pipes.remove(&self.file_index) {
                    Some(pipe) => pipe,
                    None => match self.open_file(self.file_index)? {
                        Some(format_reader) => format_reader,
                        None => {
                            self.skip_empty_file();
                            continue;
                        }
                    },
                },
            };
            // A batch has one form of each column.
            if !self.batch.take_keys(&format_reader.key_fields()) {
                self.format_reader = Some(format_reader);
                return Ok(Some(self.batch.take()));
            }
            let first_row = self.batch.row_count();
            let is_open = format_reader.fill(&mut self.batch, &self.wanted, &mut self.bad_rows)?;
            self.batch.end_file(self.file_index);
            self.missing.resize(self.file_index + 1, FileMissing::default());
            self.missing[self.file_index].count(&self.batch, first_row);
            if is_open {
                self.format_reader = Some(format_reader);
            } else {
                self.finish_file(&format_reader);
            }
        }
        if self.batch.is_empty() {
            self.check_keys()?;
            return Ok(None);
        }
        Ok(Some(self.batch.take()))
    }

    /// Opens a file. Returns `None` if it is empty.
    fn open_file(&self, index: usize) -> Result<Option<FormatReader>, LogError> {
        let file = &self.files[index];
        self.read_len.store(0, Ordering::Relaxed);
        if self.formats[index] == Format::Parquet {
            let reader = ParquetReader::open(file, &self.wanted, &self.options)?;
            return Ok(reader.map(|reader| FormatReader::Parquet(Box::new(reader))));
        }
        let read_len = if file.is_pipe { Arc::default() } else { Arc::clone(&self.read_len) };
        let (text, format) = open_text(file, self.formats[index], read_len, self.pipe_hashes.get(&index))?;
        let separator = self.options.many_separator;
        if let Format::Csv(_, delimiter) = format {
            let dialect = (&self.options.csv, delimiter);
            let reader = CsvReader::open(&file.path, text, &self.wanted, dialect, separator)?;
            return Ok(reader.map(|reader| FormatReader::Csv(Box::new(reader))));
        }
        if let Format::VowpalWabbit(_) = format {
            // Some passes over a log read its times only, and rows without a label count for nothing.
            let ignores_importance =
                self.options.unweighted || self.options.importance_column.is_some() || !self.wanted.has(Target::Label);
            let reader = VowpalWabbitReader::open(&file.path, text, &self.wanted, separator, ignores_importance)?;
            return Ok(Some(FormatReader::VowpalWabbit(Box::new(reader))));
        }
        let reader = JsonLinesReader::open(&file.path, text, &self.wanted, separator)?;
        Ok(Some(FormatReader::JsonLines(Box::new(reader))))
    }

    /// Leaves out the current file, which has become empty or is a pipe without rows.
    fn skip_empty_file(&mut self) {
        let path = self.files[self.file_index].path.clone();
        self.files[self.file_index].row_count = Some(0);
        self.skipped.push(SkippedFile { path, reason: SkipReason::NoRows });
        self.file_index += 1;
    }

    fn finish_file(&mut self, format_reader: &FormatReader) {
        let file = &mut self.files[self.file_index];
        file.row_count = Some(format_reader.row());
        let hash = self.pipe_hashes.get(&self.file_index);
        file.pipe_digest = hash.map(PipeHash::digest);
        let found = match format_reader {
            FormatReader::JsonLines(reader) => Some((reader.seen(), reader.first_row_keys())),
            FormatReader::VowpalWabbit(reader) => Some((reader.seen(), reader.first_row_names())),
            FormatReader::Parquet(_) | FormatReader::Csv(_) => None,
        };
        if let Some((seen, first_row)) = found.filter(|_| format_reader.row() > 0) {
            for target in seen {
                if !self.seen.contains(&target) {
                    self.seen.push(target);
                }
            }
            self.key_sample.get_or_insert_with(|| (self.file_index, first_row.to_vec()));
        }
        self.read_len.store(0, Ordering::Relaxed);
        if format_reader.row() == 0 {
            self.skip_empty_file();
        } else {
            self.file_index += 1;
        }
    }

    /// Fails if some key is in no line. A key may be absent from any one line, but a key that no line has is most
    /// likely misspelled.
    fn check_keys(&self) -> Result<(), LogError> {
        let Some((file_index, keys)) = &self.key_sample else { return Ok(()) };
        let may_be_absent = |target: &Target| self.is_part && matches!(target, Target::Field(_));
        let mut columns = self.wanted.columns().iter();
        let missing = columns.find(|(_, target)| !self.seen.contains(target) && !may_be_absent(target));
        missing.map_or(Ok(()), |(column, _)| {
            Err(LogError::MissingColumn {
                file: self.files[*file_index].path.clone(),
                column: column.clone(),
                found: keys.clone(),
            })
        })
    }

    /// Reads a log that is only a part of another one: the key of a field may be in no line of its JSON, and its
    /// hold-out may hold out nothing, or everything.
    pub(crate) fn say_part(&mut self) {
        self.is_part = true;
    }

    /// The files of the log, in reading order.
    #[must_use]
    pub fn files(&self) -> &[LogFile] {
        &self.files
    }

    /// Whether the file with this index is CSV, by its name.
    pub(crate) fn is_csv(&self, file: usize) -> bool {
        matches!(self.formats.get(file), Some(Format::Csv(..)))
    }

    /// Files and folders that the patterns match but that are not read, or have no rows, and why. Complete once all
    /// rows were read: a pipe turns out to have no rows when it is read.
    #[must_use]
    pub fn skipped_files(&self) -> &[SkippedFile] {
        &self.skipped
    }

    /// Checks that every file can be read more than once.
    ///
    /// # Errors
    ///
    /// Returns [`LogError::ReadOnce`] if a file is a pipe, a device or standard input.
    pub fn check_repeatable(&self) -> Result<(), LogError> {
        match self.files.iter().find(|file| file.is_pipe) {
            Some(pipe) => Err(LogError::ReadOnce { file: pipe.path.clone() }),
            None => Ok(()),
        }
    }

    /// The hold-out of the options, with a share of the last rows as the time from which on they are held out.
    #[must_use]
    pub fn hold_out(&self) -> Option<&HoldOut> {
        self.options.hold_out.as_ref()
    }

    /// How the CSV files among the logs are written, by the options. `None` if no file is CSV.
    #[must_use]
    pub fn dialect(&self) -> Option<LogDialect> {
        // A pipe may be CSV, too.
        let is_csv = |format: &Format| matches!(format, Format::Csv(..) | Format::Unknown);
        self.formats.iter().any(is_csv).then(|| LogDialect::of(&self.options))
    }

    /// Whether the rows have an importance: whether [`ReadOptions::importance_column`] is set.
    #[must_use]
    pub fn has_importance(&self) -> bool {
        self.options.importance_column.is_some()
    }

    /// How many rows were read so far, in all parts; bad rows excluded.
    pub(crate) fn rows_of_all_parts(&self) -> u64 {
        self.part_filter.row_count()
    }

    /// How many rows were returned so far.
    #[must_use]
    pub fn rows_read(&self) -> u64 {
        self.rows_read
    }

    /// How many rows all files have together, or `None` while that is unknown. A Parquet file says its row count when
    /// it is opened; the count of any other file is known once it has been read.
    #[must_use]
    pub fn total_row_count(&self) -> Option<u64> {
        self.files.iter().map(|file| file.row_count).sum()
    }

    /// Total size of all files on disk, in bytes. Compressed files count with their compressed size.
    #[must_use]
    pub fn total_len_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len_bytes).sum()
    }

    /// How much of [`total_len_bytes`](Self::total_len_bytes) has been read. For a Parquet file this is an estimate:
    /// its size times the share of its rows that were read.
    #[must_use]
    pub fn read_len_bytes(&self) -> u64 {
        let finished: u64 = self.files[..self.file_index].iter().map(|file| file.len_bytes).sum();
        let (Some(format_reader), Some(file)) = (&self.format_reader, self.files.get(self.file_index)) else {
            return finished;
        };
        let current = match format_reader {
            FormatReader::Parquet(reader) => {
                let product = u128::from(file.len_bytes) * u128::from(reader.row());
                u64::try_from(product / u128::from(reader.row_count().max(1))).unwrap_or(file.len_bytes)
            }
            FormatReader::Csv(_) | FormatReader::JsonLines(_) | FormatReader::VowpalWabbit(_) => {
                self.read_len.load(Ordering::Relaxed)
            }
        };
        finished + current.min(file.len_bytes)
    }

    /// How many rows and missing values each file has, in the order of the files, as far as they were read.
    #[must_use]
    pub fn missing_by_file(&self) -> &[FileMissing] {
        &self.missing
    }

    /// The rows and missing values of all files so far.
    #[must_use]
    pub fn missing(&self) -> FileMissing {
        let mut sum = FileMissing::default();
        self.missing.iter().for_each(|file| sum.add(file));
        sum
    }

    /// What the reader noticed so far that is no error: guesses about notations, and fields whose missing rate jumps
    /// between files. At most one jump is listed for each field, the first one.
    #[must_use]
    pub fn warnings(&self) -> Vec<LogWarning> {
        let mut warnings = Vec::new();
        if let Some((trained, own)) = self.options.trained.zip(self.dialect()) {
            let has_many = self.batch.columns.iter().any(|column| column.many);
            let differences =
                trained.differences(&own).filter(|(char, ..)| has_many || *char != LogChar::ManySeparator);
            warnings.extend(differences.map(|(char, trained, found)| LogWarning::OtherDialect {
                flag: char.flag(),
                trained,
                found,
            }));
        }
        if let Some(unit) = self.batch.times.guessed_unit().filter(|unit| *unit != TimeUnit::Microseconds) {
            let column = self.wanted.name(Target::Time).to_owned();
            warnings.push(LogWarning::GuessedTimeUnit { column, unit });
        }
        if let Some(RowsOfLines { file, row, count }) = &self.batch.rows_of_lines {
            warnings.push(LogWarning::RowsOfLines { file: file.clone(), row: *row, count: *count });
        }
        if let Some((filter, stated)) = self.part_filter.hold_out().zip(self.stated_hold_out.as_ref())
            && !self.is_part
            && let Some(share) = stated.share().and_then(|expected| filter.counts.uneven_share(expected))
        {
            warnings.push(LogWarning::UnevenHoldOut { rule: stated.rule.to_string(), share });
        }
        for (file, compressed) in self.copies() {
            warnings.push(LogWarning::LikelyCopy { file, compressed });
        }
        for (index, field) in self.batch.columns.iter().enumerate() {
            let column = || self.wanted.name(Target::Field(index)).to_owned();
            let rules = &field.rules;
            for (text, (&count, &kept)) in
                USUAL_MISSING.into_iter().zip(rules.guessed_missing.iter().zip(rules.kept_missing.iter()))
            {
                if count > 0 {
                    warnings.push(LogWarning::GuessedMissing { column: column(), text, count });
                }
                if kept > 0 {
                    warnings.push(LogWarning::KeptMissing { column: column(), text });
                }
            }
            if rules.lists.is_none() && rules.list_count > 0 {
                warnings.push(LogWarning::GuessedLists { column: column(), count: rules.list_count });
            }
            let missing = self.missing();
            let is_empty = missing.row_count > 0 && missing.missing_counts.get(index) == Some(&missing.row_count);
            if is_empty && self.wanted.fields()[index].log == LogPolicy::Never {
                warnings.push(LogWarning::NeverLogged { column: column(), row_count: missing.row_count });
            }
            let jump = missing_jump(&column(), index, &self.missing, |file| self.files[file].path.clone());
            if jump.is_some() {
                warnings.extend(jump);
            } else if let Some(End { file, row, row_count }) = first_end(&self.missing, index) {
                let file = self.files[file].path.clone();
                warnings.push(LogWarning::FieldEnds { column: column(), file, row, row_count });
            }
        }
        warnings
    }

    /// Pairs of files that have one name, the second with the ending of a compressed file added.
    fn copies(&self) -> Vec<(PathBuf, PathBuf)> {
        let paths: HashSet<&Path> = self.files.iter().map(|file| file.path.as_path()).collect();
        let compressed = self.files.iter().filter(|file| {
            let ending = file.path.extension();
            ending.is_some_and(|ending| ["gz", "zst"].iter().any(|known| ending.eq_ignore_ascii_case(known)))
        });
        compressed
            .map(|file| (file.path.with_extension(""), file.path.clone()))
            .filter(|(plain, _)| paths.contains(plain.as_path()))
            .collect()
    }

    /// How many bad rows were skipped so far.
    #[must_use]
    pub fn bad_row_count(&self) -> u64 {
        self.bad_rows.count
    }

    /// The first bad rows that were skipped, at most [`BadRow::MAX_LISTED`].
    #[must_use]
    pub fn bad_rows(&self) -> &[BadRow] {
        &self.bad_rows.listed
    }
}

impl FormatReader {
    /// The indices of the fields of which the file has feature keys only.
    fn key_fields(&self) -> Vec<usize> {
        match self {
            Self::Parquet(reader) => reader.key_fields(),
            Self::Csv(reader) => reader.key_fields(),
            Self::JsonLines(_) | Self::VowpalWabbit(_) => Vec::new(),
        }
    }

    /// Reads rows until the batch is full or the file ends. Returns whether the file may have more rows.
    fn fill(&mut self, batch: &mut BatchBuilder, wanted: &Wanted, bad_rows: &mut BadRows) -> Result<bool, LogError> {
        match self {
            Self::Parquet(reader) => reader.fill(batch, wanted, bad_rows),
            Self::Csv(reader) => reader.fill(batch, wanted, bad_rows),
            Self::JsonLines(reader) => reader.fill(batch, wanted, bad_rows),
            Self::VowpalWabbit(reader) => reader.fill(batch, wanted, bad_rows),
        }
    }

    /// How many rows of the file were read, bad ones included.
    fn row(&self) -> u64 {
        match self {
            Self::Parquet(reader) => reader.row(),
            Self::Csv(reader) => reader.row(),
            Self::JsonLines(reader) => reader.row(),
            Self::VowpalWabbit(reader) => reader.row(),
        }
    }
}

impl std::fmt::Debug for FormatReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = match self {
            Self::Parquet(_) => "Parquet",
            Self::Csv(_) => "Csv",
            Self::JsonLines(_) => "JsonLines",
            Self::VowpalWabbit(_) => "VowpalWabbit",
        };
        formatter.debug_struct(format).field("row", &self.row()).finish_non_exhaustive()
    }
}
