//! Dictionary-encoded text columns of Parquet files.
//!
//! A text column that a file stores as dictionary keys is decoded as keys, so that each distinct text is hashed once
//! per batch and not once per row. A column without a dictionary in the file is decoded as plain text: building a
//! dictionary while decoding would be slower.

use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Schema};
use parquet::file::metadata::ParquetMetaData;

use super::wanted_columns::{Target, Wanted};
use omomi::contract::FieldKind;

/// Most bytes per value in a column of dictionary keys, the dictionary itself excluded.
const MAX_KEY_LEN: i64 = 4;
/// Most bytes of a dictionary. Writers stop using a dictionary that grows larger.
const MAX_DICTIONARY_LEN: i64 = 1 << 20;

/// Tells for each column, in the order of `names`, whether all its values are dictionary keys. Judges by the first row
/// group only. A column that is too large for keys has some plain values; the decoder would have to build a dictionary
/// for it, and plain texts are faster than that.
fn has_dictionary(metadata: &ParquetMetaData, names: &[String]) -> Vec<bool> {
    let columns = metadata.row_groups().first().map_or(&[][..], |group| group.columns());
    let has_dictionary = |name: &String| {
        let mut leaves = columns.iter().filter(|column| column.column_path().parts().first() == Some(name));
        leaves.all(|column| {
            let max_len = MAX_DICTIONARY_LEN + MAX_KEY_LEN * column.num_values();
            column.dictionary_page_offset().is_some() && column.uncompressed_size() <= max_len
        })
    };
    names.iter().map(has_dictionary).collect()
}

/// Changes the text fields in a [simplified](super::parquet_schema::simplified) schema to dictionary keys wherever the
/// file has a dictionary. A column that is read for two purposes keeps its type, because both must be able to read it.
pub(super) fn with_dictionaries(
    schema: Schema,
    metadata: &ParquetMetaData,
    places: &[(usize, Target)],
    wanted: &Wanted,
) -> Schema {
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let has_dictionary = has_dictionary(metadata, &names);
    let mut fields: Vec<Arc<ArrowField>> = schema.fields().iter().cloned().collect();
    for &(index, target) in places {
        let is_text = matches!(target, Target::Field(field) if wanted.fields()[field].kind == FieldKind::Text);
        let is_wanted_once = places.iter().filter(|&&(other, _)| other == index).count() == 1;
        if is_text && is_wanted_once && has_dictionary[index] {
            let data_type = with_dictionary(fields[index].data_type().clone());
            fields[index] = Arc::new(fields[index].as_ref().clone().with_data_type(data_type));
        }
    }
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// Turns text, and lists of text, into dictionary keys. Leaves other types alone.
fn with_dictionary(data_type: DataType) -> DataType {
    match data_type {
        DataType::Utf8 => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        DataType::List(item) if *item.data_type() == DataType::Utf8 => {
            let data_type = with_dictionary(item.data_type().clone());
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(data_type)))
        }
        other => other,
    }
}

/// The texts of one dictionary that are already in the batch under construction, and their indices there.
#[derive(Debug, Default)]
pub(super) struct DistinctTexts {
    /// By the key of the text in the dictionary.
    known: Vec<DistinctText>,
    /// Number of the batch that `known` is about, from 1, or 0 before the first batch.
    batch_number: u64,
}

/// A text that is in a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct DistinctText {
    /// Index among the texts of the batch.
    pub(super) place: u32,
    /// The value that the text becomes: its hash.
    pub(super) value: u64,
}

impl DistinctText {
    /// A text that means a missing value, and is therefore not in the batch.
    pub(super) const MISSING: Self = Self { place: NOWHERE - 1, value: 0 };
}

/// The index of a text that is not in the batch. No text has this index, because a batch is full long before.
const NOWHERE: u32 = u32::MAX;

impl DistinctTexts {
    /// Starts the batch that follows `batch_count` finished ones: forgets all texts, unless this batch has already
    /// begun.
    pub(super) fn begin(&mut self, batch_count: u64, dictionary_len: usize) {
        if self.batch_number != batch_count + 1 {
            self.known.clear();
            self.known.resize(dictionary_len, DistinctText { place: NOWHERE, value: 0 });
            self.batch_number = batch_count + 1;
        }
    }

    /// Returns the text with this `key` if it is in the batch. One comparison tells, for nearly every value.
    #[inline]
    pub(super) fn in_batch(&self, key: usize) -> Option<DistinctText> {
        Some(self.known[key]).filter(|text| text.place < DistinctText::MISSING.place)
    }

    /// Returns the text with this `key`. Calls `add` to put it into the batch if it is not there yet. Returns `None` if
    /// it means a missing value.
    pub(super) fn text(&mut self, key: usize, add: impl FnOnce() -> DistinctText) -> Option<DistinctText> {
        let known = &mut self.known[key];
        if known.place == NOWHERE {
            *known = add();
        }
        Some(*known).filter(|text| text.place != DistinctText::MISSING.place)
    }
}
