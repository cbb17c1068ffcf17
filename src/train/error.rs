//! Why training stopped.

use std::path::PathBuf;

use thiserror::Error;

use crate::log_reader::LogError;

use super::state::StateError;

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
    /// A log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The training state could not be written.
    #[error(transparent)]
    State(#[from] StateError),
}
