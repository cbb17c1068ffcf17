//! Converts TOML, as people write contracts and settings, to JSON. Keeps the line of each key and item for error
//! messages.

use std::collections::HashMap;
use std::ops::Range;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue, Error};
use serde_json::Value;

use omomi::contract::validate::{Path, validate};
use omomi::contract::{Contract, ContractFaults, Fault};
use omomi::printable::quoted;

/// Most syntax errors that are reported.
const MAX_SYNTAX_FAULTS: usize = 20;

/// The line of each key and item.
pub(crate) type Lines = HashMap<Path, usize>;

/// Reads a contract from the text of a `contract.toml`.
///
/// # Errors
///
/// Every fault of the text, each with its line.
pub fn parse_contract(text: &str) -> Result<Contract, ContractFaults> {
    let (value, lines) = to_json(text, "contract").map_err(ContractFaults)?;
    validate(&value, &|path| lines.get(path).copied()).map_err(ContractFaults)
}

/// Converts TOML text to JSON, and returns it with the line of each key. Returns all syntax errors if the text is not
/// TOML; `place` names the text in them.
pub(crate) fn to_json(text: &str, place: &str) -> Result<(Value, Lines), Vec<Fault>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let text = Text::new(text);
        return Err(errors.iter().take(MAX_SYNTAX_FAULTS).map(|error| syntax_fault(&text, place, error)).collect());
    }
    let text = Text::new(text);
    let mut lines = HashMap::new();
    let value = table_to_json(&text, root.get_ref(), &Vec::new(), &mut lines);
    Ok((value, lines))
}

fn syntax_fault(text: &Text, place: &str, error: &Error) -> Fault {
    Fault {
        line: error.span().map(|span| text.line_of(&span)),
        place: place.to_owned(),
        message: format!("not TOML: {}", quoted(error.message())),
    }
}

/// Where the lines of a text end. Counting them again for each key would take quadratic time.
struct Text {
    line_ends: Vec<usize>,
}

impl Text {
    fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at);
        Self { line_ends: ends.collect() }
    }

    /// Returns the line, counted from 1, on which a span starts.
    fn line_of(&self, span: &Range<usize>) -> usize {
        self.line_ends.partition_point(|&end| end < span.start) + 1
    }
}

fn table_to_json(text: &Text, table: &DeTable<'_>, path: &Path, lines: &mut Lines) -> Value {
    let mut object = serde_json::Map::new();
    for (key, value) in table {
        let mut path = path.clone();
        path.push(key.get_ref().to_string());
        lines.insert(path.clone(), text.line_of(&key.span()));
        object.insert(key.get_ref().to_string(), value_to_json(text, value, &path, lines));
    }
    Value::Object(object)
}

fn value_to_json(text: &Text, value: &Spanned<DeValue<'_>>, path: &Path, lines: &mut Lines) -> Value {
    match value.get_ref() {
        DeValue::String(string) => Value::from(string.as_ref()),
        DeValue::Integer(integer) => {
            i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).map_or(Value::Null, Value::from)
        }
        // JSON has no infinities and no NaN. They become `null`, which no check of a number accepts.
        DeValue::Float(float) => float.as_str().replace('_', "").parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(boolean) => Value::from(*boolean),
        DeValue::Datetime(datetime) => Value::from(datetime.to_string()),
        DeValue::Array(array) => {
            let mut list = Vec::new();
            for (index, item) in array.iter().enumerate() {
                let mut path = path.clone();
                path.push(index.to_string());
                lines.insert(path.clone(), text.line_of(&item.span()));
                list.push(value_to_json(text, item, &path, lines));
            }
            Value::Array(list)
        }
        DeValue::Table(table) => table_to_json(text, table, path, lines),
    }
}

#[cfg(test)]
mod tests;
