//! Reads CSV files: a header, then one row per record.
//!
//! A record with too many or too few cells, or with a bad cell, costs only that row. The tokenizer, `csv-core`,
//! continues after such a record and does not change the bytes of the others.

use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use csv_core::ReadRecordResult;

use super::builder::BatchBuilder;
use super::error::{BadRow, BadRows, RowFault};
use super::files::{Compression, MAX_LINE_LEN, open_text, read_failure};
use super::wanted_columns::{Target, Wanted};
use super::{LogError, LogFile};

/// Most cells in a record, so that a line of nothing but commas is also bounded.
const MAX_CELL_COUNT: usize = 1 << 16;

pub(super) struct CsvReader {
    records: Records,
    header_cell_count: usize,
    /// The index of each wanted cell in a record, and what the cell is for.
    places: Vec<(usize, Target)>,
    many_separator: char,
}

impl CsvReader {
    pub(super) fn open(
        file: &LogFile,
        compression: Compression,
        wanted: &Wanted,
        many_separator: char,
        read_len: Arc<AtomicU64>,
    ) -> Result<Self, LogError> {
        let mut records = Records {
            file: file.path.clone(),
            input: open_text(&file.path, compression, read_len)?,
            tokenizer: csv_core::Reader::new(),
            bytes: vec![0; 1 << 12],
            ends: vec![0; 1 << 6],
            cell_count: 0,
            row: 0,
        };
        if !records.read()? {
            let message = "expected a header with the names of the columns, found an empty file".to_owned();
            return Err(LogError::Damaged { file: file.path.clone(), rows_before: 0, message });
        }
        let header: Vec<String> =
            (0..records.cell_count).map(|index| String::from_utf8_lossy(records.cell(index)).into_owned()).collect();
        let places = wanted.locate(&file.path, &header)?;
        Ok(Self { header_cell_count: header.len(), records, places, many_separator })
    }

    /// How many rows were read, bad rows included.
    pub(super) fn row(&self) -> u64 {
        self.records.row
    }

    /// Reads rows until the batch is full or the file ends. Returns whether the file may have more rows.
    pub(super) fn fill(
        &mut self,
        batch: &mut BatchBuilder,
        wanted: &Wanted,
        bad_rows: &mut BadRows,
    ) -> Result<bool, LogError> {
        while batch.rows_left() > 0 {
            if !self.records.read()? {
                return Ok(false);
            }
            self.records.row += 1;
            if let Err((target, fault)) = self.take_row(batch) {
                batch.discard_row();
                bad_rows.add(BadRow {
                    file: self.records.file.clone(),
                    row: self.records.row,
                    column: target.map(|target| wanted.name(target).to_owned()),
                    fault,
                })?;
            }
        }
        Ok(true)
    }

    fn take_row(&self, batch: &mut BatchBuilder) -> Result<(), (Option<Target>, RowFault)> {
        let records = &self.records;
        if records.cell_count != self.header_cell_count {
            let fault = RowFault::CellCount { expected: self.header_cell_count, found: records.cell_count };
            return Err((None, fault));
        }
        for &(index, target) in &self.places {
            let pushed = batch.push_csv_cell(target, records.cell(index), self.many_separator);
            pushed.map_err(|fault| (Some(target), fault))?;
        }
        batch.finish_row(records.len()).map_err(|(target, fault)| (Some(target), fault))
    }
}

/// Reads the records of a CSV file one at a time, into buffers that are used again.
struct Records {
    file: PathBuf,
    input: Box<dyn BufRead + Send>,
    tokenizer: csv_core::Reader,
    /// The cells of the record, unquoted, back to back.
    bytes: Vec<u8>,
    /// The end of each cell in `bytes`.
    ends: Vec<usize>,
    cell_count: usize,
    row: u64,
}

impl Records {
    /// Reads the next record. Returns false at the end of the file.
    fn read(&mut self) -> Result<bool, LogError> {
        let (mut len, mut cell_count) = (0, 0);
        loop {
            let input = self.input.fill_buf().map_err(|error| read_failure(&self.file, self.row, error))?;
            let (result, read, written, ended) =
                self.tokenizer.read_record(input, &mut self.bytes[len..], &mut self.ends[cell_count..]);
            self.input.consume(read);
            len += written;
            cell_count += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.bytes.len() < MAX_LINE_LEN => {
                    self.bytes.resize(self.bytes.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < MAX_CELL_COUNT => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => return Err(self.too_long()),
                ReadRecordResult::Record => {
                    self.cell_count = cell_count;
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    fn too_long(&self) -> LogError {
        let message = format!(
            "expected a row of at most {} MiB and {MAX_CELL_COUNT} cells, found a longer one; look for a quote that is \
             not closed",
            MAX_LINE_LEN >> 20
        );
        LogError::Damaged { file: self.file.clone(), rows_before: self.row, message }
    }

    fn cell(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    fn len(&self) -> usize {
        // Each cell takes at least one byte, its separator.
        self.cell_count + self.ends[..self.cell_count].last().unwrap_or(&0)
    }
}
