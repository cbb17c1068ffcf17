//! Reads Parquet files. Decodes only the wanted columns, at most [`MAX_DECODED_ROW_COUNT`] rows at a time, and appends
//! them to the batch column by column.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field as ArrowField, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::basic::CompressionCodec;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::builder::{
    BatchBuilder, ColumnBuilder, EXPECTED_IMPORTANCE, EXPECTED_LABEL, expected_cell, is_importance, offset,
};
use super::csv_records::MAX_RECORD_LEN;
use super::error::{BadRow, BadRows, RowFault, excerpt};
use super::files::read_failure;
use super::notation::{float_id, number_of, text_id};
use super::parquet_bytes::with_bytes;
use super::parquet_dictionary::{DistinctTexts, with_dictionaries};
use super::parquet_nested::{Nested, inner_array, leaves, with_nested};
use super::parquet_pages::{is_encrypted, long_pages};
use super::parquet_schema::{check_type, simplified, with_microseconds};
use super::partitions::Partitions;
use super::time::{EXPECTED_TIME, TimeReader};
use super::wanted_columns::{Target, Wanted};
use super::{LogError, LogFile, ReadOptions};
use omomi::contract::{FieldKind, NumberFormat};
use omomi::feature;

/// Most rows that are decoded at a time, even if a batch is larger. This bounds the memory.
const MAX_DECODED_ROW_COUNT: usize = 8_192;

pub(super) struct ParquetReader {
    file: PathBuf,
    handle: File,
    metadata: ArrowReaderMetadata,
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
    reader: Option<ParquetRecordBatchReader>,
    /// How many rows were decoded before those in `decoded`.
    rows_before: u64,
    decoded: Decoded,
}

/// A wanted column among the decoded ones.
struct Place {
    /// Index of the decoded column.
    column: usize,
    /// Names that lead from the decoded column into nested records; empty for the column itself.
    inner: Vec<String>,
    target: Target,
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

/// Some decoded rows. Each column has one of the few array types in [`Values`].
#[derive(Default)]
struct Decoded {
    columns: Vec<(Target, Cells)>,
    row_count: usize,
    next_row: usize,
    /// The bad rows, in order, each listed once.
    bad_rows: Vec<(usize, Target, RowFault)>,
    next_bad_row: usize,
}

/// The values of a column and, if the field is `many`, the lists that contain them.
struct Cells {
    lists: Option<ListArray>,
    values: Values,
}

enum Values {
    Ids(Int64Array),
    Texts(StringArray),
    /// Texts as keys of a dictionary.
    Keys {
        keys: Int32Array,
        dictionary: StringArray,
        distinct: DistinctTexts,
    },
    Numbers(Float64Array),
    Labels(Float64Array),
    Times(Int64Array),
    Importances(Float64Array),
}

impl ParquetReader {
    /// Opens a file. Returns `None` if it has no rows.
    pub(super) fn open(file: &LogFile, wanted: &Wanted, options: &ReadOptions) -> Result<Option<Self>, LogError> {
        let path = &file.path;
        let unreadable = |source| LogError::Unreadable { file: path.clone(), source };
        let handle = File::open(path).map_err(unreadable)?;
        if handle.metadata().map_err(unreadable)?.len() == 0 {
            return Ok(None);
        }
        if is_encrypted(&handle).map_err(unreadable)? {
            return Err(encrypted(path));
        }
        let damaged = |error| parquet_failure(path, 0, error);
        let metadata = unless_panic(path, 0, || ArrowReaderMetadata::load(&handle, ArrowReaderOptions::new()))?;
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
        let located = wanted.locate(path, &names, |column, target| partitions.take(column, target))?;
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
        let schema = with_microseconds(schema, metadata.parquet_schema());
        for &(index, target) in &places {
            check_type(path, wanted, target, schema.field(index).data_type())?;
        }
        let schema = with_dictionaries(schema, metadata.metadata(), &places, wanted);
        let schema = with_nested(schema, &nested_places, wanted);
        for (nested, target) in &nested_places {
            check_type(path, wanted, *target, nested.data_type(&schema))?;
        }
        let with_schema = ArrowReaderOptions::new().with_schema(Arc::new(schema));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), with_schema).map_err(damaged)?;
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
        Ok(Some(Self {
            file: path.clone(),
            handle,
            metadata,
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
            reader: None,
            rows_before: 0,
            decoded: Decoded::default(),
        }))
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
            batch.finish_rows();
            decoded.next_row = end;
        }
        Ok(true)
    }

    /// Decodes the next rows. Returns false at the end of the file.
    fn decode(&mut self, wanted: &Wanted, batch: &mut BatchBuilder) -> Result<bool, LogError> {
        self.rows_before += self.decoded.row_count as u64;
        self.decoded = Decoded::default();
        loop {
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
                self.decoded.row_count = 1;
                self.decoded.bad_rows.push((0, target, RowFault::TooLong));
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
                    let damaged = |error: ArrowError| arrow_failure(&self.file, self.rows_before, error);
                    self.decoded = Decoded::new(&rows, &self.places, wanted, batch).map_err(damaged)?;
                    return Ok(true);
                }
                Some(Err(error)) => match self.spans.front_mut() {
                    // Texts that are not UTF-8 fail like damage. If it is damage, the next attempt fails too.
                    Some(span) if !span.as_bytes && self.rows_before < self.row_count => span.as_bytes = true,
                    _ => return Err(arrow_failure(&self.file, self.rows_before, error)),
                },
            }
        }
    }

    /// Divides the next row group into spans. Returns false if there is none.
    fn plan_next_group(&mut self) -> Result<bool, LogError> {
        let metadata = Arc::clone(self.metadata.metadata());
        let Some(group) = metadata.row_groups().get(self.next_group) else { return Ok(false) };
        let row_count = usize::try_from(group.num_rows()).unwrap_or(0);
        let too_long = self.too_long_rows(group)?;
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
    fn too_long_rows(&self, group: &RowGroupMetaData) -> Result<BTreeMap<usize, Target>, LogError> {
        let mut rows = BTreeMap::new();
        for chunk in group.columns() {
            let column = chunk.column_descr();
            let root = self.metadata.parquet_schema().get_column_root(self.leaf_index(group, chunk)).name().to_owned();
            let index = self.metadata.schema().fields().iter().position(|field| *field.name() == root);
            let place = index.and_then(|index| self.columns.iter().position(|&column| column == index));
            let Some(Place { target, .. }) = self.places.iter().find(|found| Some(found.column) == place) else {
                continue;
            };
            let pages = long_pages(&self.handle, chunk);
            let pages = pages.map_err(|source| LogError::Unreadable { file: self.file.clone(), source })?;
            for page in pages {
                let row = usize::try_from(page.values_before).unwrap_or(usize::MAX);
                if page.is_one_value && column.max_rep_level() == 0 {
                    rows.entry(row).or_insert(*target);
                    continue;
                }
                let found = format!(
                    "after row {}: column `{root}` with a page of {} MiB",
                    self.rows_before,
                    page.len_bytes >> 20
                );
                let remedy = "expected pages of at most 256 MiB and cells of at most 16 MiB; write smaller pages";
                return Err(LogError::Unsupported { file: self.file.clone(), found, remedy });
            }
        }
        Ok(rows)
    }

    /// Returns the index of a column chunk in its row group.
    fn leaf_index(&self, group: &RowGroupMetaData, chunk: &ColumnChunkMetaData) -> usize {
        group.columns().iter().position(|other| std::ptr::eq(other, chunk)).unwrap_or(0)
    }

    /// Opens a decoder for the first span.
    fn open_span(&mut self) -> Result<ParquetRecordBatchReader, LogError> {
        let damaged = |error| parquet_failure(&self.file, self.rows_before, error);
        let Some(span) = self.spans.front() else {
            return Err(damaged(ParquetError::General("no rows are left".to_owned())));
        };
        if span.as_bytes && self.bytes_metadata.is_none() {
            let bytes = with_bytes(self.metadata.metadata()).map_err(damaged)?;
            let metadata = ArrowReaderMetadata::try_new(Arc::new(bytes), ArrowReaderOptions::new()).map_err(damaged)?;
            let schema = with_microseconds(metadata.schema().as_ref().clone(), metadata.parquet_schema());
            let with_schema = ArrowReaderOptions::new().with_schema(Arc::new(schema));
            let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), with_schema);
            self.bytes_metadata = Some(metadata.map_err(damaged)?);
        }
        let metadata = self.bytes_metadata.as_ref().filter(|_| span.as_bytes).unwrap_or(&self.metadata).clone();
        let handle = self.handle.try_clone();
        let handle = handle.map_err(|source| LogError::Unreadable { file: self.file.clone(), source })?;
        let group_row_count = usize::try_from(metadata.metadata().row_group(span.group).num_rows()).unwrap_or(0);
        let projection = ProjectionMask::leaves(metadata.parquet_schema(), self.leaves.iter().copied());
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, metadata)
            .with_projection(projection)
            .with_row_groups(vec![span.group])
            .with_batch_size(self.batch_row_count);
        if span.rows != (0..group_row_count) {
            let selectors = vec![RowSelector::skip(span.rows.start), RowSelector::select(span.rows.len())];
            builder = builder.with_row_selection(RowSelection::from(selectors));
        }
        unless_panic(&self.file, self.rows_before, || builder.build())?.map_err(damaged)
    }
}

impl Decoded {
    fn new(
        rows: &RecordBatch,
        places: &[Place],
        wanted: &Wanted,
        batch: &mut BatchBuilder,
    ) -> Result<Self, ArrowError> {
        let mut decoded = Self { row_count: rows.num_rows(), ..Self::default() };
        for place in places {
            let array = inner_array(rows.column(place.column), &place.inner)?;
            let array = decoded.with_texts(place.target, &array)?;
            let cells = decoded.decode(place.target, &array, wanted, batch)?;
            decoded.note_too_long(place.target, &cells);
            decoded.columns.push((place.target, cells));
        }
        // If a row has several faults, only the one in the first column is reported. The sort is stable.
        decoded.bad_rows.sort_by_key(|(row, ..)| *row);
        decoded.bad_rows.dedup_by_key(|(row, ..)| *row);
        Ok(decoded)
    }

    /// Turns bytes, and lists of bytes, into texts. Notes the rows with bytes that are not UTF-8.
    fn with_texts(&mut self, target: Target, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match array.data_type() {
            DataType::Binary => {
                let texts = cast_to(array, &DataType::Utf8)?;
                let bad = (0..array.len()).filter(|&row| array.is_valid(row) && texts.is_null(row));
                self.bad_rows.extend(bad.map(|row| (row, target, RowFault::NotUtf8)));
                Ok(texts)
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                let item = Arc::new(ArrowField::new("item", lists.value_type(), true));
                self.with_texts(target, &cast_to(array, &DataType::List(item))?)
            }
            DataType::List(item) if *item.data_type() == DataType::Binary => {
                let lists = array.as_list::<i32>();
                let texts = cast_to(lists.values(), &DataType::Utf8)?;
                for row in (0..lists.len()).filter(|&row| lists.is_valid(row)) {
                    let mut range = index_range(lists.value_offsets(), row);
                    if range.any(|index| lists.values().is_valid(index) && texts.is_null(index)) {
                        self.bad_rows.push((row, target, RowFault::NotUtf8));
                    }
                }
                let item = Arc::new(ArrowField::new("item", DataType::Utf8, true));
                let nulls = lists.nulls().cloned();
                Ok(Arc::new(ListArray::try_new(item, lists.offsets().clone(), texts, nulls)?))
            }
            _ => Ok(Arc::clone(array)),
        }
    }

    /// Notes the rows with a text above the limit.
    fn note_too_long(&mut self, target: Target, cells: &Cells) {
        let texts = match &cells.values {
            Values::Texts(texts) => texts,
            Values::Keys { dictionary, .. } => dictionary,
            _ => return,
        };
        if texts.value_data().len() <= MAX_RECORD_LEN {
            return;
        }
        let is_too_long = |index: usize| match &cells.values {
            Values::Keys { keys, dictionary, .. } => {
                let key = usize::try_from(keys.value(index)).unwrap_or(0);
                keys.is_valid(index) && dictionary.value(key).len() > MAX_RECORD_LEN
            }
            _ => texts.value(index).len() > MAX_RECORD_LEN,
        };
        for row in 0..self.row_count {
            let mut range = match &cells.lists {
                Some(lists) if lists.is_null(row) => continue,
                Some(lists) => index_range(lists.value_offsets(), row),
                None => row..row + 1,
            };
            if range.any(is_too_long) {
                self.bad_rows.push((row, target, RowFault::TooLong));
            }
        }
    }

    fn decode(
        &mut self,
        target: Target,
        array: &ArrayRef,
        wanted: &Wanted,
        batch: &mut BatchBuilder,
    ) -> Result<Cells, ArrowError> {
        let mut lists = None;
        let values = match target {
            Target::Field(index) => {
                let field = &wanted.fields()[index];
                lists = field.many.then(|| array.as_list::<i32>().clone());
                let array = lists.as_ref().map_or(array, ListArray::values);
                match &field.kind {
                    FieldKind::Id => {
                        let array = without_missing(array, &batch.columns[index])?;
                        let ids = decode_ids(&array)?;
                        let expected = expected_cell(&field.kind);
                        self.note_lost(target, lists.as_ref(), &array, &ids, expected)?;
                        Values::Ids(ids)
                    }
                    FieldKind::Text => decode_categories(array)?,
                    FieldKind::Number { .. } => {
                        let array = without_missing(array, &batch.columns[index])?;
                        let numbers = decode_numbers(&array, wanted.reading().number_format)?;
                        self.note_lost(target, lists.as_ref(), &array, &numbers, expected_cell(&field.kind))?;
                        Values::Numbers(numbers)
                    }
                }
            }
            Target::Label => Values::Labels(self.decode_labels(array, batch)?),
            Target::Time => {
                let times = self.decode_times(array, &mut batch.times)?;
                for row in (0..times.len()).filter(|&row| array.is_null(row)) {
                    self.bad_rows.push((row, target, RowFault::Missing { expected: EXPECTED_TIME }));
                }
                Values::Times(times)
            }
            Target::Importance => {
                let importances = cast_to(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone();
                self.note_bad_importances(&importances);
                Values::Importances(importances)
            }
            Target::Extra(_) => Values::Texts(decode_texts(array)?),
        };
        Ok(Cells { lists, values })
    }

    fn decode_labels(&mut self, array: &ArrayRef, batch: &BatchBuilder) -> Result<Float64Array, ArrowError> {
        if *array.data_type() != DataType::Utf8 {
            let labels = cast_to(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone();
            self.note_bad_labels(&labels);
            return Ok(labels);
        }
        let mut labels = Vec::with_capacity(array.len());
        for (row, text) in array.as_string::<i32>().iter().enumerate() {
            let clicked = text.and_then(|text| batch.label_texts.clicked(text));
            if clicked.is_none() {
                let fault = match text {
                    Some(text) => RowFault::Label { found: excerpt(text) },
                    None => RowFault::Missing { expected: EXPECTED_LABEL },
                };
                self.bad_rows.push((row, Target::Label, fault));
            }
            labels.push(f64::from(u8::from(clicked == Some(true))));
        }
        Ok(labels.into())
    }

    /// Decodes a column of times. Notes the rows whose time cannot be read or is implausible.
    fn decode_times(&mut self, array: &ArrayRef, times: &mut TimeReader) -> Result<Int64Array, ArrowError> {
        match array.data_type() {
            DataType::Utf8 => Ok(array
                .as_string::<i32>()
                .iter()
                .enumerate()
                .map(|(row, text)| self.good_time(row, times.text(text?)))
                .collect()),
            DataType::Timestamp(_, zone) => {
                let instants = cast_to(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
                self.note_lost(Target::Time, None, array, &instants, EXPECTED_TIME)?;
                let instants = instants.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>();
                for row in (0..instants.len()).filter(|&row| instants.is_valid(row)) {
                    if let Err(fault) = times.instant(instants.value(row)) {
                        self.bad_rows.push((row, Target::Time, fault));
                    }
                }
                Ok(instants)
            }
            _ => {
                let numbers = cast_to(array, &DataType::Int64)?;
                self.note_lost(Target::Time, None, array, &numbers, EXPECTED_TIME)?;
                Ok(numbers
                    .as_primitive::<Int64Type>()
                    .iter()
                    .enumerate()
                    .map(|(row, number)| self.good_time(row, times.integer(number?)))
                    .collect())
            }
        }
    }

    /// Returns a time, or notes that its row is bad.
    fn good_time(&mut self, row: usize, time: Result<i64, RowFault>) -> Option<i64> {
        time.map_err(|fault| self.bad_rows.push((row, Target::Time, fault))).ok()
    }

    /// Notes the rows whose label is neither 0 nor 1.
    fn note_bad_labels(&mut self, labels: &Float64Array) {
        for (row, label) in labels.iter().enumerate() {
            let fault = match label {
                #[expect(clippy::float_cmp, reason = "a label is exactly 0 or exactly 1")]
                Some(label) if label == 0.0 || label == 1.0 => continue,
                Some(label) => RowFault::Label { found: label.to_string() },
                None => RowFault::Missing { expected: EXPECTED_LABEL },
            };
            self.bad_rows.push((row, Target::Label, fault));
        }
    }

    /// Notes the rows that have no importance or an invalid one.
    fn note_bad_importances(&mut self, importances: &Float64Array) {
        let expected = EXPECTED_IMPORTANCE;
        for (row, importance) in importances.iter().enumerate() {
            let fault = match importance {
                Some(importance) if is_importance(importance) => continue,
                Some(importance) => RowFault::Cell { expected, found: format!("{importance:?}") },
                None => RowFault::Missing { expected },
            };
            self.bad_rows.push((row, Target::Importance, fault));
        }
    }

    /// Notes the rows with a value in `array` that became null in `cast`, because it does not fit the narrower type.
    fn note_lost(
        &mut self,
        target: Target,
        lists: Option<&ListArray>,
        array: &ArrayRef,
        cast: &dyn Array,
        expected: &'static str,
    ) -> Result<(), ArrowError> {
        if array.logical_null_count() == cast.null_count() {
            return Ok(());
        }
        let texts = cast_to(array, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        for row in 0..self.row_count {
            let range = match lists {
                Some(lists) if lists.is_null(row) => continue,
                Some(lists) => index_range(lists.value_offsets(), row),
                None => row..row + 1,
            };
            let lost = range.into_iter().find(|&index| array.is_valid(index) && cast.is_null(index));
            if let Some(index) = lost {
                let found = excerpt(texts.value(index));
                self.bad_rows.push((row, target, RowFault::Cell { expected, found }));
            }
        }
        Ok(())
    }
}

impl Cells {
    /// Appends the rows `start..end`, none of which is bad.
    fn append(&mut self, target: Target, start: usize, end: usize, batch: &mut BatchBuilder) {
        let batch_count = batch.batch_count;
        let column = match (&self.values, target) {
            (Values::Labels(labels), _) => {
                batch.clicked.extend(labels.values()[start..end].iter().map(|&label| label != 0.0));
                return;
            }
            (Values::Times(times), _) => {
                if let Some(time_us) = &mut batch.time_us {
                    time_us.extend_from_slice(&times.values()[start..end]);
                }
                return;
            }
            (Values::Importances(importances), _) => {
                if let Some(importance) = &mut batch.importance {
                    importance.extend_from_slice(&importances.values()[start..end]);
                }
                return;
            }
            (Values::Texts(texts), Target::Extra(index)) => {
                let column = &mut batch.extra[index];
                for row in start..end {
                    if texts.is_valid(row) {
                        column.push(texts.value(row));
                    }
                    column.finish_row();
                }
                return;
            }
            (_, Target::Field(index)) => &mut batch.columns[index],
            (_, Target::Label | Target::Time | Target::Importance | Target::Extra(_)) => return,
        };
        if let Values::Keys { keys, dictionary, distinct } = &mut self.values {
            distinct.begin(batch_count, dictionary.len());
            column.say_places();
            append_each(self.lists.as_ref(), column, start, end, |column, index| {
                if keys.is_valid(index) {
                    // Arrow checks that the keys of valid values are within the dictionary.
                    column.push_key(usize::try_from(keys.value(index)).unwrap_or(0), dictionary, distinct);
                }
            });
            return;
        }
        match &self.values {
            Values::Ids(ids) if self.lists.is_none() && ids.null_count() == 0 => {
                append_ids(column, &ids.values()[start..end])
            }
            Values::Ids(ids) => self.append_each(column, start, end, |column, index| {
                if ids.is_valid(index) {
                    column.push_id(ids.value(index));
                }
            }),
            Values::Texts(texts)
                if self.lists.is_none() && texts.null_count() == 0 && !column.rules.changes_texts() =>
            {
                append_texts(column, texts, start, end);
            }
            Values::Texts(texts) => self.append_each(column, start, end, |column, index| {
                if texts.is_valid(index) {
                    column.push_text(texts.value(index));
                }
            }),
            Values::Numbers(numbers) => self.append_each(column, start, end, |column, index| {
                if numbers.is_valid(index) {
                    column.push_number(numbers.value(index));
                }
            }),
            Values::Labels(_) | Values::Times(_) | Values::Importances(_) | Values::Keys { .. } => {}
        }
    }

    fn append_each(
        &self,
        column: &mut ColumnBuilder,
        start: usize,
        end: usize,
        push: impl FnMut(&mut ColumnBuilder, usize),
    ) {
        append_each(self.lists.as_ref(), column, start, end, push);
    }
}

/// Appends rows: each with its one value or, if there are lists, with the values of its list.
fn append_each(
    lists: Option<&ListArray>,
    column: &mut ColumnBuilder,
    start: usize,
    end: usize,
    mut push: impl FnMut(&mut ColumnBuilder, usize),
) {
    for row in start..end {
        match lists {
            None => push(column, row),
            Some(lists) if lists.is_valid(row) => {
                index_range(lists.value_offsets(), row).for_each(|index| push(column, index));
            }
            Some(_) => {}
        }
        column.finish_row();
    }
}

/// Appends ids, none of which is missing.
fn append_ids(column: &mut ColumnBuilder, ids: &[i64]) {
    let column = &mut column.column;
    let first = offset(column.values.len()) + 1;
    column.values.extend(ids.iter().map(|&id| feature::id_value(id)));
    column.offsets.extend(first..=offset(column.values.len()));
}

/// Appends texts, none of which is missing.
fn append_texts(column: &mut ColumnBuilder, texts: &StringArray, start: usize, end: usize) {
    let first = offset(column.column.values.len()) + 1;
    for index in start..end {
        column.push_text(texts.value(index));
    }
    let column = &mut column.column;
    column.offsets.extend(first..=offset(column.values.len()));
}

fn index_range(offsets: &[i32], row: usize) -> Range<usize> {
    // Arrow's offsets are never negative.
    let index = |offset: i32| usize::try_from(offset).unwrap_or(0);
    index(offsets[row])..index(offsets[row + 1])
}

/// Casts an array. A value that does not fit the new type becomes null.
fn cast_to(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    cast_with_options(array, to, &CastOptions { safe: true, ..CastOptions::default() })
}

/// Decodes the texts of a field: as dictionary keys if the file has a dictionary, otherwise as plain texts.
fn decode_categories(array: &ArrayRef) -> Result<Values, ArrowError> {
    let Some(array) = array.as_dictionary_opt::<Int32Type>() else {
        return Ok(Values::Texts(cast_to(array, &DataType::Utf8)?.as_string::<i32>().clone()));
    };
    let dictionary = cast_to(array.values(), &DataType::Utf8)?.as_string::<i32>().clone();
    Ok(Values::Keys { keys: array.keys().clone(), dictionary, distinct: DistinctTexts::default() })
}

/// Converts single values of any type to text. A time with a time zone becomes text in UTC, because that needs no
/// database of time zones.
fn decode_texts(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let instants = match array.data_type() {
        DataType::Timestamp(unit, Some(_)) => cast_to(array, &DataType::Timestamp(*unit, Some("+00:00".into())))?,
        _ => Arc::clone(array),
    };
    Ok(cast_to(&instants, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Replaces the texts that mean a missing value with null. Other types are returned as they are.
fn without_missing(array: &ArrayRef, column: &ColumnBuilder) -> Result<ArrayRef, ArrowError> {
    if *array.data_type() != DataType::Utf8 || !column.rules.changes_texts() {
        return Ok(Arc::clone(array));
    }
    let texts = array.as_string::<i32>().iter().map(|text| text.filter(|text| !column.rules.is_missing(text)));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// Decodes ids from integers, and from floats and texts where they are exact. A value that is no id becomes null.
fn decode_ids(array: &ArrayRef) -> Result<Int64Array, ArrowError> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(|text| text.and_then(text_id)).collect(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let numbers = cast_to(array, &DataType::Float64)?;
            numbers.as_primitive::<Float64Type>().iter().map(|number| number.and_then(float_id)).collect()
        }
        _ => cast_to(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
    })
}

/// Decodes numbers. A text that is no number becomes null.
fn decode_numbers(array: &ArrayRef, format: NumberFormat) -> Result<Float64Array, ArrowError> {
    if *array.data_type() == DataType::Utf8 {
        let number = |text: Option<&str>| text.and_then(|text| number_of(text, format));
        return Ok(array.as_string::<i32>().iter().map(number).collect());
    }
    Ok(cast_to(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
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

fn parquet_failure(file: &Path, rows_before: u64, error: ParquetError) -> LogError {
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
