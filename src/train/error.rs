//! Why training stopped.

use thiserror::Error;

use super::state::StateError;

/// Why training stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting of the optimizer is out of its bounds.
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
    /// The training state could not be written.
    #[error(transparent)]
    State(#[from] StateError),
}
