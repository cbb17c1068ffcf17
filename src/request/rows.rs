//! Rows outside a request block, with the contract's names. Golden requests, tools and tests keep them.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::contract::{Contract, FieldKind, Side};

/// The value of a field in a row.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    /// Value of an `id` field.
    Id(i64),
    /// Value of a `text` field.
    Text(String),
    /// Value of a `number` field.
    Number(f64),
    /// Values of a `many` field of ids.
    Ids(Vec<i64>),
    /// Values of a `many` field of texts.
    Texts(Vec<String>),
}

/// A row: values by field name. A field that is not in the map is missing.
pub type Row = BTreeMap<String, FieldValue>;

/// One request: the context, which its candidates share, and the candidates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestRows {
    /// The context row.
    pub context: Row,
    /// The candidate rows.
    pub candidates: Vec<Row>,
}

/// Reads a row of one side from a JSON object.
///
/// # Errors
///
/// Returns a message that names the field, if it is not in the contract, belongs to the other side, or has a value of
/// another type.
pub fn row_from_json(contract: &Contract, side: Side, object: &Map<String, Json>) -> Result<Row, String> {
    object
        .iter()
        .map(|(name, value)| {
            let field = contract.field(name).ok_or_else(|| format!("the contract has no field `{name}`"))?;
            if field.side != side {
                return Err(format!("the field `{name}` belongs to the {}", field.side.word()));
            }
            let many = if field.many { "a list of " } else { "" };
            let read = field_value(&field.kind, field.many, value);
            let value =
                read.ok_or_else(|| format!("the field `{name}` needs {many}{}, found {value}", field.kind.word()))?;
            Ok((name.clone(), value))
        })
        .collect()
}

fn field_value(kind: &FieldKind, many: bool, value: &Json) -> Option<FieldValue> {
    Some(match (kind, many) {
        (FieldKind::Id, false) => FieldValue::Id(value.as_i64()?),
        (FieldKind::Text, false) => FieldValue::Text(value.as_str()?.to_owned()),
        (FieldKind::Number { .. }, _) => FieldValue::Number(value.as_f64()?),
        (FieldKind::Id, true) => FieldValue::Ids(value.as_array()?.iter().map(Json::as_i64).collect::<Option<_>>()?),
        (FieldKind::Text, true) => {
            let texts = value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned));
            FieldValue::Texts(texts.collect::<Option<_>>()?)
        }
    })
}

/// Writes a row as a JSON object. A number that JSON cannot represent (NaN, infinities) is left out: it counts as
/// missing, as it does in a request.
#[must_use]
pub fn row_to_json(row: &Row) -> Json {
    let mut object = Map::new();
    for (name, value) in row {
        let value = match value {
            FieldValue::Id(id) => Json::from(*id),
            FieldValue::Text(text) => Json::from(text.as_str()),
            FieldValue::Number(number) if !number.is_finite() => continue,
            FieldValue::Number(number) => Json::from(*number),
            FieldValue::Ids(ids) => Json::from(ids.clone()),
            FieldValue::Texts(texts) => Json::from(texts.clone()),
        };
        object.insert(name.clone(), value);
    }
    Json::Object(object)
}
