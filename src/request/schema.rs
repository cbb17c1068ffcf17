//! The server's schema: which fields the server can supply, by name and type. It is declared once and serves every
//! later model.
//!
//! The layout of a request does not depend on the models' contracts, so request buffers do not change when a model is
//! replaced.
//!
//! ```
//! use omomi::{Capacity, RequestLayout, Schema, SchemaField, contract::Side};
//!
//! let schema = Schema::new(vec![
//!     SchemaField::id("media_id", Side::Context),
//!     SchemaField::text("interest", Side::Context).many(),
//!     SchemaField::id("creative_id", Side::Candidate),
//!     SchemaField::number("floor_price", Side::Context, "JPY per 1,000 impressions", [0.0, 100_000.0]),
//! ])?;
//! let layout = RequestLayout::new(&schema, Capacity { candidates: 500, tail_len_bytes: 4_096 })?;
//! assert_eq!(layout.offsets().candidate_stride_bytes, 24);
//! # Ok::<(), omomi::Error>(())
//! ```

use std::fmt::{self, Write};

use xxhash_rust::xxh3::Xxh3Default;

use crate::contract::{Contract, FieldKind, MAX_FIELDS_PER_SIDE, MAX_NAME_LEN_BYTES, MAX_UNIT_LEN_BYTES, Side};
use crate::error::Error;
use crate::memory::with_room;
use crate::printable::printable;

/// The fields that a server declares, each side in the order given.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    context: Vec<SchemaField>,
    candidate: Vec<SchemaField>,
    /// Follows from the fields: equal schemas have equal numbers.
    number: u32,
}

/// One declared field.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaField {
    /// Name, as in the contract.
    pub name: String,
    /// The side of a request to which it belongs.
    pub side: Side,
    /// Type, as in the contract.
    pub kind: SchemaKind,
    /// Whether a row may have any number of its values, instead of at most one.
    pub many: bool,
}

/// The type of a declared field.
#[derive(Debug, Clone, PartialEq)]
pub enum SchemaKind {
    /// A 64-bit integer.
    Id,
    /// UTF-8 text, or its hash.
    Text,
    /// A 64-bit floating-point number.
    Number {
        /// Unit, as in the contract.
        unit: String,
        /// Smallest and largest value, as in the contract.
        range: [f64; 2],
    },
}

/// The slot of a declared field in the rows of its side. Look it up once and keep it: setting a value then needs no
/// look-up by name. Rows of another schema refuse it. Only a [`Schema`] makes slots, so a setter needs to compare only
/// the types of row and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSlot {
    pub(crate) row_type: RowType,
    pub(crate) value_type: ValueType,
    side: Side,
    index: u8,
}

/// What a setter of a row takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    Id,
    Text,
    Number,
    Ids,
    Texts,
}

impl FieldSlot {
    /// Returns the side whose rows have the field.
    #[inline]
    #[must_use]
    pub const fn side(self) -> Side {
        self.side
    }

    /// Returns the index of the slot in such a row, from 0.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

impl ValueType {
    const fn of(field: &SchemaField) -> Self {
        match (&field.kind, field.many) {
            (SchemaKind::Id, false) => Self::Id,
            (SchemaKind::Id, true) => Self::Ids,
            (SchemaKind::Text, false) => Self::Text,
            (SchemaKind::Text, true) => Self::Texts,
            (SchemaKind::Number { .. }, _) => Self::Number,
        }
    }

    /// Returns what an error calls such a value.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Id => "an id",
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Ids => "a list of ids",
            Self::Texts => "a list of texts",
        }
    }
}

/// The schema and the side of a row. A row takes slots of its own type only, and no slot has the type 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowType(pub(crate) u32);

impl RowType {
    /// Bits for the number of fields of the side, so that a setter in C can check the index of a slot.
    const COUNT_BITS: u32 = 7;
    const SIDE_BITS: u32 = 1;
    const _HAS_ROOM: () = assert!(MAX_FIELDS_PER_SIDE < 1 << Self::COUNT_BITS);

    fn new(schema_number: u32, side: Side, field_count: usize) -> Self {
        let side = match side {
            Side::Context => 0,
            Side::Candidate => 1,
        };
        // A side has at most 64 fields.
        let count = u32::try_from(field_count).unwrap_or(0);
        Self((schema_number << Self::SIDE_BITS | side) << Self::COUNT_BITS | count)
    }
}

impl SchemaField {
    /// Declares a field of 64-bit integers.
    #[must_use]
    pub fn id(name: &str, side: Side) -> Self {
        Self { name: name.to_owned(), side, kind: SchemaKind::Id, many: false }
    }

    /// Declares a field of texts.
    #[must_use]
    pub fn text(name: &str, side: Side) -> Self {
        Self { name: name.to_owned(), side, kind: SchemaKind::Text, many: false }
    }

    /// Declares a field of numbers in `unit`, from `range[0]` to `range[1]`.
    #[must_use]
    pub fn number(name: &str, side: Side, unit: &str, range: [f64; 2]) -> Self {
        Self { name: name.to_owned(), side, kind: SchemaKind::Number { unit: unit.to_owned(), range }, many: false }
    }

    /// The unit of a number, and an empty one of anything else.
    fn unit(&self) -> &str {
        match &self.kind {
            SchemaKind::Number { unit, .. } => unit,
            SchemaKind::Id | SchemaKind::Text => "",
        }
    }

    /// Returns this field with any number of values in each row.
    #[must_use]
    pub fn many(self) -> Self {
        Self { many: true, ..self }
    }
}

impl Schema {
    /// Creates a schema of `fields`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::SchemaInvalid`] if a name is empty, declared twice, or longer than any contract allows, a side
    /// has more than 64 fields, a number is `many`, or a range is not two finite numbers, the smaller first. Returns
    /// [`Error::OutOfMemory`] if there is no memory for the fields.
    pub fn new(fields: Vec<SchemaField>) -> Result<Self, Error> {
        let invalid = |problem: String| Err(Error::SchemaInvalid { problem });
        let room = || with_room(fields.len().min(MAX_FIELDS_PER_SIDE), "the fields of a schema");
        let mut schema = Self { context: room()?, candidate: room()?, number: 0 };
        for field in fields {
            check_texts(&field.name, field.unit())?;
            if schema.slot(&field.name).is_some() {
                return invalid(format!("the field `{}` is declared twice", field.name));
            }
            if let SchemaKind::Number { range, .. } = &field.kind {
                if field.many {
                    return invalid(format!("the number field `{}` cannot be `many`", field.name));
                }
                if !(range[0] < range[1] && range[0].is_finite() && range[1].is_finite()) {
                    return invalid(format!(
                        "the range of field `{}` must be two finite numbers, the smaller first, found {range:?}",
                        field.name
                    ));
                }
            }
            let side = field.side;
            let fields = schema.fields_mut(side);
            if fields.len() == MAX_FIELDS_PER_SIDE {
                return invalid(format!("more than {MAX_FIELDS_PER_SIDE} {} fields are declared", side.word()));
            }
            fields.push(field);
        }
        Ok(schema.numbered())
    }

    /// Returns the schema that declares exactly the fields of `contract`, in contract order. For tools and tests. A
    /// server should declare its fields itself: only then does binding detect that the contract has changed.
    #[must_use]
    pub fn of_contract(contract: &Contract) -> Self {
        let mut schema = Self { context: Vec::new(), candidate: Vec::new(), number: 0 };
        for field in contract.fields() {
            let kind = match &field.kind {
                FieldKind::Id => SchemaKind::Id,
                FieldKind::Text => SchemaKind::Text,
                FieldKind::Number { unit, range, .. } => SchemaKind::Number { unit: unit.clone(), range: *range },
            };
            let declared = SchemaField { name: field.name.clone(), side: field.side, kind, many: field.many };
            schema.fields_mut(field.side).push(declared);
        }
        schema.numbered()
    }

    /// Returns this schema with its number: a digest of its fields, so that slots of a schema that was declared twice
    /// fit the rows of both.
    fn numbered(mut self) -> Self {
        /// What the type of a row has room for, next to the side and the number of fields.
        const NUMBER_BITS: u32 = u32::BITS - RowType::SIDE_BITS - RowType::COUNT_BITS;
        let mut digester = Digester(Xxh3Default::new());
        for field in self.context.iter().chain(&self.candidate) {
            // The name comes last, in quotes, so that different fields never have one text.
            let _ = write!(digester, "{:?} {} {:?} {:?};", field.side, field.many, field.kind, field.name);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a part of a digest is a digest")]
        let digest = digester.0.digest() as u32;
        self.number = digest >> (u32::BITS - NUMBER_BITS);
        self
    }

    /// Returns the type of the rows of one side.
    pub(crate) fn row_type(&self, side: Side) -> RowType {
        RowType::new(self.number, side, self.fields(side).len())
    }

    /// Returns the slots of one side, in the order of [`Schema::fields`].
    pub fn slots(&self, side: Side) -> impl ExactSizeIterator<Item = FieldSlot> + use<> {
        let row_type = self.row_type(side);
        let slots = (0..).zip(self.fields(side)).map(|(index, field)| slot_of(field, index, row_type));
        slots.collect::<Vec<_>>().into_iter()
    }

    /// Returns the fields of one side. The index of a field in this list is the index of its slot.
    #[must_use]
    pub fn fields(&self, side: Side) -> &[SchemaField] {
        match side {
            Side::Context => &self.context,
            Side::Candidate => &self.candidate,
        }
    }

    /// Returns the slot of the field `name`, if it is declared.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<FieldSlot> {
        [Side::Context, Side::Candidate].into_iter().find_map(|side| {
            let (index, field) = (0..).zip(self.fields(side)).find(|(_, field)| field.name == name)?;
            Some(slot_of(field, index, self.row_type(side)))
        })
    }

    fn fields_mut(&mut self, side: Side) -> &mut Vec<SchemaField> {
        match side {
            Side::Context => &mut self.context,
            Side::Candidate => &mut self.candidate,
        }
    }
}

/// Digests a text without holding it.
struct Digester(Xxh3Default);

impl Write for Digester {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// Rejects a name or a unit that no contract can have, before anything copies it.
///
/// # Errors
///
/// Returns [`Error::SchemaInvalid`].
pub(crate) fn check_texts(name: &str, unit: &str) -> Result<(), Error> {
    let invalid = |problem: String| Err(Error::SchemaInvalid { problem });
    if name.is_empty() {
        return invalid("a field has no name".to_owned());
    }
    let shown = printable(name, MAX_NAME_LEN_BYTES);
    for (what, text, max) in [("name", name, MAX_NAME_LEN_BYTES), ("unit", unit, MAX_UNIT_LEN_BYTES)] {
        if text.len() > max {
            let found = text.len();
            return invalid(format!("expected a {what} of at most {max} bytes for the field `{shown}`, found {found}"));
        }
    }
    Ok(())
}

/// Returns the slot of the field at `index` of its side, of which there are at most 64.
const fn slot_of(field: &SchemaField, index: u8, row_type: RowType) -> FieldSlot {
    FieldSlot { row_type, value_type: ValueType::of(field), side: field.side, index }
}
