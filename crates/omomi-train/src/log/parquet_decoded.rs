//! Decodes the columns of Parquet rows: from the many types that writers use to the few that a batch has.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::date32_to_datetime;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field as ArrowField, TimeUnit as ArrowUnit};

use super::builder::{
    BatchBuilder, ColumnBuilder, EXPECTED_IMPORTANCE, EXPECTED_KEY, EXPECTED_LABEL, expected_cell, is_importance,
    offset,
};
use super::csv_records::MAX_RECORD_LEN;
use super::error::{RowFault, excerpt};
use super::notation::{float_id, number_of, text_id, unsigned_id};
use super::parquet_bytes::{INT96_LEN, int96_us};
use super::parquet_dictionary::DistinctTexts;
use super::time::{EXPECTED_TIME, TimeReader};
use super::wanted_columns::{Target, Wanted};
use omomi::contract::{FieldKind, NumberFormat, TimeUnit};
use omomi::feature;

/// A wanted column among the decoded ones.
pub(super) struct Place {
    /// Index of the decoded column.
    pub(super) column: usize,
    /// Names that lead from the decoded column into nested records; empty for the column itself.
    pub(super) inner: Vec<String>,
    pub(super) target: Target,
}

/// Some decoded rows. Each column has one of the few array types in [`Values`].
#[derive(Default)]
pub(super) struct Decoded {
    pub(super) columns: Vec<(Target, Cells)>,
    pub(super) row_count: usize,
    pub(super) next_row: usize,
    /// The bad rows, in order, each listed once.
    pub(super) bad_rows: Vec<(usize, Target, RowFault)>,
    pub(super) next_bad_row: usize,
}

/// The values of a column and, if the field is `many`, the lists that contain them.
pub(super) struct Cells {
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
    FeatureKeys(UInt64Array),
    Labels(Float64Array),
    Times(Int64Array),
    Importances(Float64Array),
}

impl Decoded {
    /// Decodes `row_count` rows; `arrays` has one array for each place.
    pub(super) fn new(
        arrays: &[ArrayRef],
        row_count: usize,
        places: &[Place],
        wanted: &Wanted,
        batch: &mut BatchBuilder,
    ) -> Result<Self, ArrowError> {
        let mut decoded = Self { row_count, ..Self::default() };
        for (place, array) in places.iter().zip(arrays) {
            let array = decoded.without_bytes(place.target, array)?;
            let cells = decoded.decode(place.target, &array, wanted, batch)?;
            decoded.note_too_long(place.target, &cells);
            decoded.columns.push((place.target, cells));
        }
        // If a row has several faults, only the one in the first column is reported. The sort is stable.
        decoded.bad_rows.sort_by_key(|(row, ..)| *row);
        decoded.bad_rows.dedup_by_key(|(row, ..)| *row);
        Ok(decoded)
    }

    /// Turns bytes, and lists of bytes, into texts, and INT96 into times. Notes the rows with bytes that are not UTF-8,
    /// and with times that are too far away.
    fn without_bytes(&mut self, target: Target, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match array.data_type() {
            DataType::Binary => {
                let texts = cast_to(array, &DataType::Utf8)?;
                let bad = (0..array.len()).filter(|&row| array.is_valid(row) && texts.is_null(row));
                self.bad_rows.extend(bad.map(|row| (row, target, RowFault::NotUtf8)));
                Ok(texts)
            }
            DataType::FixedSizeBinary(INT96_LEN) => {
                let time_us = |(row, bytes): (usize, Option<&[u8]>)| {
                    let time_us = int96_us(bytes?.try_into().ok()?);
                    let fault =
                        |day| RowFault::Cell { expected: EXPECTED_TIME, found: excerpt(&format!("Julian day {day}")) };
                    time_us.map_err(|day| self.bad_rows.push((row, target, fault(day)))).ok()
                };
                let instants = array.as_fixed_size_binary().iter().enumerate().map(time_us);
                Ok(Arc::new(instants.collect::<TimestampMicrosecondArray>()))
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                let item = Arc::new(ArrowField::new("item", lists.value_type(), true));
                self.without_bytes(target, &cast_to(array, &DataType::List(item))?)
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
                        let rules = &batch.columns[index].rules;
                        if rules.has_missing_numbers() {
                            let present = |id: Option<i64>| id.filter(|&id| !rules.is_missing_id(id));
                            Values::Ids(ids.iter().map(present).collect())
                        } else {
                            Values::Ids(ids)
                        }
                    }
                    FieldKind::Text if *array.data_type() == DataType::Date32 => {
                        let texts = date_texts(array);
                        self.note_lost(target, lists.as_ref(), array, &texts, "a date that a calendar has")?;
                        Values::Texts(texts)
                    }
                    FieldKind::Text => decode_categories(array)?,
                    FieldKind::Number { .. } => {
                        let array = without_missing(array, &batch.columns[index])?;
                        let numbers = decode_numbers(&array, wanted.reading().number_format)?;
                        self.note_lost(target, lists.as_ref(), &array, &numbers, expected_cell(&field.kind))?;
                        let rules = &batch.columns[index].rules;
                        if rules.has_missing_numbers() {
                            let present = |number: Option<f64>| number.filter(|&it| !rules.is_missing_number(it));
                            Values::Numbers(numbers.iter().map(present).collect())
                        } else {
                            Values::Numbers(numbers)
                        }
                    }
                }
            }
            Target::Keys(index) => {
                let field = &wanted.fields()[index];
                lists = field.many.then(|| array.as_list::<i32>().clone());
                let array = lists.as_ref().map_or(array, ListArray::values);
                let keys = cast_to(array, &DataType::UInt64)?.as_primitive::<UInt64Type>().clone();
                self.note_bad_keys(target, &keys, &batch.columns[index]);
                Values::FeatureKeys(keys)
            }
            Target::Label => Values::Labels(self.decode_labels(array, batch)?),
            Target::Time => {
                let times = self.decode_times(array, &mut batch.times)?;
                // An INT96 that is too far away is null here, and noted before.
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

    /// Notes the rows with a key that no category of the field has. Lists have none of these.
    fn note_bad_keys(&mut self, target: Target, keys: &UInt64Array, column: &ColumnBuilder) {
        if column.many {
            return;
        }
        for (row, key) in keys.iter().enumerate() {
            if let Some(key) = key
                && column.value_of_key(key).is_none()
            {
                let found = excerpt(&key.to_string());
                self.bad_rows.push((row, target, RowFault::Cell { expected: EXPECTED_KEY, found }));
            }
        }
    }

    fn decode_labels(&mut self, array: &ArrayRef, batch: &BatchBuilder) -> Result<Float64Array, ArrowError> {
        let as_texts;
        let mut array = array;
        if batch.label_texts.has_own() && *array.data_type() != DataType::Boolean {
            as_texts = cast_to(array, &DataType::Utf8)?;
            array = &as_texts;
        }
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
            data_type if data_type.is_decimal() => self.decode_times(&cast_to(array, &DataType::Utf8)?, times),
            DataType::Float64 => Ok(array
                .as_primitive::<Float64Type>()
                .iter()
                .enumerate()
                .map(|(row, number)| self.good_time(row, times.float(number?)))
                .collect()),
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
                let unit = match array.data_type() {
                    DataType::Timestamp(ArrowUnit::Second, _) => TimeUnit::Seconds,
                    DataType::Timestamp(ArrowUnit::Millisecond, _) | DataType::Date64 => TimeUnit::Milliseconds,
                    DataType::Timestamp(ArrowUnit::Nanosecond, _) => TimeUnit::Nanoseconds,
                    _ => TimeUnit::Microseconds,
                };
                let is_days = *array.data_type() == DataType::Date32;
                // Days have 32 bits, so that their seconds do not overflow.
                let (unit, scale) = if is_days { (TimeUnit::Seconds, 86_400) } else { (unit, 1) };
                let numbers = cast_to(array, &DataType::Int64)?;
                Ok(numbers
                    .as_primitive::<Int64Type>()
                    .iter()
                    .enumerate()
                    .map(|(row, number)| self.good_time(row, times.stored(number? * scale, unit)))
                    .collect())
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
        // A time that no calendar has is shown as its number.
        let texts = cast_to(array, &DataType::Utf8)
            .or_else(|_| cast_to(&cast_to(array, &DataType::Int64)?, &DataType::Utf8))?;
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
    pub(super) fn append(&mut self, target: Target, start: usize, end: usize, batch: &mut BatchBuilder) {
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
            (_, Target::Field(index) | Target::Keys(index)) => &mut batch.columns[index],
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
            Values::FeatureKeys(keys) => self.append_each(column, start, end, |column, index| {
                if keys.is_valid(index) {
                    // Bad keys are noted before.
                    let _ = column.push_feature_key(keys.value(index));
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
    let Some(lists) = lists else {
        for row in start..end {
            push(column, row);
            column.finish_row_of_many();
        }
        column.finish_invalid_numbers();
        return;
    };
    for row in start..end {
        if lists.is_valid(row) {
            index_range(lists.value_offsets(), row).for_each(|index| push(column, index));
        }
        column.finish_row_of_many();
    }
    column.finish_invalid_numbers();
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
pub(super) fn cast_to(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    cast_with_options(array, to, &CastOptions { safe: true, ..CastOptions::default() })
}

/// Decodes the texts of a field: as dictionary keys if the file has a dictionary, otherwise as plain texts. Integers
/// and decimals become their digits, and booleans `true` and `false`.
fn decode_categories(array: &ArrayRef) -> Result<Values, ArrowError> {
    let Some(array) = array.as_dictionary_opt::<Int32Type>() else {
        return Ok(Values::Texts(cast_to(array, &DataType::Utf8)?.as_string::<i32>().clone()));
    };
    let dictionary = cast_to(array.values(), &DataType::Utf8)?.as_string::<i32>().clone();
    Ok(Values::Keys { keys: array.keys().clone(), dictionary, distinct: DistinctTexts::default() })
}

/// Converts days to dates such as `2026-01-31`. A day of no calendar becomes null.
fn date_texts(days: &ArrayRef) -> StringArray {
    let date = |day| Some(date32_to_datetime(day)?.date().to_string());
    days.as_primitive::<Date32Type>().iter().map(|day| day.and_then(date)).collect()
}

/// Converts single values of any type to text. A time with a time zone becomes text in UTC, because that needs no
/// database of time zones.
fn decode_texts(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let instants = match array.data_type() {
        DataType::Timestamp(unit, Some(_)) => cast_to(array, &DataType::Timestamp(*unit, Some("+00:00".into())))?,
        _ => Arc::clone(array),
    };
    let is_time = matches!(instants.data_type(), DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
    let texts = match cast_to(&instants, &DataType::Utf8) {
        Err(_) if is_time => return time_texts(&instants),
        texts => texts?,
    };
    Ok(texts.as_string::<i32>().clone())
}

/// Converts times to text one by one. A time that no calendar has becomes its number.
fn time_texts(times: &ArrayRef) -> Result<StringArray, ArrowError> {
    let numbers = cast_to(times, &DataType::Int64)?;
    let text = |row: usize| {
        let text = cast_to(&times.slice(row, 1), &DataType::Utf8);
        let text = text.or_else(|_| cast_to(&numbers.slice(row, 1), &DataType::Utf8))?;
        let text = text.as_string::<i32>();
        Ok(text.is_valid(0).then(|| text.value(0).to_owned()))
    };
    (0..times.len()).map(text).collect()
}

/// Replaces the texts that mean a missing value with null. Other types are returned as they are.
fn without_missing(array: &ArrayRef, column: &ColumnBuilder) -> Result<ArrayRef, ArrowError> {
    if *array.data_type() != DataType::Utf8 || !column.rules.changes_texts() {
        return Ok(Arc::clone(array));
    }
    let texts = array.as_string::<i32>().iter().map(|text| text.filter(|text| !column.rules.is_missing(text)));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// Decodes ids from integers, and from floats, decimals and texts where they are exact. A boolean becomes 0 or 1, a
/// date its days since 1970-01-01. A value that is no id becomes null.
fn decode_ids(array: &ArrayRef) -> Result<Int64Array, ArrowError> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(|text| text.and_then(text_id)).collect(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            // From here on, the type has not every integer: a value may have been rounded.
            let limit = match array.data_type() {
                DataType::Float16 => 2_048.0,
                DataType::Float32 => 16_777_216.0,
                _ => f64::INFINITY,
            };
            let numbers = cast_to(array, &DataType::Float64)?;
            let exact = |number: f64| float_id(number).filter(|_| number.abs() < limit);
            numbers.as_primitive::<Float64Type>().iter().map(|number| number.and_then(exact)).collect()
        }
        // A cast would lose the upper half.
        DataType::UInt64 => array.as_primitive::<UInt64Type>().unary(unsigned_id),
        // A cast to integers would drop a fraction without a word.
        data_type if data_type.is_decimal() => decode_ids(&cast_to(array, &DataType::Utf8)?)?,
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
