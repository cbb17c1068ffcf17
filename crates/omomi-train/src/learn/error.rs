//! Why training stopped.

use std::path::PathBuf;

use thiserror::Error;

use crate::log::LogError;

use super::RowCacheError;
use super::state::{Difference, StateError};

/// Why training stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting is out of its bounds.
    #[error("{name} must be a number {expected}, found {found:?}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its bounds.
        expected: &'static str,
        /// Its value.
        found: f64,
    },
    /// Training needs at least one pass.
    #[error("expected at least 1 pass, found 0")]
    NoPass,
    /// More features than 32 bits can number.
    #[error("the log has more than {limit} features; leave out the cross or field with the most categories")]
    TooManyFeatures {
        /// Most features of one process.
        limit: usize,
    },
    /// The logs have no row that can be used.
    #[error("the logs have no rows: expected at least one to learn from")]
    NoRows,
    /// A file is to be learned from and held out.
    #[error("{} is held out, but also among the logs to learn from; name it once", .path.display())]
    HeldOutIsLearned {
        /// The file.
        path: PathBuf,
    },
    /// The state to go on from is of another contract or of other settings.
    #[error("cannot go on from {}: its {difference}; train with what it was trained with, or from nothing", .path.display())]
    StartDiffers {
        /// The state.
        path: PathBuf,
        /// In what.
        difference: Difference,
    },
    /// The state to go on from says nothing of what was learned.
    #[error(
        "cannot go on from {}: it is an average of finished weights, for comparison; average by the rule `curvature`",
        .path.display()
    )]
    StartOfFinishedWeights {
        /// The state.
        path: PathBuf,
    },
    /// The state to go on from was pruned.
    #[error("cannot go on from {}: it was pruned, so it no longer says what was learned; go on from the state before", .path.display())]
    StartIsPruned {
        /// The state.
        path: PathBuf,
    },
    /// How much is left of a state depends on its age, and nothing says it.
    #[error(
        "cannot tell how old {} is: expected times in it and in the logs; name the time column, or say its age in days",
        .path.display()
    )]
    NoAge {
        /// The state.
        path: PathBuf,
    },
    /// The decay leaves nothing of the state to go on from.
    #[error("nothing is left of {} after {days:.1} days; train from nothing", .path.display())]
    NothingLeft {
        /// The state.
        path: PathBuf,
        /// Its age.
        days: f64,
    },
    /// A log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A row cache could not be made or used.
    #[error(transparent)]
    RowCache(#[from] RowCacheError),
    /// The training state could not be written.
    #[error(transparent)]
    State(#[from] StateError),
}
