//! The contract as JSON. Reads any layout; writes the canonical layout, from which the fingerprint is computed.

use serde_json::Value;

use super::validate::validate;
use super::{Buckets, CategoryLimit, Contract, ContractFaults, Fault, Field, FieldKind};

pub(super) fn parse(bytes: &[u8]) -> Result<Contract, ContractFaults> {
    let root: Value = serde_json::from_slice(bytes).map_err(|error| {
        ContractFaults(vec![Fault {
            line: Some(error.line()),
            place: "contract".to_owned(),
            message: format!("not JSON: {error}"),
        }])
    })?;
    validate(&root, &|_| None).map_err(ContractFaults)
}

/// Writes the JSON by hand, because the order of keys is part of the format. The maps of a JSON library change their
/// order with a feature that any other crate may enable.
pub(super) fn canonical(contract: &Contract) -> String {
    let crosses: Vec<String> = contract
        .crosses
        .iter()
        .map(|cross| {
            let names: Vec<String> =
                cross.members.iter().map(|&member| quoted(&contract.fields[member].name)).collect();
            let (max, over) = category_limit(cross.category_limit);
            format!("{{\"fields\":[{}]{max}{over}}}", names.join(","))
        })
        .collect();
    let fields: Vec<String> = contract.fields.iter().map(field).collect();
    format!(
        "{{\"cross\":[{}],\"field\":[{}],\"label\":{},\"name\":{}}}",
        crosses.join(","),
        fields.join(","),
        quoted(&contract.label),
        quoted(&contract.name)
    )
}

fn field(field: &Field) -> String {
    let mut text = String::from("{");
    if let FieldKind::Number { buckets, .. } = &field.kind {
        let buckets = match buckets {
            Buckets::Edges(edges) => floats(edges),
            Buckets::Log2 => "{\"log2\":true}".to_owned(),
        };
        text.push_str(&format!("\"buckets\":{buckets},"));
    }
    let (max, over) = category_limit(field.category_limit);
    text.push_str(&format!(
        "\"log\":{},\"many\":{}{max},\"meaning\":{},\"name\":{}{over}",
        quoted(field.log.word()),
        field.many,
        quoted(&field.meaning),
        quoted(&field.name)
    ));
    if let FieldKind::Number { range, .. } = &field.kind {
        text.push_str(&format!(",\"range\":{}", floats(range)));
    }
    text.push_str(&format!(",\"side\":{},\"type\":{}", quoted(field.side.word()), quoted(field.kind.word())));
    if let FieldKind::Number { unit, .. } = &field.kind {
        text.push_str(&format!(",\"unit\":{}", quoted(unit)));
    }
    text.push('}');
    text
}

/// The two keys of a limit, each after a comma; empty without a limit, so that a contract without limits keeps the
/// fingerprint that it had before limits existed.
fn category_limit(limit: Option<CategoryLimit>) -> (String, String) {
    limit.map_or_else(Default::default, |CategoryLimit { max, over }| {
        (format!(",\"max_categories\":{max}"), format!(",\"over_max\":{}", quoted(over.word())))
    })
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn floats(numbers: &[f64]) -> String {
    let texts: Vec<String> = numbers.iter().map(|&number| Value::from(number).to_string()).collect();
    format!("[{}]", texts.join(","))
}
