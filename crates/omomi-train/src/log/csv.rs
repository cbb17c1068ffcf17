//! CSV: a header, then one row a record. Tokenised by `csv-core`, which goes on behind a record with too many or too
//! few cells and leaves the bytes of the others alone, so that a bad row costs that row.

use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use csv_core::ReadRecordResult;

use super::builder::BatchBuilder;
use super::error::{BadRow, BadRows, RowFault};
use super::files::{Compression, MAX_LINE_LEN, open_text, read_failure};
use super::wanted::{Target, Wanted};
use super::{LogError, LogFile};

/// Most cells of a record, so that a line of commas is bounded too.
const MAX_CELL_COUNT: usize = 1 << 16;

pub(super) struct CsvReader {
    records: Records,
    header_cell_count: usize,
    /// Which cell of a record goes where.
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

    /// How many rows were read.
    pub(super) fn row(&self) -> u64 {
        self.records.row
    }

    /// Reads rows until the batch is full or the file ends; says whether it may have more.
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

/// Records of a CSV file, one at a time in buffers that are kept.
struct Records {
    file: PathBuf,
    input: Box<dyn BufRead + Send>,
    tokenizer: csv_core::Reader,
    /// The cells of the record, unquoted, one behind the other.
    bytes: Vec<u8>,
    /// Where each cell ends in `bytes`.
    ends: Vec<usize>,
    cell_count: usize,
    row: u64,
}

impl Records {
    /// Reads the next record; false where there is none.
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
        // A cell takes at least its separator.
        self.cell_count + self.ends[..self.cell_count].last().unwrap_or(&0)
    }
}
