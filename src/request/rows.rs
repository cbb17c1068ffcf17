//! Rows outside a request block, with the contract's names. Golden requests, tools and tests keep them.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::MAX_VALUES_PER_FIELD;
use crate::bounded_json::{each_item, each_member};
use crate::contract::{Contract, Field, FieldKind, Side};
use crate::printable::quoted;

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

/// Reads a row of one side from the text of a JSON object, like [`row_from_json`], without a tree. Ids are signed. Only
/// texts that were checked to be JSON may be passed.
///
/// # Errors
///
/// Returns a message that names the field, also if it has more values than a request can hold.
pub(crate) fn row_from_text(contract: &Contract, side: Side, text: &str) -> Result<Row, String> {
    let mut row = Row::new();
    let is_object = each_member(text.as_bytes(), &mut |name, value| {
        let field = field_of(contract, side, name)?;
        row.insert(name.to_owned(), value_from_text(field, value.get())?);
        Ok::<(), String>(())
    })?;
    if is_object { Ok(row) } else { Err("a row is not an object".to_owned()) }
}

fn value_from_text(field: &Field, text: &str) -> Result<FieldValue, String> {
    let many = if field.many { "a list of " } else { "" };
    let wrong = || format!("the field `{}` needs {many}{}, found {}", field.name, field.kind.word(), quoted(text));
    // JSON has a negative zero, which is no integer.
    let id = |text: &str| text.parse::<i64>().ok().filter(|_| text != "-0").ok_or_else(wrong);
    let string = |text: &str| serde_json::from_str::<String>(text).map_err(|_| wrong());
    let too_many = |found: usize| {
        let max = MAX_VALUES_PER_FIELD;
        if found < max { Ok(()) } else { Err(format!("too many values in field `{}`: at most {max}", field.name)) }
    };
    match (&field.kind, field.many) {
        (FieldKind::Id, false) => id(text).map(FieldValue::Id),
        (FieldKind::Text, false) => string(text).map(FieldValue::Text),
        (FieldKind::Number { .. }, _) => serde_json::from_str(text).map(FieldValue::Number).map_err(|_| wrong()),
        (FieldKind::Id, true) => {
            let mut ids = Vec::new();
            let is_list = each_item(text.as_bytes(), &mut |item| {
                too_many(ids.len())?;
                id(item.get()).map(|id| ids.push(id))
            })?;
            if is_list { Ok(FieldValue::Ids(ids)) } else { Err(wrong()) }
        }
        (FieldKind::Text, true) => {
            let mut texts = Vec::new();
            let is_list = each_item(text.as_bytes(), &mut |item| {
                too_many(texts.len())?;
                string(item.get()).map(|text| texts.push(text))
            })?;
            if is_list { Ok(FieldValue::Texts(texts)) } else { Err(wrong()) }
        }
    }
}

fn field_of<'a>(contract: &'a Contract, side: Side, name: &str) -> Result<&'a Field, String> {
    let field = contract.field(name).ok_or_else(|| format!("the contract has no field `{}`", quoted(name)))?;
    if field.side != side {
        return Err(format!("the field `{name}` belongs to the {}", field.side.word()));
    }
    Ok(field)
}

/// Returns the bytes that the texts and lists of a row take in a request's tail, at most.
#[must_use]
pub fn row_tail_len_bytes(row: &Row) -> usize {
    row.values().map(FieldValue::tail_len_bytes).sum()
}

impl FieldValue {
    /// Returns the bytes that the value takes in a request's tail, at most.
    #[must_use]
    pub fn tail_len_bytes(&self) -> usize {
        match self {
            Self::Id(_) | Self::Number(_) => 0,
            Self::Text(text) => text.len(),
            Self::Ids(ids) => ids.len() * 8 + 8,
            Self::Texts(texts) => texts.iter().map(|text| text.len() + 8).sum::<usize>() + 8,
        }
    }

    /// Returns the number of categories: 1, or that of the list.
    #[must_use]
    pub fn category_count(&self) -> usize {
        match self {
            Self::Id(_) | Self::Number(_) | Self::Text(_) => 1,
            Self::Ids(ids) => ids.len(),
            Self::Texts(texts) => texts.len(),
        }
    }
}

/// Reads a row of one side from a JSON object. An id from 2^63 to 2^64 - 1 is read as the signed integer with the same
/// 64 bits.
///
/// # Errors
///
/// Returns a message that names the field, if it is not in the contract, belongs to the other side, or has a value of
/// another type.
pub fn row_from_json(contract: &Contract, side: Side, object: &Map<String, Json>) -> Result<Row, String> {
    object
        .iter()
        .map(|(name, value)| {
            let field = field_of(contract, side, name)?;
            let many = if field.many { "a list of " } else { "" };
            let read = field_value(&field.kind, field.many, value);
            let value = read.ok_or_else(|| {
                let found = quoted(&value.to_string());
                format!("the field `{name}` needs {many}{}, found {found}", field.kind.word())
            })?;
            Ok((name.clone(), value))
        })
        .collect()
}

fn id_of(value: &Json) -> Option<i64> {
    value.as_i64().or_else(|| value.as_u64().map(u64::cast_signed))
}

fn field_value(kind: &FieldKind, many: bool, value: &Json) -> Option<FieldValue> {
    Some(match (kind, many) {
        (FieldKind::Id, false) => FieldValue::Id(id_of(value)?),
        (FieldKind::Text, false) => FieldValue::Text(value.as_str()?.to_owned()),
        (FieldKind::Number { .. }, _) => FieldValue::Number(value.as_f64()?),
        (FieldKind::Id, true) => FieldValue::Ids(value.as_array()?.iter().map(id_of).collect::<Option<_>>()?),
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
