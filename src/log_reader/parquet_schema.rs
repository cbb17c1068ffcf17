//! Which types of Parquet columns can be read as what, and as which Arrow types they are decoded.

use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Schema};
use parquet::file::metadata::ParquetMetaData;

use super::LogError;
use super::wanted::{Target, Wanted};
use crate::contract::FieldKind;

/// Bytes a value that a column takes at most whose texts are keys of a dictionary, beside the dictionary itself.
const MOST_KEY_LEN: i64 = 4;
/// Bytes that a dictionary takes at most: where writers give it up.
const MOST_DICTIONARY_LEN: i64 = 1 << 20;

/// Which columns of the file, in their order, hold keys of a dictionary all through, as far as the first row group tells: where
/// the decoder would have to make one, plain texts are faster.
pub(super) fn has_dictionary(metadata: &ParquetMetaData, names: &[String]) -> Vec<bool> {
    let columns = metadata.row_groups().first().map_or(&[][..], |group| group.columns());
    let has_dictionary = |name: &String| {
        let mut leaves = columns.iter().filter(|column| column.column_path().parts().first() == Some(name));
        leaves.all(|column| {
            let most_len = MOST_DICTIONARY_LEN + MOST_KEY_LEN * column.num_values();
            column.dictionary_page_offset().is_some() && column.uncompressed_size() <= most_len
        })
    };
    names.iter().map(has_dictionary).collect()
}

/// The schema to decode with: the file's, but every text, whether large or a view, as plain text or as keys of a dictionary,
/// and every list as a plain list, so that each kind of value arrives as one of few types.
pub(super) fn simplified(
    schema: &Schema,
    places: &[(usize, Target)],
    wanted: &Wanted,
    has_dictionary: &[bool],
) -> Schema {
    let mut fields: Vec<Arc<ArrowField>> = schema.fields().iter().cloned().collect();
    for &(index, target) in places {
        let is_text = match target {
            Target::Field(field) => wanted.fields()[field].kind == FieldKind::Text,
            Target::Extra(_) => true,
            Target::Label | Target::Time | Target::Importance => false,
        };
        let mut data_type = simplified_type(fields[index].data_type(), is_text);
        // A column that is read for something else too comes in the plain type that both can read.
        let is_wanted_once = places.iter().filter(|&&(other, _)| other == index).count() == 1;
        if is_wanted_once && has_dictionary[index] && matches!(target, Target::Field(_)) && is_text {
            data_type = with_dictionary(data_type);
        }
        fields[index] = Arc::new(fields[index].as_ref().clone().with_data_type(data_type));
    }
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn simplified_type(data_type: &DataType, is_text: bool) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => simplified_type(value, is_text),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        // Older writers leave it to the reader to know that bytes are text.
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView if is_text => DataType::Utf8,
        DataType::List(item) | DataType::LargeList(item) => {
            let data_type = simplified_type(item.data_type(), is_text);
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(data_type)))
        }
        other => other.clone(),
    }
}

/// The type as keys of a dictionary, where it is text or lists of text.
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

fn is_text(data_type: Option<&DataType>) -> bool {
    match data_type {
        Some(DataType::Dictionary(_, texts)) => **texts == DataType::Utf8,
        other => other == Some(&DataType::Utf8),
    }
}

/// Checks that `data_type`, simplified, can be read as what `target` is.
pub(super) fn check_type(file: &Path, wanted: &Wanted, target: Target, data_type: &DataType) -> Result<(), LogError> {
    let (fits, expected) = match target {
        Target::Field(index) => {
            let field = &wanted.fields()[index];
            let item = match data_type {
                DataType::List(item) if field.many => Some(item.data_type()),
                other if !field.many => Some(other),
                _ => None,
            };
            let (fits, expected) = match field.kind {
                FieldKind::Id if field.many => (item.is_some_and(DataType::is_integer), "a list of integers"),
                FieldKind::Id => (item.is_some_and(DataType::is_integer), "integers"),
                FieldKind::Text if field.many => (is_text(item), "a list of texts"),
                FieldKind::Text => (is_text(item), "text"),
                FieldKind::Number { .. } => (item.is_some_and(DataType::is_numeric), "numbers"),
            };
            // A column without any value has no type.
            (fits || item == Some(&DataType::Null), expected)
        }
        Target::Label => (data_type.is_numeric() || *data_type == DataType::Boolean, "integers or booleans"),
        Target::Time => {
            let is_time = matches!(data_type, DataType::Timestamp(..) | DataType::Utf8);
            (is_time || data_type.is_integer(), "timestamps, integers of microseconds or text")
        }
        Target::Importance => (data_type.is_numeric(), "numbers"),
        Target::Extra(_) => {
            let is_other = matches!(data_type, DataType::Utf8 | DataType::Boolean | DataType::Null);
            (is_other || data_type.is_numeric() || data_type.is_temporal(), "text, numbers, booleans or times")
        }
    };
    if fits {
        return Ok(());
    }
    let column = wanted.name(target).to_owned();
    Err(LogError::WrongType { file: file.to_owned(), column, expected, found: data_type.to_string() })
}
