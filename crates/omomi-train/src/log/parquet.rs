//! Reads Parquet files. Decodes only the wanted columns, at most [`MAX_DECODED_ROW_COUNT`] rows at a time, and appends
//! them to the batch column by column.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{ArrowError, DataType, Fields};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowSelection, RowSelector,
};
use parquet::basic::CompressionCodec;
use parquet::errors::ParquetError;

use super::builder::BatchBuilder;
use super::csv::other_format_than_parquet;
use super::error::{BadRow, BadRows, RowFault};
use super::files::read_failure;
use super::parquet_bytes;
use super::parquet_decoded::{Decoded, Place};
use super::parquet_dictionary::with_dictionaries;
use super::parquet_nested::{Nested, inner_array, leaves, with_nested};
use super::parquet_pages::{self, EXPECTED_PAGES, Groups, PageFault, is_encrypted};
use super::parquet_schema::{check_type, holds_keys, simplified, with_int96_bytes};
use super::parquet_views::{Part, Views, has_keys, with_views, without_keys};
use super::partitions::Partitions;
use super::wanted_columns::{Target, Wanted, key_fields};
use super::{LogError, LogFile, ReadOptions};
use crate::bucket::Source;

/// Most rows that are decoded at a time, even if a batch is larger. This bounds the memory.
const MAX_DECODED_ROW_COUNT: usize = 8_192;

/// Bytes by which another format is recognized.
const FIRST_LEN: u64 = 64;

pub(super) struct ParquetReader {
    file: PathBuf,
    handle: Source,
    metadata: ArrowReaderMetadata,
    /// The metadata with which no column is decoded as keys, once it is needed.
    values_metadata: Option<ArrowReaderMetadata>,
    /// The metadata with which texts are decoded as bytes, once it is needed.
    bytes_metadata: Option<ArrowReaderMetadata>,
    /// The decoded columns, by their index in the file.
    columns: Vec<usize>,
    /// The leaves of the decoded columns, by their index in the file.
    leaves: Vec<usize>,
    places: Vec<Place>,
    partitions: Partitions,
    many_separator: char,
    batch_row_count: usize,
    row_count: u64,
    /// The rows that are left, in order. The first span is being decoded if `reader` is set.
    spans: VecDeque<Span>,
    /// Index of the next row group whose rows are not in `spans`.
    next_group: usize,
    /// The row group of the spans, once its pages were looked at.
    looked_at: Option<Groups>,
    reader: Option<ParquetRecordBatchReader>,
    /// Rows that were decompressed, but are not in `decoded` yet.
    views: Views,
    /// How many rows were decoded before those in `decoded`.
    rows_before: u64,
    decoded: Decoded,
}

/// Some consecutive rows of a row group.
#[derive(Debug)]
struct Span {
    group: usize,
    rows: Range<usize>,
    /// The column with a cell that is too long. The span has one row, which is not decoded.
    too_long: Option<Target>,
    /// Whether texts are decoded as bytes, because some are not UTF-8.
    as_bytes: bool,
}

impl ParquetReader {
    /// Opens a file. Returns `None` if it has no rows.
    pub(super) fn open(file: &LogFile, wanted: &Wanted, options: &ReadOptions) -> Result<Option<Self>, LogError> {
        let path = &file.path;
        let unreadable = |source| LogError::Unreadable { file: path.clone(), source };
        let handle = Source::open(path).map_err(unreadable)?;
        if handle.len_bytes().map_err(unreadable)? == 0 {
            return Ok(None);
        }
        let mut start = Vec::new();
        Read::take(&handle, FIRST_LEN).read_to_end(&mut start).map_err(unreadable)?;
        if let Some(found) = other_format_than_parquet(&start) {
            return Err(LogError::OtherFormat { file: path.clone(), expected: "Parquet", found });
        }
        if is_encrypted(&handle).map_err(unreadable)? {
            return Err(encrypted(path));
        }
        let damaged = |error| parquet_failure(path, 0, error, handle.take_failure());
        let metadata = unless_panic(path, 0, || parquet_pages::load(&handle))?;
        let metadata = metadata.map_err(damaged)?;
        let row_count = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
        if row_count == 0 {
            return Ok(None);
        }
        let nested = Nested::find(metadata.schema(), wanted);
        let mut names: Vec<String> = metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
        names.extend(nested.iter().map(|nested| nested.name.clone()));
        let root_count = metadata.schema().fields().len();
        let mut partitions = Partitions::of(path);
        let are_keys = |place: usize, field: &omomi::contract::Field| {
            let found = metadata.schema().fields().get(place);
            found.is_some_and(|found| holds_keys(found.data_type(), field.many))
        };
        let located = wanted.locate(path, &names, |column, target| partitions.take(column, target), are_keys)?;
        partitions.check(path, wanted, options.many_separator)?;
        // A nested column comes after the columns of the file, at a place of its own.
        let (nested_places, places): (Vec<_>, Vec<_>) =
            located.into_iter().partition(|&(index, _)| index >= root_count);
        let nested_places: Vec<(&Nested, Target)> =
            nested_places.into_iter().map(|(index, target)| (&nested[index - root_count], target)).collect();
        // The decoded columns are in the order of the file. A column that is wanted twice is decoded once.
        let roots: Vec<usize> = places.iter().map(|&(index, _)| index).collect();
        let mut columns = roots.clone();
        columns.extend(nested_places.iter().map(|(nested, _)| nested.root));
        columns.sort_unstable();
        columns.dedup();
        check_codecs(path, &metadata, &columns)?;
        let schema = simplified(metadata.schema(), &places, wanted);
        for &(index, target) in &places {
            check_type(path, wanted, target, schema.field(index).data_type())?;
        }
        let schema = with_dictionaries(schema, metadata.metadata(), &places, wanted);
        let schema = with_nested(schema, &nested_places, wanted);
        for (nested, target) in &nested_places {
            check_type(path, wanted, *target, nested.data_type(&schema))?;
        }
        let (schema, metadata) = match with_int96_bytes(&schema, metadata.parquet_schema()) {
            None => (schema, Arc::clone(metadata.metadata())),
            Some(schema) => {
                let with_bytes = parquet_bytes::with_int96_bytes(metadata.metadata()).map_err(damaged)?;
                (schema, Arc::new(with_bytes))
            }
        };
        let with_schema = ArrowReaderOptions::new().with_schema(Arc::new(with_views(&schema)));
        let metadata = ArrowReaderMetadata::try_new(metadata, with_schema).map_err(damaged)?;
        let nested_leaves: Vec<&[String]> = nested_places.iter().map(|(nested, _)| nested.path.as_slice()).collect();
        let leaves = leaves(metadata.parquet_schema(), &roots, &nested_leaves);
        let place = |root: usize| columns.partition_point(|&before| before < root);
        let mut places: Vec<Place> = places
            .iter()
            .map(|&(index, target)| Place { column: place(index), inner: Vec::new(), target })
            .chain(nested_places.iter().map(|(nested, target)| Place {
                column: place(nested.root),
                inner: nested.path[1..].to_vec(),
                target: *target,
            }))
            .collect();
        places.sort_by_key(|place| place.column);
        handle.prepare_for(leaves.len());
        Ok(Some(Self {
            file: path.clone(),
            handle,
            metadata,
            values_metadata: None,
            bytes_metadata: None,
            columns,
            leaves,
            places,
            partitions,
            many_separator: options.many_separator,
            batch_row_count: options.batch_row_count.min(MAX_DECODED_ROW_COUNT),
            row_count,
            spans: VecDeque::new(),
            next_group: 0,
            looked_at: None,
            reader: None,
            views: Views::default(),
            rows_before: 0,
            decoded: Decoded::default(),
        }))
    }

    /// The columns of the file.
    pub(super) fn fields(&self) -> &Fields {
        self.metadata.schema().fields()
    }

    /// The type of the values of an extra column; `None` if it is no column of the file, but of its path.
    pub(super) fn extra_type(&self, index: usize) -> Option<&DataType> {
        let place = self.places.iter().find(|place| place.target == Target::Extra(index))?;
        let field = self.fields().get(*self.columns.get(place.column)?)?;
        place.inner.iter().try_fold(field.data_type(), |data_type, name| match data_type {
            DataType::Struct(members) => members.find(name).map(|(_, member)| member.data_type()),
            _ => None,
        })
    }

    /// The indices of the fields of which the file has feature keys only.
    pub(super) fn key_fields(&self) -> Vec<usize> {
        key_fields(self.places.iter().map(|place| place.target))
    }

    /// How many rows the file has according to its footer.
    pub(super) fn row_count(&self) -> u64 {
        self.row_count
    }

    /// How many rows were read, bad rows included.
    pub(super) fn row(&self) -> u64 {
        self.rows_before + self.decoded.next_row as u64
    }

    /// Reads rows until the batch is full or the file ends. Returns whether the file may have more rows.
    pub(super) fn fill(
        &mut self,
        batch: &mut BatchBuilder,
        wanted: &Wanted,
        bad_rows: &mut BadRows,
    ) -> Result<bool, LogError> {
        while batch.rows_left() > 0 {
            if self.decoded.next_row == self.decoded.row_count && !self.decode(wanted, batch)? {
                return Ok(false);
            }
            let decoded = &mut self.decoded;
            let next_bad = decoded.bad_rows.get(decoded.next_bad_row);
            if let Some((row, target, fault)) = next_bad
                && *row == decoded.next_row
            {
                bad_rows.add(BadRow {
                    file: self.file.clone(),
                    row: self.rows_before + *row as u64 + 1,
                    column: Some(wanted.name(*target).to_owned()),
                    fault: fault.clone(),
                })?;
                batch.note_bad_rows(1);
                decoded.next_row += 1;
                decoded.next_bad_row += 1;
                continue;
            }
            let good_end = next_bad.map_or(decoded.row_count, |(row, ..)| *row);
            let end = good_end.min(decoded.next_row + batch.rows_left());
            for (target, cells) in &mut decoded.columns {
                cells.append(*target, decoded.next_row, end, batch);
            }
            for (target, text) in self.partitions.cells() {
                let appended =
                    batch.append_repeated(*target, text.as_deref(), end - decoded.next_row, self.many_separator);
                appended.map_err(|fault| LogError::BadPartition {
                    file: self.file.clone(),
                    column: wanted.name(*target).to_owned(),
                    fault,
                })?;
            }
            batch.finish_rows(end - decoded.next_row);
            decoded.next_row = end;
        }
        Ok(true)
    }

    /// Decodes the next rows. Returns false at the end of the file.
    fn decode(&mut self, wanted: &Wanted, batch: &mut BatchBuilder) -> Result<bool, LogError> {
        self.rows_before += self.decoded.row_count as u64;
        self.decoded = Decoded::default();
        loop {
            if let Some(part) = self.views.next_part().map_err(|error| self.arrow_failure(error))? {
                match part {
                    Part::Rows(arrays, row_count) => {
                        let decoded = Decoded::new(&arrays, row_count, &self.places, wanted, batch);
                        self.decoded = decoded.map_err(|error| self.arrow_failure(error))?;
                    }
                    Part::TooLong(place) => self.decoded = too_long_row(self.places[place].target),
                }
                return Ok(true);
            }
            self.views = Views::default();
            let Some(span) = self.spans.front() else {
                if self.plan_next_group()? {
                    continue;
                }
                if self.rows_before != self.row_count {
                    let message = format!("expected {} rows according to the footer, found fewer", self.row_count);
                    return Err(LogError::Damaged { file: self.file.clone(), rows_before: self.rows_before, message });
                }
                return Ok(false);
            };
            if let Some(target) = span.too_long {
                self.decoded = too_long_row(target);
                self.spans.pop_front();
                return Ok(true);
            }
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.open_span()?,
            };
            match unless_panic(&self.file, self.rows_before, || reader.next())? {
                None => drop(self.spans.pop_front()),
                Some(Ok(rows)) => {
                    self.reader = Some(reader);
                    if let Some(span) = self.spans.front_mut() {
                        span.rows.start += rows.num_rows();
                    }
                    let arrays = self.places.iter().map(|place| inner_array(rows.column(place.column), &place.inner));
                    let arrays = arrays.collect::<Result<_, _>>().map_err(|error| self.arrow_failure(error))?;
                    self.views = Views::new(arrays, rows.num_rows());
                }
                Some(Err(error)) => match self.spans.front_mut() {
                    // Texts that are not UTF-8 fail like damage. If it is damage, the next attempt fails too.
                    Some(span) if !span.as_bytes && self.rows_before < self.row_count => span.as_bytes = true,
                    _ => return Err(self.arrow_failure(error)),
                },
            }
        }
    }

    /// Divides the next row group into spans. Returns false if there is none.
    fn plan_next_group(&mut self) -> Result<bool, LogError> {
        let metadata = Arc::clone(self.metadata.metadata());
        let Some(group) = metadata.row_groups().get(self.next_group) else { return Ok(false) };
        let row_count = usize::try_from(group.num_rows()).unwrap_or(0);
        let looked_at = Groups::one(&self.handle, &metadata, self.next_group, &self.leaves, self.batch_row_count);
        let looked_at = looked_at.map_err(|fault| self.page_fault(fault))?;
        let too_long = self.too_long_rows(&looked_at);
        self.looked_at = Some(looked_at);
        let mut start = 0;
        let span = |rows, too_long| Span { group: self.next_group, rows, too_long, as_bytes: false };
        for (row, target) in too_long {
            if (start..row_count).contains(&row) {
                self.spans.extend((start < row).then(|| span(start..row, None)));
                self.spans.push_back(span(row..row + 1, Some(target)));
                start = row + 1;
            }
        }
        self.spans.extend((start < row_count).then(|| span(start..row_count, None)));
        self.next_group += 1;
        Ok(true)
    }

    /// Finds the rows of a group with a cell that is too long to be decompressed, in order.
    fn too_long_rows(&self, looked_at: &Groups) -> BTreeMap<usize, Target> {
        let mut rows = BTreeMap::new();
        for &(row, leaf) in &looked_at.too_long {
            let root = self.metadata.parquet_schema().get_column_root_idx(leaf);
            let place = self.columns.iter().position(|&column| column == root);
            if let Some(Place { target, .. }) = self.places.iter().find(|found| Some(found.column) == place) {
                rows.entry(row).or_insert(*target);
            }
        }
        rows
    }

    fn page_fault(&self, fault: PageFault) -> LogError {
        if let Some(source) = self.handle.take_failure() {
            return LogError::Unreadable { file: self.file.clone(), source };
        }
        let (file, rows_before) = (self.file.clone(), self.rows_before);
        match fault {
            PageFault::Io(error) => read_failure(&file, rows_before, error),
            PageFault::Damaged(message) => LogError::Damaged { file, rows_before, message },
            PageFault::TooLong { found } => {
                let found = format!("after row {rows_before}: {found}");
                LogError::Unsupported { file, found, remedy: EXPECTED_PAGES }
            }
        }
    }

    fn arrow_failure(&self, error: ArrowError) -> LogError {
        match self.handle.take_failure() {
            Some(source) => LogError::Unreadable { file: self.file.clone(), source },
            None => arrow_failure(&self.file, self.rows_before, error),
        }
    }

    /// Opens a decoder for the first span.
    fn open_span(&mut self) -> Result<ParquetRecordBatchReader, LogError> {
        let damaged = |error| parquet_failure(&self.file, self.rows_before, error, self.handle.take_failure());
        let Some(span) = self.spans.front() else {
            return Err(damaged(ParquetError::General("no rows are left".to_owned())));
        };
        let Some(looked_at) = &self.looked_at else {
            return Err(damaged(ParquetError::General("no row group was looked at".to_owned())));
        };
        if span.as_bytes && self.bytes_metadata.is_none() {
            let bytes = parquet_bytes::with_bytes(self.metadata.metadata()).map_err(damaged)?;
            let metadata = ArrowReaderMetadata::try_new(Arc::new(bytes), ArrowReaderOptions::new()).map_err(damaged)?;
            let with_schema = ArrowReaderOptions::new().with_schema(Arc::new(with_views(metadata.schema())));
            let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), with_schema);
            self.bytes_metadata = Some(metadata.map_err(damaged)?);
        }
        // Pages of values among pages of keys: a dictionary of them would have to be built in memory.
        let has_keys = |leaf: usize| {
            has_keys(self.metadata.schema().field(self.metadata.parquet_schema().get_column_root_idx(leaf)).data_type())
        };
        let mut leaves = self.leaves.iter().zip(&looked_at.has_keys_only);
        let as_values = leaves.any(|(&leaf, &keys_only)| !keys_only && has_keys(leaf));
        if as_values && self.values_metadata.is_none() {
            let schema = with_views(&without_keys(self.metadata.schema()));
            let with_schema = ArrowReaderOptions::new().with_schema(Arc::new(schema));
            let metadata = ArrowReaderMetadata::try_new(Arc::clone(self.metadata.metadata()), with_schema);
            self.values_metadata = Some(metadata.map_err(damaged)?);
        }
        let values = self.values_metadata.as_ref().filter(|_| as_values);
        let bytes = self.bytes_metadata.as_ref().filter(|_| span.as_bytes);
        let metadata = bytes.or(values).unwrap_or(&self.metadata).clone();
        let handle = self.handle.try_clone();
        let handle = handle.map_err(|source| LogError::Unreadable { file: self.file.clone(), source })?;
        let group_row_count = usize::try_from(metadata.metadata().row_group(span.group).num_rows()).unwrap_or(0);
        let is_part = span.rows != (0..group_row_count);
        let selection = is_part.then(|| {
            RowSelection::from(vec![RowSelector::skip(span.rows.start), RowSelector::select(span.rows.len())])
        });
        let decoder = || parquet_pages::decoder(handle, metadata, looked_at, selection);
        unless_panic(&self.file, self.rows_before, decoder)?.map_err(damaged)
    }
}

/// A row with a cell that is too long to be copied.
fn too_long_row(target: Target) -> Decoded {
    Decoded { row_count: 1, bad_rows: vec![(0, target, RowFault::TooLong)], ..Decoded::default() }
}

/// Calls the decoder and turns a panic into an error, because the decoder panics on some kinds of damage. The decoder
/// is not used after a panic, because the error ends the reading.
fn unless_panic<T>(file: &Path, rows_before: u64, decode: impl FnOnce() -> T) -> Result<T, LogError> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|panic| {
        let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        let message = words.unwrap_or_else(|| "the decoder panicked".to_owned());
        LogError::Damaged { file: file.to_owned(), rows_before, message }
    })
}

fn encrypted(file: &Path) -> LogError {
    let remedy = "write it without encryption, to a disk that is encrypted if it must be";
    LogError::Unsupported { file: file.to_owned(), found: "encrypted Parquet".to_owned(), remedy }
}

/// Fails if a decoded column has a codec that cannot be read.
fn check_codecs(file: &Path, metadata: &ArrowReaderMetadata, columns: &[usize]) -> Result<(), LogError> {
    let names = metadata.schema().fields();
    for chunk in metadata.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        let root = chunk.column_path().parts().first();
        let is_decoded = columns.iter().any(|&index| Some(names[index].name()) == root);
        if is_decoded && matches!(chunk.compression_codec(), CompressionCodec::LZO) {
            let remedy = "write it with zstd, snappy, gzip, lz4 or brotli";
            return Err(LogError::Unsupported { file: file.to_owned(), found: "the codec lzo".to_owned(), remedy });
        }
    }
    Ok(())
}

/// `failed` is the failure of the service that a decoder passed on as a text.
fn parquet_failure(file: &Path, rows_before: u64, error: ParquetError, failed: Option<io::Error>) -> LogError {
    if let Some(source) = failed {
        return LogError::Unreadable { file: file.to_owned(), source };
    }
    match error {
        ParquetError::External(cause) if cause.is::<io::Error>() => match cause.downcast::<io::Error>() {
            Ok(error) => read_failure(file, rows_before, *error),
            Err(cause) => LogError::Damaged { file: file.to_owned(), rows_before, message: cause.to_string() },
        },
        other => LogError::Damaged { file: file.to_owned(), rows_before, message: other.to_string() },
    }
}

fn arrow_failure(file: &Path, rows_before: u64, error: ArrowError) -> LogError {
    match error {
        ArrowError::IoError(_, error) => read_failure(file, rows_before, error),
        other => LogError::Damaged { file: file.to_owned(), rows_before, message: other.to_string() },
    }
}
