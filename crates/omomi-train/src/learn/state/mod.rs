//! The training state: the result of training, as Parquet that any SQL engine can read.
//!
//! It has one row per feature, sorted by `key`, the bias first:
//!
//! | Column | Type | Meaning |
//! | --- | --- | --- |
//! | `field` | text | name of the field; for a cross, its members' names joined by `*`; `(bias)` for the bias |
//! | `category` | text | an id in decimal, a text unchanged, a number's bucket as an interval such as `[10.0, 50.0)`; for a cross, its members' categories joined by `*`, with `\` before a `*` or `\` of their own; `(key 0123456789abcdef)`, the feature key, where the log had only keys; empty for the bias |
//! | `key` | u64 | feature key; 0 for the bias |
//! | `z` | f64 | sum of the gradients, minus the steps taken |
//! | `d` | f64 | curvature, `(beta + sqrt(n)) / alpha` |
//! | `impressions` | u64 | number of times that a row had the feature, in the first pass |
//! | `clicks` | u64 | number of these times with a click |
//! | `last_seen` | timestamp, microseconds UTC | time of the last row with the feature; null if the log had no times |
//! | `weight` | f64 | the weight to serve, computed from `z` and `d` by the state's [weight rule](crate::learn::WeightRule) |
//!
//! Two kinds of rows have default weights, for what serving meets without a weight. In the field `(unseen)` there is a
//! row for each field of the contract, whose name is its category: the weight of an unseen category, learned from the
//! rows that are the first to have a category, which their impressions count. In `(missing)` there is one for each
//! field that some row leaves empty. `l1` does not apply to them. `SELECT * FROM state WHERE field = '(unseen)'` lists
//! them.
//!
//! The key-value metadata of the file holds the fields of [`Metadata`], each under its name with the prefix `omomi.`.
//! They include the provenance: state and provenance are one file, which is replaced at once, so they always belong to
//! one run. Training again with equal logs and settings gives equal bytes: the file contains no path, no time of day
//! and nothing about the machine. The JSON beside a state adds these, for people; no step reads it.

mod metadata;
mod reader;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use omomi::error::Owner;
use thiserror::Error;

use omomi::feature;

use crate::learn::WeightRule;

pub use metadata::{Difference, Metadata, Start};
pub(crate) use metadata::{other_reading, widest};
pub use reader::{StateBatch, StateReader, feature_keys};
pub(crate) use writer::FinishedState;
pub use writer::StateWriter;

/// Version of the state's columns and metadata that this library writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 3;
/// Largest provenance in the metadata, in bytes of JSON.
pub const MAX_PROVENANCE_LEN: usize = 2 << 20;
/// The field of the bias row. No field of a contract can have this name.
pub const BIAS_FIELD: &str = "(bias)";
/// The key of the bias row, which makes it the first row. A feature with this key is as unlikely as any other collision
/// and does no harm, because the bias is recognized by its field.
pub const BIAS_KEY: u64 = 0;

/// The field of the default rows of unseen categories: one for each field of the contract, whose name is the
/// category. No field of a contract can have this name.
pub const UNSEEN_FIELD: &str = "(unseen)";
/// The field of the default rows of missing values, like [`UNSEEN_FIELD`].
pub const MISSING_FIELD: &str = "(missing)";

/// Returns the key of the row of `field` in [`UNSEEN_FIELD`] or [`MISSING_FIELD`]: the feature key that the text
/// `field` has as a category of it.
pub(crate) fn default_key(default_field: &str, field: &str) -> u64 {
    feature::feature_key(feature::field_seed(default_field), feature::text_value(field.as_bytes()))
}

/// Largest size of `z`, `d` and weight. No training on real rows comes near it; one row of absurd importance does, and
/// then every prediction is wrong.
const MAX_MAGNITUDE: f64 = 1e30;
/// Largest number of rows. Counts are summed as doubles, which are exact up to here.
const MAX_COUNT: u64 = 1 << 53;

/// One feature of a training state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateRow<'a> {
    /// Name of the field or cross, [`BIAS_FIELD`] for the bias.
    pub field: &'a str,
    /// Category, in the form that the table of [this module](self) specifies.
    pub category: &'a str,
    /// Feature key.
    pub key: u64,
    /// Sum of the gradients, minus the steps taken.
    pub z: f64,
    /// Curvature.
    pub d: f64,
    /// Number of times that a row had the feature.
    pub impressions: u64,
    /// Number of these times with a click.
    pub clicks: u64,
    /// Time of the last row with the feature, in microseconds since 1970-01-01 UTC; `None` if the log had no times.
    pub last_seen_us: Option<i64>,
    /// Weight on the logit scale, by the weight rule of the state.
    pub weight: f64,
}

impl StateRow<'_> {
    /// Returns whether this is the row of the bias.
    #[must_use]
    pub fn is_bias(&self) -> bool {
        self.field == BIAS_FIELD
    }

    /// Returns whether this is the default row of the unseen categories or of the missing values of a field.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.field == UNSEEN_FIELD || self.field == MISSING_FIELD
    }

    /// Returns the weight of this row by `rule`.
    #[must_use]
    pub fn weight_by(&self, rule: &WeightRule) -> f64 {
        if self.is_bias() {
            rule.bias_weight(self.z, self.d)
        } else if self.is_default() {
            rule.default_weight(self.z, self.d)
        } else {
            rule.feature_weight(self.z, self.d)
        }
    }
}

/// Why a training state cannot be written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file to write exists already.
    #[error("{} exists already; choose another name, or ask to replace it", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The failed action: `write` or `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file is not Parquet, or it is damaged.
    #[error("cannot {action} {} as Parquet", .path.display())]
    Parquet {
        /// The failed action: `write` or `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Error of the Parquet library.
        source: parquet::errors::ParquetError,
    },
    /// The file is Parquet, but not a training state that this library reads.
    #[error("{} is not a training state of this version: {problem}", .path.display())]
    NotAState {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
    },
    /// A row is invalid: no training could have written it.
    #[error("row {row} of the training state {}: {problem}", .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Number of the row, from 1.
        row: u64,
        /// What was expected and what was found.
        problem: String,
    },
}

impl StateError {
    /// Returns who must act: the team that trains, the team that runs the server and writes its logs, or the team that
    /// keeps machines and disks.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Io { .. } | Self::Parquet { .. } => Owner::Infra,
            Self::Exists { .. } | Self::NotAState { .. } | Self::Row { .. } => Owner::Ml,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::AlreadyExists {
            return Self::Exists { path: path.to_owned() };
        }
        Self::Io { action, path: path.to_owned(), source }
    }

    fn not_a_state(path: &Path, problem: impl Into<String>) -> Self {
        Self::NotAState { path: path.to_owned(), problem: problem.into() }
    }
}

/// The columns, in this order.
fn schema() -> Arc<Schema> {
    let last_seen = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("field", DataType::Utf8, false),
        Field::new("category", DataType::Utf8, false),
        Field::new("key", DataType::UInt64, false),
        Field::new("z", DataType::Float64, false),
        Field::new("d", DataType::Float64, false),
        Field::new("impressions", DataType::UInt64, false),
        Field::new("clicks", DataType::UInt64, false),
        Field::new("last_seen", last_seen, true),
        Field::new("weight", DataType::Float64, false),
    ]))
}

/// Checks that `row` is valid after a row with `previous_key`, or as the first row. Returns what is wrong.
fn fault(row: &StateRow<'_>, previous_key: Option<u64>) -> Option<String> {
    match previous_key {
        None if !row.is_bias() || row.key != BIAS_KEY => {
            return Some(format!("expected the bias first, found `{}` with key {}", row.field, row.key));
        }
        Some(_) if row.is_bias() => return Some("expected one bias, found a second".to_owned()),
        // Only the bias may be followed by its own key.
        Some(previous) if row.key < previous || (row.key == previous && row.key != BIAS_KEY) => {
            return Some(format!("expected ascending keys, found {} after {previous}", row.key));
        }
        _ => {}
    }
    // Also false for NaN.
    let is_sane = |number: f64| number.abs() <= MAX_MAGNITUDE;
    if !is_sane(row.z) || !is_sane(row.weight) {
        let place = format!("feature `{}` of `{}`", row.category, row.field);
        let (z, weight) = (row.z, row.weight);
        return Some(format!(
            "{place}: expected finite z and weight of at most {MAX_MAGNITUDE:e}, found {z:?} and {weight:?}"
        ));
    }
    if row.d <= 0.0 || !is_sane(row.d) {
        return Some(format!("expected a curvature d above 0, found {:?}", row.d));
    }
    if row.impressions > MAX_COUNT {
        return Some(format!("expected at most {MAX_COUNT} impressions, found {}", row.impressions));
    }
    if row.clicks > row.impressions {
        return Some(format!("expected at most {} clicks, found {}", row.impressions, row.clicks));
    }
    None
}

#[cfg(test)]
pub(crate) mod test_rows;

/// Separates the categories of a cross's members.
const JOINER: char = '*';
/// Precedes a [`JOINER`] or an escape that belongs to a category.
const ESCAPE: char = '\\';

/// Appends the category of the next member of a cross to `text`, which is empty before the first.
pub(crate) fn join_category(is_first: bool, category: &str, text: &mut String) {
    if !is_first {
        text.push(JOINER);
    }
    for char in category.chars() {
        if matches!(char, JOINER | ESCAPE) {
            text.push(ESCAPE);
        }
        text.push(char);
    }
}

/// Splits the category of a cross, as written in a training state, into the categories of its members, in contract
/// order. Returns `None` if an escape is at the end or before a character that needs none, which no training writes.
#[must_use]
pub fn split_categories(text: &str) -> Option<Vec<String>> {
    let mut categories = vec![String::new()];
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let char = match char {
            JOINER => {
                categories.push(String::new());
                continue;
            }
            ESCAPE => chars.next().filter(|char| matches!(*char, JOINER | ESCAPE))?,
            other => other,
        };
        categories.last_mut()?.push(char);
    }
    Some(categories)
}

#[cfg(test)]
mod tests;
