//! Decides whether a Parquet column can be read for its purpose, and to which Arrow type it is decoded.

use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Schema};
use parquet::basic::Type as PhysicalType;
use parquet::schema::types::SchemaDescriptor;

use super::LogError;
use super::parquet_bytes::INT96_LEN;
use super::wanted_columns::{Target, Wanted};
use omomi::contract::FieldKind;

/// Returns the schema to decode with. It is the schema of the file, but all kinds of text (large, view, dictionary)
/// become plain text, all kinds of bytes become plain bytes, and all kinds of lists become plain lists, so that each
/// kind of value is decoded to one type.
pub(super) fn simplified(schema: &Schema, places: &[(usize, Target)], wanted: &Wanted) -> Schema {
    let mut fields: Vec<Arc<ArrowField>> = schema.fields().iter().cloned().collect();
    for &(index, target) in places {
        let is_text = match target {
            Target::Field(field) => wanted.fields()[field].kind == FieldKind::Text,
            Target::Extra(_) | Target::Label | Target::Time => true,
            Target::Importance | Target::Keys(_) => false,
        };
        let data_type = simplified_type(fields[index].data_type(), is_text);
        fields[index] = Arc::new(fields[index].as_ref().clone().with_data_type(data_type));
    }
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// Decodes INT96 as [bytes](super::parquet_bytes), except in lists and maps. Returns `None` if the file has none.
pub(super) fn with_int96_bytes(schema: &Schema, columns: &SchemaDescriptor) -> Option<Schema> {
    let mut fields: Vec<Arc<ArrowField>> = schema.fields().iter().cloned().collect();
    let mut has_int96 = false;
    for leaf in 0..columns.num_columns() {
        let field = &mut fields[columns.get_column_root_idx(leaf)];
        if columns.column(leaf).physical_type() == PhysicalType::INT96 {
            *field = as_bytes(field, &columns.column(leaf).path().parts()[1..]);
            has_int96 = true;
        }
    }
    has_int96.then(|| Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Changes the type of the member at `path` in a column, or of the column itself if the path is empty.
fn as_bytes(field: &Arc<ArrowField>, path: &[String]) -> Arc<ArrowField> {
    let data_type = match (path.split_first(), field.data_type()) {
        (None, DataType::Timestamp(..)) => DataType::FixedSizeBinary(INT96_LEN),
        (Some((name, rest)), DataType::Struct(members)) => {
            let member = |member: &Arc<ArrowField>| {
                if member.name() == name { as_bytes(member, rest) } else { Arc::clone(member) }
            };
            DataType::Struct(members.iter().map(member).collect())
        }
        _ => return Arc::clone(field),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

/// Returns the type to decode a column of `data_type` to; see [`simplified`].
pub(super) fn simplified_type(data_type: &DataType, is_text: bool) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => simplified_type(value, is_text),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        // Older writers do not mark bytes as text, so the decoder does not check them: the reader has to.
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView if is_text => DataType::Binary,
        DataType::List(item) | DataType::LargeList(item) => {
            let data_type = simplified_type(item.data_type(), is_text);
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(data_type)))
        }
        other => other.clone(),
    }
}

/// Whether a column of this type may hold feature keys, as a join writes them.
pub(super) fn holds_keys(data_type: &DataType, many: bool) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) if many => *item.data_type() == DataType::UInt64,
        other => !many && *other == DataType::UInt64,
    }
}

/// Whether a [`simplified`] type is that of texts, or of bytes that must be texts.
fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Binary)
}

/// Whether a type has one notation as text for each value. Doubles have several, and times depend on their unit. A
/// `Date64` is only a remark of Arrow on integers, which is lost where texts are decoded as bytes.
fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_decimal() || matches!(data_type, DataType::Boolean | DataType::Date32)
}

/// Checks that a column of the [`simplified`] type `data_type` can be read for `target`.
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
                FieldKind::Id => {
                    let is_id = |item: &DataType| is_exact(item) || item.is_floating() || *item == DataType::Utf8;
                    let expected = "integers, booleans, dates, decimals or text";
                    (item.is_some_and(is_id), if field.many { "a list of integers" } else { expected })
                }
                FieldKind::Text => {
                    let expected = "text, integers, booleans, dates or decimals";
                    let fits = item.is_some_and(|item| is_text(item) || is_exact(item));
                    (fits, if field.many { "a list of texts" } else { expected })
                }
                FieldKind::Number { .. } => {
                    (item.is_some_and(|item| item.is_numeric() || *item == DataType::Utf8), "numbers")
                }
            };
            // A column in which every value is null has the type null, and fits every field.
            (fits || item == Some(&DataType::Null), expected)
        }
        // Columns of another type are not taken for keys.
        Target::Keys(_) => (true, "feature keys"),
        Target::Label => {
            let fits = data_type.is_numeric() || is_text(data_type) || *data_type == DataType::Boolean;
            (fits, "integers, booleans or text")
        }
        Target::Time => {
            let is_time =
                matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Float64);
            let is_number = data_type.is_integer() || data_type.is_decimal();
            (is_time || is_text(data_type) || is_number, "timestamps, dates, integers, doubles or text")
        }
        Target::Importance => (data_type.is_numeric(), "numbers"),
        Target::Extra(_) => {
            let is_other = is_text(data_type) || matches!(data_type, DataType::Boolean | DataType::Null);
            (is_other || data_type.is_numeric() || data_type.is_temporal(), "text, numbers, booleans or times")
        }
    };
    if fits {
        return Ok(());
    }
    let column = wanted.name(target).to_owned();
    Err(LogError::WrongType { file: file.to_owned(), column, expected, found: data_type.to_string() })
}
