//! Why a state was not pruned, and who must act.

use std::path::PathBuf;

use crate::learn::TrainError;
use crate::learn::state::StateError;
use crate::log::LogError;
use crate::operate::publish::PublishError;
use crate::pack::PackError;

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
    /// The provenance beside the state cannot be read, or no weight file is so large.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The limits of the store refuse what the weight file will be.
    #[error("the store would refuse the weight file: {source}; ml must act: {}", .source.action())]
    Store {
        /// What publishing would say.
        source: PublishError,
    },
    /// Nothing was asked for.
    #[error(
        "expected at least one measure, found none: name one, such as a list of live creatives or a budget in bytes"
    )]
    NoMeasure,
    /// A measure names a field that the contract does not have.
    #[error("the contract has no field or cross `{field}`; it has {}", .known.join(", "))]
    UnknownField {
        /// The name.
        field: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A number is out of its bounds.
    #[error("{name} must be {expected}, found {found}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its bounds.
        expected: String,
        /// The number.
        found: String,
    },
    /// A measure decides by weights or evidence and there are no held-out rows to fit the bias on.
    #[error(
        "{measure} needs held-out rows: a cut by weights takes more negative ones than positive, and the bias has to be fitted again; \
         name logs that were not trained on"
    )]
    NeedsHeldOut {
        /// The measure.
        measure: &'static str,
    },
    /// The held-out rows cannot tell where the bias belongs.
    #[error(
        "expected held-out rows of which some were clicked and some were not, found {clicks} clicks in {rows} rows"
    )]
    OneSided {
        /// Rows.
        rows: u64,
        /// Those of them that were clicked.
        clicks: u64,
    },
    /// The state does not say when its features were last seen.
    #[error(
        "the training state has no times, so nothing says when a category was last seen: train with --time-column, or leave out \
         --last-seen"
    )]
    NoTimes,
    /// The list of live categories cannot be read.
    #[error("cannot read the live list {}", .path.display())]
    LiveListUnreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The list of live categories is not one.
    #[error("the live list {}{}: {problem}; whoever exports the list must act: export it again", .path.display(), line_text(*.line))]
    LiveListMalformed {
        /// The file.
        path: PathBuf,
        /// Which line, counted from 1, where it is one.
        line: Option<u64>,
        /// What was expected and what was found.
        problem: String,
    },
    /// No feature of the state is in the list.
    #[error(
        "none of the {entries} entries of the live list {} is a `{field}` that the state has seen, of {categories}: expected at \
         least one; whoever exports the list must act, unless it is right: then --allow insists",
        .path.display()
    )]
    NoneLive {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// Entries of the list.
        entries: u64,
        /// Categories of the field that have impressions.
        categories: u64,
    },
    /// More of a field would go than anybody expects.
    #[error(
        "{measure} would drop {dropped} of the {of} categories of `{field}` that have impressions, expected at most a share of {max_share}: \
         {who} must act, unless it is right: then raise --max-dropped-share, or insist with --allow"
    )]
    MostWouldGo {
        /// The measure.
        measure: &'static str,
        /// The field.
        field: String,
        /// Categories that would go.
        dropped: u64,
        /// Categories that have impressions.
        of: u64,
        /// Greatest share that may go.
        max_share: f64,
        /// Who knows what is wrong.
        who: &'static str,
    },
    /// A field has more categories than the contract allows.
    #[error(
        "`{field}` has {found} categories with a weight, the contract allows {max}: ml must act: drop more of them by another measure, or agree \
         on another `max_categories`, or on `over_max = \"drop\"`"
    )]
    TooManyCategories {
        /// The field or cross.
        field: String,
        /// Most categories.
        max: u64,
        /// Categories that have a weight.
        found: u64,
    },
    /// A category of a cross is not what training writes.
    #[error("the category `{category}` of `{field}` does not come apart into {expected} categories; train again")]
    CrossCategory {
        /// The cross.
        field: String,
        /// What the state has.
        category: String,
        /// Members of the cross.
        expected: usize,
    },
    /// No weight file is so small.
    #[error(
        "a weight file of at most {max_bytes} bytes cannot be made: without any weight it has {min} bytes already (contract, \
         provenance, golden requests)"
    )]
    BudgetTooSmall {
        /// Most bytes.
        max_bytes: u64,
        /// Bytes of a file without weights.
        min: u64,
    },
}

fn line_text(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}
