//! Reads CSV files: a header, then one row per record.
//!
//! A record with too many or too few cells, with a bad cell, or that the dialect does not allow, costs only that row.
//! If such a record has several lines, each of them counts as a bad row: it may have been a row of its own.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::LogError;
use super::builder::BatchBuilder;
use super::csv_records::{CsvDialect, CsvFault, CsvRecord, CsvRecords};
use super::error::{BadRow, BadRows, RowFault, excerpt};
use super::files::read_failure;
use super::partitions::Partitions;
use super::wanted_columns::{Target, Wanted, key_fields};
use omomi::contract::{Field, LogPolicy};

pub(super) struct CsvReader {
    file: PathBuf,
    records: CsvRecords<Box<dyn BufRead + Send>>,
    header: Vec<String>,
    /// The index of each wanted cell in a record, and what the cell is for.
    places: Vec<(usize, Target)>,
    partitions: Partitions,
    many_separator: char,
    row: u64,
}

impl CsvReader {
    /// Reads the header. Returns `None` if the file has none because it is empty.
    pub(super) fn open(
        file: &Path,
        input: Box<dyn BufRead + Send>,
        wanted: &Wanted,
        dialect: (&CsvDialect, char),
        many_separator: char,
    ) -> Result<Option<Self>, LogError> {
        let (dialect, default_delimiter) = dialect;
        let mut records = CsvRecords::new(input, dialect, default_delimiter);
        let failed = |error| read_failure(file, 0, error);
        if let Some(found) = other_format(records.first_bytes().map_err(failed)?) {
            return Err(LogError::OtherFormat { file: file.to_owned(), expected: "CSV", found });
        }
        let Some(record) = records.read().map_err(failed)? else { return Ok(None) };
        let bad_header = |message| LogError::BadHeader { file: file.to_owned(), message };
        if let Some((column, fault)) = record.fault {
            // The lines of a header are no rows, so they do not count as bad ones.
            let fault = RowFault::Csv { fault, line: record.line, line_count: 1 };
            return Err(bad_header(format!("in column {}: {fault}", column + 1)));
        }
        let names = (0..records.cell_count()).map(|index| std::str::from_utf8(records.cell(index)).map(str::to_owned));
        let header = names.collect::<Result<Vec<_>, _>>();
        let header = header.map_err(|_| bad_header(RowFault::NotUtf8.to_string()))?;
        let mut partitions = Partitions::of(file);
        let is_hashed = |_, field: &Field| field.log == LogPolicy::Hashed;
        let places = wanted.locate(file, &header, |column, target| partitions.take(column, target), is_hashed)?;
        partitions.check(file, wanted, many_separator)?;
        Ok(Some(Self { file: file.to_owned(), records, header, places, partitions, many_separator, row: 0 }))
    }

    /// The names of all columns of the file.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// The indices of the fields of which the file has feature keys only.
    pub(super) fn key_fields(&self) -> Vec<usize> {
        key_fields(self.places.iter().map(|(_, target)| *target))
    }

    /// How many rows were read, bad rows included.
    pub(super) fn row(&self) -> u64 {
        self.row
    }

    /// Whether any row follows, good or bad. A file that cannot be read on counts as one with rows: reading the rows
    /// reports why.
    pub(super) fn has_rows(&mut self) -> bool {
        self.records.skip_blank_lines().unwrap_or(true)
    }

    /// Reads rows until the batch is full or the file ends. Returns whether the file may have more rows.
    pub(super) fn fill(
        &mut self,
        batch: &mut BatchBuilder,
        wanted: &Wanted,
        bad_rows: &mut BadRows,
    ) -> Result<bool, LogError> {
        while batch.rows_left() > 0 {
            let record = self.records.read().map_err(|error| read_failure(&self.file, self.row, error))?;
            let Some(record) = record else { return Ok(false) };
            if self.take_record(&record, batch, wanted, bad_rows)? {
                self.row += 1;
            }
        }
        Ok(true)
    }

    /// Adds a record to the batch. Returns false if it was bad and is counted already.
    fn take_record(
        &mut self,
        record: &CsvRecord,
        batch: &mut BatchBuilder,
        wanted: &Wanted,
        bad_rows: &mut BadRows,
    ) -> Result<bool, LogError> {
        let (column, fault, row_count) = if let Some((column, fault)) = record.fault {
            let fault = RowFault::Csv { fault, line: record.line, line_count: record.line_count };
            (self.header.get(column).cloned(), fault, record.line_count)
        } else if self.records.cell_count() != self.header.len() {
            let fault = RowFault::CellCount { expected: self.header.len(), found: self.records.cell_count() };
            (None, fault, record.line_count)
        } else if self.records.cell(0).starts_with(BYTE_ORDER_MARK) {
            // Files were joined. The mark would become a part of a category that nobody sees.
            let expected = "a byte order mark only at the start of a file, also where files are joined";
            let rest = String::from_utf8_lossy(&self.records.cell(0)[BYTE_ORDER_MARK.len()..]);
            let fault = RowFault::Cell { expected, found: format!("one before {}", excerpt(&rest)) };
            (self.header.first().cloned(), fault, record.line_count)
        } else {
            let Err((target, fault)) = self.take_row(batch) else {
                if record.line_count > 1 {
                    batch.note_row_of_lines(&self.file, self.row + 1);
                }
                return Ok(true);
            };
            (Some(wanted.name(target).to_owned()), fault, 1)
        };
        batch.discard_row();
        let bad_row = BadRow { file: self.file.clone(), row: self.row + 1, column, fault };
        self.row += row_count;
        batch.note_bad_rows(row_count);
        bad_rows.add_rows(bad_row, row_count)?;
        Ok(false)
    }

    fn take_row(&self, batch: &mut BatchBuilder) -> Result<(), (Target, RowFault)> {
        for &(index, target) in &self.places {
            let pushed = batch.push_csv_cell(target, self.records.cell(index), self.many_separator);
            pushed.map_err(|fault| (target, fault))?;
        }
        self.partitions.push(batch, self.many_separator)?;
        batch.finish_row(self.records.record_len_bytes() + self.header.len())
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Recognizes other formats by the first bytes of a file.
pub(crate) fn other_format(bytes: &[u8]) -> Option<&'static str> {
    let marks: [(&[u8], &str); 12] = [
        (b"\x1f\x8b", "gzip; end its name in .gz"),
        (b"\x28\xb5\x2f\xfd", "zstd; end its name in .zst"),
        (b"PAR1", "Parquet; end its name in .parquet"),
        (b"ARROW1\0\0", "Arrow (Feather); convert it to Parquet"),
        (b"\xff\xff\xff\xff", "an Arrow stream; convert it to Parquet"),
        (b"Obj\x01", "Avro; convert it to Parquet"),
        (b"PK\x03\x04", "a zip archive; unpack it"),
        (b"BZh", "bzip2; compress it with gzip or zstd"),
        (b"\xfd7zXZ\0", "xz; compress it with gzip or zstd"),
        (b"\x04\x22\x4d\x18", "lz4; compress it with gzip or zstd"),
        (b"\xff\xfe", "UTF-16; convert it to UTF-8"),
        (b"\xfe\xff", "UTF-16; convert it to UTF-8"),
    ];
    let found = marks.iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, found)| *found);
    // Text in UTF-16 without a mark has a 0 in each ASCII character.
    let zeros = || bytes.iter().take(64).filter(|&&byte| byte == 0).count();
    found.or_else(|| (zeros() > 0).then_some("bytes that are not text; check its format and encoding"))
}

/// Recognizes by its first bytes a file that is no Parquet. Returns `None` for one that may be, even if it is damaged.
pub(super) fn other_format_than_parquet(bytes: &[u8]) -> Option<&'static str> {
    // A file may end within its first bytes.
    if [b"PAR1", b"PARE"].iter().any(|mark| bytes.starts_with(*mark) || mark.starts_with(bytes)) {
        return None;
    }
    if bytes.starts_with(b"ORC") {
        return Some("ORC; convert it to Parquet");
    }
    let compressed = "compressed bytes; write Parquet with a codec of its own, without compressing the file";
    match other_format(bytes) {
        Some(_) if bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"\x28\xb5\x2f\xfd") => Some(compressed),
        // Zeros say nothing: a file whose blocks were lost begins with them.
        Some(found) if bytes[0] != 0 && !found.starts_with("bytes") => Some(found),
        None if !bytes.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()) => {
            Some("text; end its name in .csv, .tsv or .jsonl")
        }
        _ => None,
    }
}

impl std::fmt::Display for CsvFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::StrayQuote => {
                "expected quotes around the whole cell, found one inside; write the cell in quotes and the quote \
                 inside it twice"
            }
            Self::TextAfterQuote { after_backslash: false } => {
                "expected a delimiter or a line end after a closing quote, found other text; write a quote inside a \
                 quoted cell twice"
            }
            Self::TextAfterQuote { after_backslash: true } => {
                "expected a delimiter or a line end after a closing quote, found other text; if a backslash escapes \
                 quotes, say so with --csv-escape '\\'"
            }
            Self::UnclosedQuote => "expected a closing quote, found the end of the file",
            Self::TooManyLines => {
                "expected a closing quote, found too many lines without one; if cells have so many lines, raise \
                 --csv-cell-lines"
            }
            Self::StrayCarriageReturn => {
                "expected a line feed after a carriage return, found other text; write the cell in quotes"
            }
            Self::TooLong => {
                "expected a row of at most 16 MiB, found a longer one; look for a quote that is not closed"
            }
            Self::TooManyCells => {
                "expected a row of at most 65536 cells, found more; look for a quote that is not closed"
            }
        })
    }
}
