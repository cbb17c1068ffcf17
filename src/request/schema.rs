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

use crate::contract::{Contract, FieldKind, MAX_FIELDS_PER_SIDE, Side};
use crate::error::Error;

/// The fields that a server declares, each side in the order given.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    context: Vec<SchemaField>,
    candidate: Vec<SchemaField>,
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
/// look-up by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSlot {
    /// The side whose rows have the field.
    pub side: Side,
    /// The index of the slot in such a row, from 0.
    pub index: usize,
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
    /// Returns [`Error::SchemaInvalid`] if a name is empty or declared twice, a side has more than 64 fields, a number
    /// is `many`, or a range is not two finite numbers, the smaller first.
    pub fn new(fields: Vec<SchemaField>) -> Result<Self, Error> {
        let invalid = |problem: String| Err(Error::SchemaInvalid { problem });
        let mut schema = Self { context: Vec::new(), candidate: Vec::new() };
        for field in fields {
            if field.name.is_empty() {
                return invalid("a field has no name".to_owned());
            }
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
        Ok(schema)
    }

    /// Returns the schema that declares exactly the fields of `contract`, in contract order. For tools and tests. A
    /// server should declare its fields itself: only then does binding detect that the contract has changed.
    #[must_use]
    pub fn of_contract(contract: &Contract) -> Self {
        let mut schema = Self { context: Vec::new(), candidate: Vec::new() };
        for field in contract.fields() {
            let kind = match &field.kind {
                FieldKind::Id => SchemaKind::Id,
                FieldKind::Text => SchemaKind::Text,
                FieldKind::Number { unit, range, .. } => SchemaKind::Number { unit: unit.clone(), range: *range },
            };
            let declared = SchemaField { name: field.name.clone(), side: field.side, kind, many: field.many };
            schema.fields_mut(field.side).push(declared);
        }
        schema
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
            let index = self.fields(side).iter().position(|field| field.name == name)?;
            Some(FieldSlot { side, index })
        })
    }

    fn fields_mut(&mut self, side: Side) -> &mut Vec<SchemaField> {
        match side {
            Side::Context => &mut self.context,
            Side::Candidate => &mut self.candidate,
        }
    }
}
