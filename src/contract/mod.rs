//! The contract: which fields a model reads, on which side, and what they mean. It is the agreement between the team
//! that trains and the team that serves, kept as data that a machine checks.
//!
//! People write `contract.toml`, which the crate `omomi-train` reads. A weight file embeds the [canonical
//! JSON](Contract::canonical_json). Logs and weight files identify the contract by its
//! [fingerprint](Contract::fingerprint). Both forms go through one validation, which reports all faults together, each
//! with its place.
//!
//! ```
//! use omomi::contract::Contract;
//!
//! let json = r#"{"name":"feed-ctr","label":"clicked","field":[
//!     {"name":"media_id","side":"context","type":"id","meaning":"the media on which the slot is"}]}"#;
//! let contract = Contract::from_json(json.as_bytes())?;
//! assert_eq!(contract.fields()[0].name, "media_id");
//! # Ok::<(), omomi::contract::ContractFaults>(())
//! ```

mod canonical;
mod reading;
mod reading_json;
#[doc(hidden)]
pub mod validate;

use std::fmt;

pub use reading::{FieldReading, ListForm, NumberFormat, Reading, TimeUnit};

use crate::bounded_json::{self, JsonLimits, JsonProblem};
use crate::feature::{self, CROSS_JOINER};

use validate::validate;

/// Largest number of fields on one side (context or candidate): presence is one 64-bit word per row.
pub const MAX_FIELDS_PER_SIDE: usize = 64;
/// Largest number of crosses in a contract.
pub const MAX_CROSSES: usize = 64;
/// Largest number of members of one cross; the smallest is 2.
pub const MAX_CROSS_MEMBERS: usize = 4;
/// Largest number of bucket edges of a number field.
pub const MAX_BUCKET_EDGES: usize = 1_024;
/// Longest name of a contract, label or field, in bytes.
pub const MAX_NAME_LEN_BYTES: usize = 64;
/// Longest unit of a number field, in bytes.
pub const MAX_UNIT_LEN_BYTES: usize = 128;
/// Longest meaning of a field, in bytes.
pub const MAX_MEANING_LEN_BYTES: usize = 1_024;

/// Most faults that a message lists. It counts the others.
const MAX_FAULTS_SHOWN: usize = 20;

/// A validated contract. Fields and crosses keep the order in which the contract lists them. That order defines the
/// order of the sums in a score.
///
/// Two contracts are equal if their [canonical JSON](Self::canonical_json) is. How logs are [read](Self::reading) does
/// not count: it is no part of the agreement with the server.
#[derive(Debug, Clone)]
pub struct Contract {
    name: String,
    label: String,
    fields: Vec<Field>,
    crosses: Vec<Cross>,
    reading: Reading,
}

impl PartialEq for Contract {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, label, fields, crosses, reading: _ } = self;
        *name == other.name && *label == other.label && *fields == other.fields && *crosses == other.crosses
    }
}

/// An input slot, such as `creative_id`.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Name of the field: in the server's schema, in every message, and in the log unless its
    /// [`column`](FieldReading::column) says otherwise.
    pub name: String,
    /// The side of a request to which it belongs.
    pub side: Side,
    /// The type of its values.
    pub kind: FieldKind,
    /// Whether a row may have any number of its categories, instead of at most one.
    pub many: bool,
    /// What the value means, in the words of both teams.
    pub meaning: String,
    /// How a serving log may record it.
    pub log: LogPolicy,
    /// How many of its categories may have a weight in a model.
    pub category_limit: Option<CategoryLimit>,
    /// What unseen categories and missing values of the field add: `unseen` in the contract.
    pub unseen: UnseenWeight,
}

/// What the unseen categories and the missing values of a field add to the logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnseenWeight {
    /// Weights that training learns: one for unseen categories, one for missing values.
    #[default]
    Learned,
    /// Nothing.
    Zero,
}

/// The side of a request that a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Shared by all candidates of a request: user, media, slot, time.
    Context,
    /// Belongs to one candidate: creative, campaign, advertiser.
    Candidate,
}

/// The type of a field's values.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldKind {
    /// A 64-bit integer.
    Id,
    /// UTF-8 text.
    Text,
    /// A number. It falls into a bucket, and the bucket is the category.
    Number {
        /// Unit of the value, for people and for the check when a model is bound to a schema.
        unit: String,
        /// Smallest and largest value. Values outside the range, and NaN, count as missing.
        range: [f64; 2],
        /// How a value becomes a category.
        buckets: Buckets,
    },
}

/// How a number becomes a category.
#[derive(Debug, Clone, PartialEq)]
pub enum Buckets {
    /// Bucket `i` holds the values that are greater than or equal to exactly `i` edges.
    Edges(Vec<f64>),
    /// One bucket per power of two: the 11 bits of the double's exponent.
    Log2,
}

/// How a serving log may record a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogPolicy {
    /// The value itself.
    Plain,
    /// Only its 64-bit value.
    Hashed,
    /// Not at all.
    Never,
}

/// A combination of the categories of several fields, used as one feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cross {
    /// Indices into [`Contract::fields`], in the order in which keys are mixed.
    pub members: Vec<usize>,
    /// How many of its features may have a weight in a model.
    pub category_limit: Option<CategoryLimit>,
}

/// How many categories of a field or cross a model may have, and what pruning does if there are more. Scoring ignores
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CategoryLimit {
    /// Largest number of categories with a weight other than 0: `max_categories` in the contract. At least 1.
    pub max: u64,
    /// What happens if there are more: `over_max` in the contract.
    pub over: OverLimit,
}

/// What pruning does if a field has more categories than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverLimit {
    /// It stops with an error, so that a person must decide.
    Error,
    /// It drops the categories with the fewest impressions.
    Drop,
}

/// One thing that is wrong with a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line in the file, counted from 1, if the form of the contract has lines.
    pub line: Option<usize>,
    /// Place inside the contract, such as `field 3 (floor_price)`.
    pub place: String,
    /// What was expected and what was found.
    pub message: String,
}

/// The faults of a contract, in the order of the file. Its text lists the first 20 and counts the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractFaults(pub Vec<Fault>);

impl Contract {
    /// Reads a contract from JSON, in canonical form or not. Takes at most about 12 MB of memory, whatever the bytes.
    ///
    /// # Errors
    ///
    /// Returns the faults of the contract together. An unknown key or a list that is too long ends the reading, and is
    /// then the only fault.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ContractFaults> {
        parse(bytes)
    }

    /// Returns the canonical JSON text of this contract: keys sorted, defaults written out, no white space, floats as
    /// the shortest text that reads back to the same double.
    #[must_use]
    pub fn canonical_json(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = canonical::write(self, &mut text);
        text
    }

    /// Whether the canonical JSON of this contract is `bytes`. Needs no memory.
    pub(crate) fn is_canonical_json(&self, bytes: &[u8]) -> bool {
        let mut rest = canonical::Rest(bytes);
        canonical::write(self, &mut rest).is_ok() && rest.0.is_empty()
    }

    /// Returns the XXH3-64 of the canonical JSON. Equal contracts have equal fingerprints; different contracts have
    /// different ones, except for hash collisions.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hash = canonical::Hash::default();
        // Writing to a hash cannot fail.
        let _ = canonical::write(self, &mut hash);
        hash.0.digest()
    }

    /// Returns the name of the contract.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the label. The log column with this name holds it, 0 or 1, unless
    /// [`Reading::label_column`] names another one.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns the fields, in contract order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Returns the crosses, in contract order.
    #[must_use]
    pub fn crosses(&self) -> &[Cross] {
        &self.crosses
    }

    /// Returns the field with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Returns the name of a cross of this contract: its members' names joined by [`CROSS_JOINER`].
    #[must_use]
    pub fn cross_name(&self, cross: &Cross) -> String {
        let names: Vec<&str> = cross.members.iter().map(|&member| self.fields[member].name.as_str()).collect();
        names.join(CROSS_JOINER)
    }

    /// Returns the side of a cross whose members are all on one side, or nothing if it needs both sides of a request.
    #[must_use]
    pub fn cross_side(&self, cross: &Cross) -> Option<Side> {
        let mut sides = cross.members.iter().map(|&member| self.fields[member].side);
        let first = sides.next()?;
        sides.all(|side| side == first).then_some(first)
    }
}

impl Field {
    /// Returns the seed of this field's feature keys.
    #[must_use]
    pub fn seed(&self) -> u64 {
        feature::field_seed(&self.name)
    }
}

impl Buckets {
    /// Returns the bucket of `number`, or nothing if it is outside `range` or NaN.
    #[inline]
    #[must_use]
    pub fn index(&self, range: [f64; 2], number: f64) -> Option<u64> {
        // Also false for NaN.
        if !(number >= range[0] && number <= range[1]) {
            return None;
        }
        Some(match self {
            Self::Edges(edges) => edges.partition_point(|&edge| edge <= number) as u64,
            // The sign is masked off, so that -0.0, which is not below 0, shares the bucket of 0.0.
            Self::Log2 => number.to_bits() >> 52 & 0x7ff,
        })
    }
}

impl FieldKind {
    /// Returns the word for this type in a contract: `id`, `text` or `number`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Text => "text",
            Self::Number { .. } => "number",
        }
    }
}

impl Side {
    /// Returns the word for this side in a contract: `context` or `candidate`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Candidate => "candidate",
        }
    }
}

impl UnseenWeight {
    /// Returns the word for this choice in a contract: `learned` or `zero`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::Zero => "zero",
        }
    }
}

impl OverLimit {
    /// Returns the word for this choice in a contract: `error` or `drop`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Drop => "drop",
        }
    }
}

impl LogPolicy {
    /// Returns the word for this policy in a contract: `plain`, `hashed` or `never`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Hashed => "hashed",
            Self::Never => "never",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        write!(formatter, "{}: {}", self.place, self.message)
    }
}

impl fmt::Display for ContractFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(formatter, "the contract has {count} fault{}", if count == 1 { "" } else { "s" })?;
        for fault in self.0.iter().take(MAX_FAULTS_SHOWN) {
            write!(formatter, "\n  {fault}")?;
        }
        match count.saturating_sub(MAX_FAULTS_SHOWN) {
            0 => Ok(()),
            more => write!(formatter, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for ContractFaults {}

/// Every key that a contract may have, at any level.
const KNOWN_KEYS: &[&str] = &[
    "buckets",
    "clicked",
    "column",
    "cross",
    "field",
    "fields",
    "label",
    "label_column",
    "lists",
    "log",
    "log2",
    "many",
    "max_categories",
    "may_be_empty",
    "meaning",
    "missing",
    "name",
    "normalize",
    "not_clicked",
    "number_format",
    "over_max",
    "quantiles",
    "range",
    "reading",
    "side",
    "time_unit",
    "type",
    "unit",
    "unseen",
];

/// The tree of the largest contract has 64 x 2 fields with 1,024 edges and about 15 other values each, and fewer than
/// 400 objects.
const JSON_LIMITS: JsonLimits<'_> = JsonLimits {
    max_depth: 6,
    max_values: 160_000,
    max_objects: 1_024,
    max_text_len_bytes: 4 * MAX_MEANING_LEN_BYTES,
    known_keys: Some(KNOWN_KEYS),
    max_items: &[
        ("field", 2 * MAX_FIELDS_PER_SIDE, "fields"),
        ("cross", MAX_CROSSES, "crosses"),
        ("buckets", MAX_BUCKET_EDGES, "bucket edges"),
    ],
};

fn parse(bytes: &[u8]) -> Result<Contract, ContractFaults> {
    let root = bounded_json::read(bytes, &JSON_LIMITS).map_err(|problem| {
        let (line, message) = match problem {
            JsonProblem::NotJson(ref error) => (Some(error.line()), format!("not JSON: {problem}")),
            JsonProblem::Limit(problem) => (None, problem),
        };
        ContractFaults(vec![Fault { line, place: "contract".to_owned(), message }])
    })?;
    validate(&root, &|_| None).map_err(ContractFaults)
}

#[cfg(test)]
mod tests;
