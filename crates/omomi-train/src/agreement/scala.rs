//! The declaration in Scala.

use omomi::contract::{Contract, Field, FieldKind, Side};

use super::comment::{block, without_unicode_escapes};
use super::names::Names;
use super::{Language, description, float, named, nfc_note, number, origin, quoted};

pub(super) fn declaration(contract: &Contract, names: &Names, package: Option<&str>) -> String {
    let comment = |text: &str, indent: &str| block("/**", &without_unicode_escapes(text), indent);
    let mut text = block("/*", &without_unicode_escapes(&origin(contract, Language::Scala)), "");
    text.push_str(&package.map_or_else(String::new, |package| format!("package {package}\n\n")));
    text.push_str("import io.omomi.scaladsl._\n\n");
    let about = format!("The fields of the contract {}, declared once for every later model.", contract.name());
    text.push_str(&comment(&[Some(about), nfc_note(contract)].map(Option::unwrap_or_default).join(" "), ""));
    text.push_str(&format!("object {} extends Fields {{\n", names.type_name));
    for (index, field, name) in named(contract, names) {
        if index > 0 {
            text.push('\n');
        }
        text.push_str(&comment(&description(contract, index), "  "));
        text.push_str(&format!("  val {name} = {}\n", declared(field)));
    }
    text + "}\n"
}

fn declared(field: &Field) -> String {
    let side = match field.side {
        Side::Context => "context",
        Side::Candidate => "candidate",
    };
    let kind = match (&field.kind, field.many) {
        (FieldKind::Id, false) => "id",
        (FieldKind::Id, true) => "ids",
        (FieldKind::Text, false) => "text",
        (FieldKind::Text, true) => "texts",
        (FieldKind::Number { .. }, _) => "number",
    };
    let rest = number(field)
        .map_or_else(String::new, |(unit, [min, max])| format!(", {}, {}, {}", quoted(unit), float(min), float(max)));
    format!("{side}.{kind}({}{rest})", quoted(&field.name))
}
