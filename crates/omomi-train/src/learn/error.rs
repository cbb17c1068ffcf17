//! The errors of training.

use std::path::PathBuf;

use thiserror::Error;

use crate::log::LogError;

use super::RowCacheError;
use super::state::{Difference, StateError};

/// Why training stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting is out of bounds.
    #[error("{name} must be a number {expected}, found {found:?}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Bounds of the setting, in words.
        expected: &'static str,
        /// Value of the setting.
        found: f64,
    },
    /// The options ask for 0 passes.
    #[error("expected at least 1 pass, found 0")]
    NoPass,
    /// The log has more features than 32 bits can number.
    #[error("the log has more than {limit} features; leave out the cross or field with the most categories")]
    TooManyFeatures {
        /// Largest number of features in one process.
        limit: usize,
    },
    /// The logs have no usable row.
    #[error("the logs have no rows: expected at least one to learn from")]
    NoRows,
    /// A field of the contract has no value in any row.
    #[error(
        "the field `{field}` has no value in any of {row_count} rows: expected some in the column `{column}`; correct \
         the logs or the contract, or write may_be_empty = true under the field"
    )]
    FieldNeverOccurs {
        /// The field.
        field: String,
        /// Its column.
        column: String,
        /// How many rows were read.
        row_count: u64,
    },
    /// A file is both among the logs to learn from and among the held-out logs. Its held-out metrics would be
    /// worthless.
    #[error(
        "{} is among the held-out logs and among the logs to learn from; name it in one of them only",
        .path.display()
    )]
    HeldOutIsLearned {
        /// The file.
        path: PathBuf,
    },
    /// The start state has another contract or other settings.
    #[error(
        "cannot continue from {}: its {difference}; train with the contract and settings of that state, or from \
         scratch",
        .path.display()
    )]
    StartDiffers {
        /// The start state.
        path: PathBuf,
        /// The first difference.
        difference: Difference,
    },
    /// The start state is an average of finished weights, so its `z` is not what training learned.
    #[error(
        "cannot continue from {}: it is an average of finished weights, for comparison only; average by the rule \
         `curvature`",
        .path.display()
    )]
    StartOfFinishedWeights {
        /// The start state.
        path: PathBuf,
    },
    /// The start state was pruned.
    #[error(
        "cannot continue from {}: it was pruned, so part of what was learned is missing; continue from the unpruned \
         state",
        .path.display()
    )]
    StartIsPruned {
        /// The start state.
        path: PathBuf,
    },
    /// The start state decays with its age, and its age is unknown.
    #[error(
        "cannot tell how old {} is: expected times in it and in the logs; name the time column, or give its age in \
         days",
        .path.display()
    )]
    NoAge {
        /// The start state.
        path: PathBuf,
    },
    /// The decay leaves nothing of the start state.
    #[error("after a decay of {days:.1} days nothing is left of {}; train from scratch", .path.display())]
    NothingLeft {
        /// The start state.
        path: PathBuf,
        /// Age of the state in days.
        days: f64,
    },
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A row cache cannot be built or read.
    #[error(transparent)]
    RowCache(#[from] RowCacheError),
    /// A training state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}
