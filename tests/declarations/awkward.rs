// Made by `omomi contract generate --rust` from the contract */ "x" \u00 <b> 広告 ??/, fingerprint
// 4c21742cb5badbf6. Do not edit it: make it again when the contract changes.

use omomi::contract::Side;
use omomi::{Error, FieldSlot, Schema, SchemaField};

/// The fields of the contract \*/ "x" \\u00 \<b\> 広告 ??/: their slots. type, class take texts in Unicode NFC:
/// training normalizes them, and scoring does not, so the server must send NFC. A text in another form is an
/// unseen category.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "a server need not supply every field")]
pub struct Awkward {
    /// ends a comment \*/ and opens one /\* in Scala /\*\* and C
    pub site_id: FieldSlot,
    /// the same name in most languages; \\u is no character, \\u0022 is a quote, and \\
    pub site_id_2: FieldSlot,
    /// a word of Scala and Rust. \<b\>HTML\</b\> & {@link Nothing} @see \`\[nothing\]\` \#. Send it as
    /// Unicode NFC
    pub type_field: FieldSlot,
    /// a word of Java and C++ 広告の種類. Send it as Unicode NFC
    pub class: FieldSlot,
    /// a name without a letter
    pub field: FieldSlot,
    /// a name with a digit only ??/
    pub field_1: FieldSlot,
    /// a macro of C
    pub null: FieldSlot,
    /// a macro of C in lower case
    pub errno: FieldSlot,
    /// a method of every object
    pub wait: FieldSlot,
    /// what a declaration calls itself. A meaning may be long, so it is broken into lines that people can
    /// read. A meaning may be long, so it is broken into lines that people can read. A meaning may be long,
    /// so it is broken into lines that people can read. A meaning may be long, so it is broken into lines
    /// that people can read.
    pub schema: FieldSlot,
    /// a side
    pub context: FieldSlot,
    /// a macro of gcc
    pub unix: FieldSlot,
}

impl Awkward {
    /// Declares the fields, and looks up their slots, once for every later model.
    ///
    /// # Errors
    ///
    /// Returns an error only if this text was edited.
    pub fn declare() -> Result<(Schema, Self), Error> {
        let schema = Schema::new(vec![
            SchemaField::id("site_id", Side::Context),
            SchemaField::id("siteId", Side::Context),
            SchemaField::text("type", Side::Context),
            SchemaField::text("class", Side::Context).many(),
            SchemaField::id("_", Side::Context),
            SchemaField::id("__1", Side::Context).many(),
            SchemaField::number("NULL", Side::Context, "yen \"¥\" per \\u0041 $1 ??= \\", [-1e300, 1e16]),
            SchemaField::id("errno", Side::Candidate),
            SchemaField::text("wait", Side::Candidate).many(),
            SchemaField::id("schema", Side::Candidate).many(),
            SchemaField::text("context", Side::Candidate),
            SchemaField::number("unix", Side::Candidate, "s", [1e-7, 0.1]),
        ])?;
        let slot = |name: &str| schema.slot(name).ok_or_else(|| Error::UnknownField { field: name.to_owned() });
        let fields = Self {
            site_id: slot("site_id")?,
            site_id_2: slot("siteId")?,
            type_field: slot("type")?,
            class: slot("class")?,
            field: slot("_")?,
            field_1: slot("__1")?,
            null: slot("NULL")?,
            errno: slot("errno")?,
            wait: slot("wait")?,
            schema: slot("schema")?,
            context: slot("context")?,
            unix: slot("unix")?,
        };
        Ok((schema, fields))
    }
}
