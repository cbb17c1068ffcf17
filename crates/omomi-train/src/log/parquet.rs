//! Reads Parquet files. Decodes only the wanted columns, at most [`MAX_DECODED_ROW_COUNT`] rows at a time, and appends
//! them to the batch column by column.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use super::builder::{
    BatchBuilder, ColumnBuilder, EXPECTED_IMPORTANCE, EXPECTED_LABEL, expected_cell, is_importance, offset,
};
use super::error::{BadRow, BadRows, RowFault, excerpt};
use super::files::read_failure;
use super::notation::{float_id, number_of, text_id};
use super::parquet_dictionary::{DistinctTexts, with_dictionaries};
use super::parquet_nested::{Nested, inner_array, leaves, with_nested};
use super::parquet_schema::{check_type, simplified, with_microseconds};
use super::time::{EXPECTED_TIME, TimeReader};
use super::wanted::{Target, Wanted};
use super::{LogError, LogFile};
use omomi::contract::{FieldKind, NumberFormat};
use omomi::feature;

/// Most rows that are decoded at a time, even if a batch is larger. This bounds the memory.
const MAX_DECODED_ROW_COUNT: usize = 8_192;

pub(super) struct ParquetReader {
    file: PathBuf,
    reader: ParquetRecordBatchReader,
    places: Vec<Place>,
    row_count: u64,
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
    pub(super) fn open(file: &LogFile, wanted: &Wanted, row_count_limit: usize) -> Result<Self, LogError> {
        let path = &file.path;
        let handle = File::open(path).map_err(|source| LogError::Unreadable { file: path.clone(), source })?;
        let damaged = |error| parquet_failure(path, 0, error);
        let metadata = unless_panic(path, 0, || ArrowReaderMetadata::load(&handle, ArrowReaderOptions::new()))?;
        let metadata = metadata.map_err(damaged)?;
        let nested = Nested::find(metadata.schema(), wanted);
        let mut names: Vec<String> = metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
        names.extend(nested.iter().map(|nested| nested.name.clone()));
        let root_count = metadata.schema().fields().len();
        // A nested column comes after the columns of the file, at a place of its own.
        let (nested_places, places): (Vec<_>, Vec<_>) =
            wanted.locate(path, &names)?.into_iter().partition(|&(index, _)| index >= root_count);
        let nested_places: Vec<(&Nested, Target)> =
            nested_places.into_iter().map(|(index, target)| (&nested[index - root_count], target)).collect();
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
        let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).map_err(damaged)?;
        let row_count = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
        let roots: Vec<usize> = places.iter().map(|&(index, _)| index).collect();
        let nested_leaves: Vec<&[String]> = nested_places.iter().map(|(nested, _)| nested.path.as_slice()).collect();
        let leaves = leaves(metadata.parquet_schema(), &roots, &nested_leaves);
        let projection = ProjectionMask::leaves(metadata.parquet_schema(), leaves);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, metadata)
            .with_projection(projection)
            .with_batch_size(row_count_limit.min(MAX_DECODED_ROW_COUNT))
            .build()
            .map_err(damaged)?;
        // The decoded columns are in the order of the file. A column that is wanted twice is decoded once.
        let mut columns: Vec<usize> = roots;
        columns.extend(nested_places.iter().map(|(nested, _)| nested.root));
        columns.sort_unstable();
        columns.dedup();
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
        Ok(Self { file: path.clone(), reader, places, row_count, rows_before: 0, decoded: Decoded::default() })
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
            batch.finish_rows();
            decoded.next_row = end;
        }
        Ok(true)
    }

    /// Decodes the next rows. Returns false at the end of the file.
    fn decode(&mut self, wanted: &Wanted, batch: &mut BatchBuilder) -> Result<bool, LogError> {
        self.rows_before += self.decoded.row_count as u64;
        self.decoded = Decoded::default();
        let Some(rows) = unless_panic(&self.file, self.rows_before, || self.reader.next())? else {
            if self.rows_before != self.row_count {
                let message = format!("expected {} rows according to the footer, found fewer", self.row_count);
                return Err(LogError::Damaged { file: self.file.clone(), rows_before: self.rows_before, message });
            }
            return Ok(false);
        };
        let damaged = |error: ArrowError| arrow_failure(&self.file, self.rows_before, error);
        self.decoded = Decoded::new(&rows.map_err(damaged)?, &self.places, wanted, batch).map_err(damaged)?;
        Ok(true)
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
            let cells = decoded.decode(place.target, &array, wanted, batch)?;
            decoded.columns.push((place.target, cells));
        }
        // If a row has several faults, only the one in the first column is reported. The sort is stable.
        decoded.bad_rows.sort_by_key(|(row, ..)| *row);
        decoded.bad_rows.dedup_by_key(|(row, ..)| *row);
        Ok(decoded)
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

fn index_range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
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

fn parquet_failure(file: &Path, rows_before: u64, error: ParquetError) -> LogError {
    match error {
        ParquetError::External(cause) if cause.is::<std::io::Error>() => match cause.downcast::<std::io::Error>() {
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
