//! Values of a row outside the request block: what golden requests, tools and tests keep, with the contract's names.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::contract::{Contract, FieldKind, Side};

/// The value of one field in one row.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    /// Of an `id` field.
    Id(i64),
    /// Of a `text` field.
    Text(String),
    /// Of a `number` field.
    Number(f64),
    /// Of a `many` field of ids.
    Ids(Vec<i64>),
    /// Of a `many` field of texts.
    Texts(Vec<String>),
}

/// A row: values by name of field. A field that is absent is missing.
pub type Row = BTreeMap<String, FieldValue>;

/// One request: what its candidates share, and the candidates.
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
/// What is wrong, naming the field: not in the contract, on the other side, or a value of another type.
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

/// Writes a row as a JSON object. A number that JSON cannot write (NaN, infinities) is left out: it counts as missing, as
/// it does in a request.
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
