//! The declaration in Rust.

use omomi::contract::{Contract, Field, FieldKind, Side};

use super::comment::{markdown, wrapped};
use super::names::Names;
use super::{Language, description, float, named, nfc_note, number, origin, quoted};

pub(super) fn declaration(contract: &Contract, names: &Names) -> String {
    let type_name = &names.type_name;
    let mut text = lines("// ", &origin(contract, Language::Rust));
    text.push_str("\nuse omomi::contract::Side;\nuse omomi::{Error, FieldSlot, Schema, SchemaField};\n\n");
    let about = format!("The fields of the contract {}: their slots.", markdown(contract.name()));
    text.push_str(&lines("/// ", &[Some(about), nfc_note(contract)].map(Option::unwrap_or_default).join(" ")));
    text.push_str("#[derive(Debug, Clone, Copy)]\n");
    text.push_str("#[allow(dead_code, reason = \"a server need not supply every field\")]\n");
    text.push_str(&format!("pub struct {type_name} {{\n"));
    for (index, _, name) in named(contract, names) {
        text.push_str(&lines("    /// ", &markdown(&description(contract, index))));
        text.push_str(&format!("    pub {name}: FieldSlot,\n"));
    }
    text.push_str(&format!("}}\n\nimpl {type_name} {{\n"));
    text.push_str(
        "    /// Declares the fields, and looks up their slots, once for every later model.\n    ///\n    /// # Errors\n    \
         ///\n    /// Returns an error only if this text was edited.\n    pub fn declare() -> Result<(Schema, Self), \
         Error> {\n        let schema = Schema::new(vec![\n",
    );
    for field in contract.fields() {
        text.push_str(&format!("            {},\n", declared(field)));
    }
    text.push_str(
        "        ])?;\n        let slot = |name: &str| schema.slot(name).ok_or_else(|| Error::UnknownField { field: \
         name.to_owned() });\n        let fields = Self {\n",
    );
    for (_, field, name) in named(contract, names) {
        text.push_str(&format!("            {name}: slot({})?,\n", quoted(&field.name)));
    }
    text + "        };\n        Ok((schema, fields))\n    }\n}\n"
}

fn lines(mark: &str, text: &str) -> String {
    wrapped(text, mark.len()).iter().map(|line| format!("{mark}{line}").trim_end().to_owned() + "\n").collect()
}

fn declared(field: &Field) -> String {
    let side = match field.side {
        Side::Context => "Side::Context",
        Side::Candidate => "Side::Candidate",
    };
    let name = quoted(&field.name);
    let one = match &field.kind {
        FieldKind::Id => format!("SchemaField::id({name}, {side})"),
        FieldKind::Text => format!("SchemaField::text({name}, {side})"),
        FieldKind::Number { .. } => {
            let (unit, [min, max]) = number(field).unwrap_or_default();
            format!("SchemaField::number({name}, {side}, {}, [{}, {}])", quoted(unit), float(min), float(max))
        }
    };
    if field.many { format!("{one}.many()") } else { one }
}
