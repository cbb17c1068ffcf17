//! Decoded texts as views.
//!
//! Rows that have the same text of a dictionary share it, and texts of a plain page are not copied. A text of a
//! megabyte in each of 8,192 rows would otherwise take 8 GB. The texts are copied for a few rows at a time.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::ByteViewType;
use arrow_array::{Array, ArrayRef, GenericByteViewArray, ListArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema};

use super::csv_records::MAX_RECORD_LEN;
use super::parquet_decoded::cast_to;

/// Most bytes of texts that are copied at a time.
const MAX_COPIED_LEN: u64 = 64 << 20;

/// Returns the schema with texts and bytes as views, also in lists and records. Keys of dictionaries stay.
pub(super) fn with_views(schema: &Schema) -> Schema {
    let fields: Vec<FieldRef> = schema.fields().iter().map(field_with_views).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn field_with_views(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        DataType::List(item) => DataType::List(field_with_views(item)),
        DataType::Struct(members) => DataType::Struct(members.iter().map(field_with_views).collect()),
        _ => return Arc::clone(field),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

/// Returns the schema with the values of dictionaries instead of their keys.
pub(super) fn without_keys(schema: &Schema) -> Schema {
    let fields: Vec<FieldRef> = schema.fields().iter().map(field_without_keys).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn field_without_keys(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::List(item) => DataType::List(field_without_keys(item)),
        _ => return Arc::clone(field),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

/// Whether a column of this type is decoded as keys of a dictionary.
pub(super) fn has_keys(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..) => true,
        DataType::List(item) => has_keys(item.data_type()),
        _ => false,
    }
}

/// Decoded rows, some columns of which are views.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// One for each place.
    arrays: Vec<ArrayRef>,
    /// Bytes of the texts of each row.
    lens: Vec<u64>,
    /// The rows with a cell that is too long, and the index of its array, in order.
    too_long: Vec<(usize, usize)>,
    next_row: usize,
}

/// Some rows of [`Views`].
pub(super) enum Part {
    /// The arrays of some rows, and how many rows.
    Rows(Vec<ArrayRef>, usize),
    /// One row, in which this array has a cell that is too long.
    TooLong(usize),
}

impl Views {
    /// Takes arrays of `row_count` rows.
    pub(super) fn new(arrays: Vec<ArrayRef>, row_count: usize) -> Self {
        let mut lens = vec![0_u64; row_count];
        let mut too_long = Vec::new();
        // Most columns are numbers or keys, which have no texts to add up.
        for (index, array) in arrays.iter().enumerate().filter(|(_, array)| has_views(array.data_type())) {
            let mut row = 0;
            add_lens(array, &mut |len| {
                lens[row] += len;
                if len > MAX_RECORD_LEN as u64 {
                    too_long.push((row, index));
                }
                row += 1;
            });
        }
        too_long.sort_unstable();
        too_long.dedup_by_key(|(row, _)| *row);
        Self { arrays, lens, too_long, next_row: 0 }
    }

    /// Returns the next rows: as many as have few bytes. Returns nothing after the last row.
    pub(super) fn next_part(&mut self) -> Result<Option<Part>, ArrowError> {
        let start = self.next_row;
        if start >= self.lens.len() {
            return Ok(None);
        }
        let next_long = self.too_long.partition_point(|&(row, _)| row < start);
        let next_long = self.too_long.get(next_long).copied();
        if let Some((row, index)) = next_long
            && row == start
        {
            self.next_row += 1;
            return Ok(Some(Part::TooLong(index)));
        }
        let limit = next_long.map_or(self.lens.len(), |(row, _)| row);
        let mut len = self.lens[start];
        let mut end = start + 1;
        while end < limit && len + self.lens[end] <= MAX_COPIED_LEN {
            len += self.lens[end];
            end += 1;
        }
        self.next_row = end;
        let arrays = self.arrays.iter().map(|array| copied(&array.slice(start, end - start)));
        Ok(Some(Part::Rows(arrays.collect::<Result<_, _>>()?, end - start)))
    }
}

/// Whether an array of this type has views, or lists of them.
fn has_views(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8View | DataType::BinaryView => true,
        DataType::List(item) => has_views(item.data_type()),
        _ => false,
    }
}

/// Calls `add` with the bytes of the views of each row.
fn add_lens(array: &ArrayRef, add: &mut dyn FnMut(u64)) {
    match array.data_type() {
        DataType::Utf8View => add_view_lens(array.as_string_view(), add),
        DataType::BinaryView => add_view_lens(array.as_binary_view(), add),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let mut item_lens = Vec::new();
            if matches!(lists.value_type(), DataType::Utf8View | DataType::BinaryView) {
                add_lens(lists.values(), &mut |len| item_lens.push(len));
            }
            for row in 0..lists.len() {
                let range = lists.value_offsets()[row]..lists.value_offsets()[row + 1];
                let range = usize::try_from(range.start).unwrap_or(0)..usize::try_from(range.end).unwrap_or(0);
                add(item_lens.get(range).map_or(0, |lens| lens.iter().sum()));
            }
        }
        _ => (0..array.len()).for_each(|_| add(0)),
    }
}

fn add_view_lens<T: ByteViewType + ?Sized>(array: &GenericByteViewArray<T>, add: &mut dyn FnMut(u64)) {
    for (index, view) in array.views().iter().enumerate() {
        // The low half of the low half is the length.
        let len = view & u128::from(u32::MAX);
        add(if array.is_null(index) { 0 } else { u64::try_from(len).unwrap_or(0) });
    }
}

/// Copies views to plain texts or bytes. Leaves other arrays alone.
fn copied(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Utf8View => cast_to(array, &DataType::Utf8),
        DataType::BinaryView => cast_to(array, &DataType::Binary),
        DataType::List(item) if matches!(item.data_type(), DataType::Utf8View | DataType::BinaryView) => {
            // Only the values of these rows: a slice of lists has the values of all.
            let lists = array.as_list::<i32>();
            let offsets = lists.value_offsets();
            let (first, last) = (offsets[0], offsets[lists.len()]);
            let start = usize::try_from(first).unwrap_or(0);
            let values = lists.values().slice(start, usize::try_from(last - first).unwrap_or(0));
            let values = copied(&values)?;
            let offsets = OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect());
            let item = Arc::new(Field::clone(item).with_data_type(values.data_type().clone()));
            Ok(Arc::new(ListArray::try_new(item, offsets, values, lists.nulls().cloned())?))
        }
        _ => Ok(Arc::clone(array)),
    }
}
