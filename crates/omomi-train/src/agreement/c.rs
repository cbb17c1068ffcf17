//! The declaration in C: a header.

use omomi::contract::{Contract, Field, FieldKind, Side};

use super::comment::block;
use super::names::Names;
use super::{Language, description, float, named, nfc_note, number, origin};

pub(super) fn declaration(contract: &Contract, names: &Names) -> String {
    let comment = |text: &str, indent: &str| block("/*", text, indent);
    let (prefix, type_name) = (names.prefix(), &names.type_name);
    let guard = format!("{}_H", prefix.to_uppercase());
    let head = [Some(origin(contract, Language::C)), nfc_note(contract)].map(Option::unwrap_or_default).join(" ");
    let mut text = comment(&head, "");
    text.push_str(&format!("#ifndef {guard}\n#define {guard}\n\n#include <omomi.h>\n\n"));
    text.push_str(&comment(&format!("The fields of the contract {}: their slots.", contract.name()), ""));
    text.push_str("typedef struct {\n");
    for (index, _, name) in named(contract, names) {
        text.push_str(&comment(&description(contract, index), "  "));
        text.push_str(&format!("  OmomiSlot {name};\n"));
    }
    text.push_str(&format!("}} {type_name};\n\n"));
    let about = "Declares the fields, and looks up their slots, once for every later model. Close the schema with \
                 omomi_schema_close. In case of an error, no schema is open.";
    text.push_str(&comment(about, ""));
    text.push_str(&format!(
        "static inline OmomiStatus {prefix}_open(OmomiSchema **out_schema, {type_name} *out_fields, OmomiError *error) \
         {{\n"
    ));
    text.push_str("  const OmomiField fields[] = {\n");
    for field in contract.fields() {
        text.push_str(&format!("      {},\n", declared(field)));
    }
    text.push_str(
        "  };\n  OmomiStatus status;\n  if (out_schema == NULL || out_fields == NULL)\n    return \
         OMOMI_STATUS_NULL_ARGUMENT;\n  *out_schema = NULL;\n  status = omomi_schema_open(fields, sizeof fields / sizeof \
         fields[0], out_schema, error);\n",
    );
    for (_, field, name) in named(contract, names) {
        text.push_str(&format!(
            "  if (status == OMOMI_STATUS_OK)\n    status = omomi_schema_slot(*out_schema, \
             omomi_text(\"{}\"), &out_fields->{name}, error);\n",
            field.name,
        ));
    }
    text.push_str(
        "  if (status != OMOMI_STATUS_OK) {\n    omomi_schema_close(*out_schema);\n    *out_schema = NULL;\n  }\n  \
         return status;\n}\n\n",
    );
    text + &format!("#endif /* {guard} */\n")
}

fn declared(field: &Field) -> String {
    let side = match field.side {
        Side::Context => "OMOMI_SIDE_CONTEXT",
        Side::Candidate => "OMOMI_SIDE_CANDIDATE",
    };
    let name = format!("omomi_text(\"{}\")", field.name);
    let one = match &field.kind {
        FieldKind::Id => format!("omomi_id_field({name}, {side})"),
        FieldKind::Text => format!("omomi_text_field({name}, {side})"),
        FieldKind::Number { .. } => {
            let (unit, [min, max]) = number(field).unwrap_or_default();
            format!("omomi_number_field({name}, {side}, omomi_text({}), {}, {})", literal(unit), float(min), float(max))
        }
    };
    if field.many { format!("omomi_many({one})") } else { one }
}

/// A string literal. Two question marks may begin a trigraph.
fn literal(text: &str) -> String {
    super::quoted(text).replace("??", "?\\?")
}
