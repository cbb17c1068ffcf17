//! Writes the canonical JSON of a contract: keys sorted, defaults written out, no white space, floats as the shortest
//! text that reads back to the same double.
//!
//! It is written by hand, because the order of keys is part of the format. The maps of a JSON library change their
//! order with a feature that any other crate may enable. It is written piece by piece, because a file that someone else
//! wrote is compared with it, and its contract may be large.

use std::fmt::{self, Write};

use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use super::{Buckets, CategoryLimit, Contract, Field, FieldKind, UnseenWeight};

/// The bytes that are still to be compared. Writing fails at the first difference.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl Write for Rest<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(piece.as_bytes()).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// The XXH3-64 of what is written.
#[derive(Default)]
pub(super) struct Hash(pub(super) Xxh3);

impl Write for Hash {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.0.update(piece.as_bytes());
        Ok(())
    }
}

/// Writes the canonical JSON of `contract`. Fails only if `text` does.
pub(super) fn write(contract: &Contract, text: &mut impl Write) -> fmt::Result {
    text.write_str("{\"cross\":[")?;
    for (index, cross) in contract.crosses.iter().enumerate() {
        text.write_str(if index == 0 { "{\"fields\":[" } else { ",{\"fields\":[" })?;
        for (index, &member) in cross.members.iter().enumerate() {
            text.write_str(if index == 0 { "" } else { "," })?;
            quoted(&contract.fields[member].name, text)?;
        }
        text.write_str("]")?;
        max_categories(cross.category_limit, text)?;
        over_max(cross.category_limit, text)?;
        text.write_str("}")?;
    }
    text.write_str("],\"field\":[")?;
    for (index, field) in contract.fields.iter().enumerate() {
        text.write_str(if index == 0 { "{" } else { ",{" })?;
        write_field(field, text)?;
        text.write_str("}")?;
    }
    text.write_str("],\"label\":")?;
    quoted(&contract.label, text)?;
    text.write_str(",\"name\":")?;
    quoted(&contract.name, text)?;
    text.write_str("}")
}

fn write_field(field: &Field, text: &mut impl Write) -> fmt::Result {
    match &field.kind {
        FieldKind::Number { buckets: Buckets::Edges(edges), .. } => {
            text.write_str("\"buckets\":")?;
            floats(edges, text)?;
            text.write_str(",")?;
        }
        FieldKind::Number { buckets: Buckets::Log2, .. } => text.write_str("\"buckets\":{\"log2\":true},")?,
        FieldKind::Id | FieldKind::Text => {}
    }
    text.write_str("\"log\":")?;
    quoted(field.log.word(), text)?;
    write!(text, ",\"many\":{}", field.many)?;
    max_categories(field.category_limit, text)?;
    text.write_str(",\"meaning\":")?;
    quoted(&field.meaning, text)?;
    text.write_str(",\"name\":")?;
    quoted(&field.name, text)?;
    over_max(field.category_limit, text)?;
    if let FieldKind::Number { range, .. } = &field.kind {
        text.write_str(",\"range\":")?;
        floats(range, text)?;
    }
    text.write_str(",\"side\":")?;
    quoted(field.side.word(), text)?;
    text.write_str(",\"type\":")?;
    quoted(field.kind.word(), text)?;
    if let FieldKind::Number { unit, .. } = &field.kind {
        text.write_str(",\"unit\":")?;
        quoted(unit, text)?;
    }
    // Nothing for the default, so that older contracts keep their fingerprints.
    if field.unseen == UnseenWeight::Zero { text.write_str(",\"unseen\":\"zero\"") } else { Ok(()) }
}

/// Nothing without a limit, so that a contract without limits keeps the fingerprint that it had before limits existed.
fn max_categories(limit: Option<CategoryLimit>, text: &mut impl Write) -> fmt::Result {
    limit.map_or(Ok(()), |limit| write!(text, ",\"max_categories\":{}", limit.max))
}

fn over_max(limit: Option<CategoryLimit>, text: &mut impl Write) -> fmt::Result {
    limit.map_or(Ok(()), |limit| write!(text, ",\"over_max\":\"{}\"", limit.over.word()))
}

fn quoted(value: &str, text: &mut impl Write) -> fmt::Result {
    text.write_str(&Value::from(value).to_string())
}

fn floats(numbers: &[f64], text: &mut impl Write) -> fmt::Result {
    text.write_str("[")?;
    for (index, &number) in numbers.iter().enumerate() {
        text.write_str(if index == 0 { "" } else { "," })?;
        float(number, text)?;
    }
    text.write_str("]")
}

/// The format has no plus sign in exponents, which the JSON library writes from 1e16 on.
fn float(number: f64, text: &mut impl Write) -> fmt::Result {
    text.write_str(&Value::from(number).to_string().replace("e+", "e"))
}
