//! Why a state was not pruned, and who must act.

use std::path::PathBuf;

use crate::learn::TrainError;
use crate::learn::state::StateError;
use crate::log::LogError;
use crate::operate::publish::PublishError;
use crate::pack::PackError;

/// What to do about texts that look the same and are not.
pub(super) const NFC_REMEDY: &str = "write the list in the form of the logs, or set `normalize = \"nfc\"` for the \
                                     field in the contract and train again";

/// Why a state was not pruned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The state cannot be read into memory.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The held-out logs cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The provenance beside the state cannot be read, or a weight file cannot be as large as this one would be.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The store would reject the planned weight file.
    #[error("the store would reject the weight file: {source}; ml must act: {}", .source.action())]
    Store {
        /// The error that publishing would return.
        source: PublishError,
    },
    /// No measure was requested.
    #[error(
        "expected at least one measure, found none: name one, such as a list of live creatives or a budget in bytes"
    )]
    NoMeasure,
    /// A measure names a field that the contract does not have.
    #[error("the contract has no field or cross `{field}`; it has {}", .known.join(", "))]
    UnknownField {
        /// The name.
        field: String,
        /// The names of all fields and crosses.
        known: Vec<String>,
    },
    /// A setting is out of its bounds.
    #[error("{name} must be {expected}, found {found}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// The values that it can have.
        expected: String,
        /// The value that it has.
        found: String,
    },
    /// A measure drops weights by their size, and there are no held-out rows to fit the bias on.
    #[error(
        "{measure} needs held-out rows: it drops more negative weights than positive ones, so the bias must be fitted \
         again; name logs that were not used in training"
    )]
    NeedsHeldOut {
        /// The measure.
        measure: &'static str,
    },
    /// The bias cannot be fitted, because either all held-out rows were clicked or none.
    #[error("expected some held-out rows with a click and some without, found {clicks} clicks in {rows} rows")]
    OneSided {
        /// Number of rows.
        rows: u64,
        /// How many of them were clicked.
        clicks: u64,
    },
    /// The state does not say when its features were last seen.
    #[error(
        "the training state has no times, so it does not say when a category was last seen: train with --time-column, \
         or leave out --last-seen"
    )]
    NoTimes,
    /// Too many categories would be dropped, some of them only because the live list has them in another Unicode form.
    #[error(
        "{}: {count} categories of `{field}` have the same text as an entry, but in another Unicode form, such as \
         `{}`; {NFC_REMEDY}; the owner of the list must act",
        .path.display(), .example.escape_default()
    )]
    OtherUnicodeForm {
        /// The list.
        path: PathBuf,
        /// Name of the field.
        field: String,
        /// Number of such categories.
        count: u64,
        /// One of them.
        example: String,
    },
    /// The live list cannot be read.
    #[error("cannot read the live list {}", .path.display())]
    LiveListUnreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The live list is malformed.
    #[error(
        "the live list {}{}: {problem}; the owner of the list must act: export it again",
        .path.display(), line_text(*.line)
    )]
    LiveListMalformed {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1, or `None` if the problem is not in one line.
        line: Option<u64>,
        /// What was expected and what was found.
        problem: String,
    },
    /// No category of the state is in the live list.
    #[error(
        "none of the {entries} entries of the live list {} is one of the {categories} categories of `{field}` with \
         impressions, expected at least one: the owner of the list must act; if the list is right, use --allow",
        .path.display()
    )]
    NoneLive {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// Number of entries in the list.
        entries: u64,
        /// Number of the field's categories that have impressions.
        categories: u64,
    },
    /// A measure would drop too large a share of a field.
    #[error(
        "{measure} would drop {dropped} of the {of} categories of `{field}` that have impressions, expected at most a \
         share of {max_share}: {who} must act; if it is right, raise --max-dropped-share or use --allow"
    )]
    MostWouldGo {
        /// The measure.
        measure: &'static str,
        /// The field.
        field: String,
        /// Number of categories that would be dropped.
        dropped: u64,
        /// Number of categories that have impressions.
        of: u64,
        /// Largest share that may be dropped.
        max_share: f64,
        /// Who must act.
        who: &'static str,
    },
    /// A field has more categories than the contract allows.
    #[error(
        "`{field}` has {found} categories with a weight, but the contract allows {max}: ml must act: drop more \
         categories by another measure, or agree on another `max_categories` or on `over_max = \"drop\"`"
    )]
    TooManyCategories {
        /// The field or cross.
        field: String,
        /// Most categories that the contract allows.
        max: u64,
        /// Number of categories that have a weight.
        found: u64,
    },
    /// A category of a cross in the state does not have the form that training writes.
    #[error("the category `{category}` of `{field}` cannot be split into {expected} categories; train again")]
    CrossCategory {
        /// The cross.
        field: String,
        /// The category in the state.
        category: String,
        /// Number of members of the cross.
        expected: usize,
    },
    /// The budget is smaller than a weight file without weights.
    #[error(
        "a weight file cannot have at most {max_bytes} bytes: even without weights it has {min} bytes (contract, \
         provenance, golden requests)"
    )]
    BudgetTooSmall {
        /// The budget in bytes.
        max_bytes: u64,
        /// Bytes of a weight file without weights.
        min: u64,
    },
}

fn line_text(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}
