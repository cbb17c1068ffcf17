//! The declaration in Java.

use omomi::contract::{Contract, Field, FieldKind, Side};

use super::comment::{block, html, without_unicode_escapes};
use super::names::Names;
use super::{Language, description, float, named, nfc_note, number, origin, quoted};

pub(super) fn declaration(contract: &Contract, names: &Names, package: Option<&str>) -> String {
    let comment = |text: &str, indent: &str| block("/**", &html(text), indent);
    let mut text = block("/*", &without_unicode_escapes(&origin(contract, Language::Java)), "");
    text.push_str(&package.map_or_else(String::new, |package| format!("package {package};\n\n")));
    text.push_str("import io.omomi.Field;\nimport io.omomi.Schema;\nimport io.omomi.Side;\n\n");
    let about = format!("The fields of the contract {}, declared once for every later model.", contract.name());
    text.push_str(&comment(&[Some(about), nfc_note(contract)].map(Option::unwrap_or_default).join(" "), ""));
    text.push_str(&format!("public final class {} {{\n", names.type_name));
    text.push_str(&comment("The declaration.", "    "));
    text.push_str("    public static final Schema SCHEMA = Schema.builder()\n");
    for field in contract.fields() {
        text.push_str(&format!("            {}\n", declared(field)));
    }
    text.push_str("            .build();\n");
    for (index, field, name) in named(contract, names) {
        text.push('\n');
        text.push_str(&comment(&format!("{}.", description(contract, index)), "    "));
        text.push_str(&format!("    public static final Field {name} = SCHEMA.field({});\n", quoted(&field.name)));
    }
    text + &format!("\n    private {}() {{}}\n}}\n", names.type_name)
}

fn declared(field: &Field) -> String {
    let side = match field.side {
        Side::Context => "Side.CONTEXT",
        Side::Candidate => "Side.CANDIDATE",
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
    format!(".{kind}({}, {side}{rest})", quoted(&field.name))
}
