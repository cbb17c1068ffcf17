//! Texts that a Parquet file holds as keys of a dictionary come as such, so that each distinct text is hashed once a batch and
//! not once a row.

use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Schema};
use parquet::file::metadata::ParquetMetaData;

use super::wanted::{Target, Wanted};
use omomi::contract::FieldKind;

/// Bytes a value that a column takes at most whose texts are keys of a dictionary, beside the dictionary itself.
const MAX_KEY_LEN: i64 = 4;
/// Bytes that a dictionary takes at most: where writers give it up.
const MAX_DICTIONARY_LEN: i64 = 1 << 20;

/// Which columns of the file, in their order, hold keys of a dictionary all through, as far as the first row group tells: where
/// the decoder would have to make one, plain texts are faster.
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

/// The [simplified](super::parquet_schema::simplified) schema with the texts of fields as keys of a dictionary, where the file
/// has one. A column that is read for something else too stays in the type that both can read.
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
