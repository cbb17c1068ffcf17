//! Why states were not averaged.

use std::path::PathBuf;

use thiserror::Error;

use crate::learn::TrainError;
use crate::learn::state::{Difference, StateError};

/// Why states were not averaged. Nothing was written then, but where [`StateError`] names a file that could not be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AverageError {
    /// There is nothing to average.
    #[error("expected at least 2 training states to average, found {found}")]
    TooFew {
        /// How many there are.
        found: usize,
    },
    /// A state is named twice, or there is a copy of it.
    #[error("{} and {} are the same training state; name it once", .first.display(), .second.display())]
    Twice {
        /// The first of the two.
        first: PathBuf,
        /// The second.
        second: PathBuf,
    },
    /// Two states were not trained alike.
    #[error(
        "{} cannot be averaged with {}: its {difference}; train all with the same contract and settings",
        .path.display(), .other.display()
    )]
    Differs {
        /// The state.
        path: PathBuf,
        /// The first state.
        other: PathBuf,
        /// In what they differ.
        difference: Difference,
    },
    /// Pruning has taken features out of a state.
    #[error("{} cannot be averaged: it was pruned, so it no longer says what was learned; average first, then prune", .path.display())]
    Pruned {
        /// The state.
        path: PathBuf,
    },
    /// A state is no longer as training has left it.
    #[error(
        "{} cannot be averaged: its {name} is {found:?}, expected {expected:?} as training leaves it; average first, then \
         prune and recalibrate",
        .path.display()
    )]
    Changed {
        /// The state.
        path: PathBuf,
        /// What of its weight rule.
        name: &'static str,
        /// What training leaves.
        expected: f64,
        /// What it is.
        found: f64,
    },
    /// A state has far fewer or far more rows than the others.
    #[error(
        "{} has {rows} rows, expected half to twice the median of {median_rows}; look why its data set is so {}, or \
         allow uneven states",
        .path.display(), if .rows < .median_rows { "small" } else { "large" }
    )]
    Uneven {
        /// The state.
        path: PathBuf,
        /// Its rows, those of the start left out.
        rows: u64,
        /// Median of all states.
        median_rows: u64,
    },
    /// A state did not begin where it should have.
    #[error("{} began from {found}, expected {expected}; {action}", .path.display())]
    OtherStart {
        /// The state.
        path: PathBuf,
        /// What the others, or the options, say.
        expected: String,
        /// What the state says.
        found: String,
        /// What to do.
        action: &'static str,
    },
    /// More states than the start was shared among.
    #[error(
        "{state_count} states went on from {}, each with one of {shares} shares of it, expected at least {state_count}: what all of \
         them correct alike would be corrected {state_count} times; train each with --start-shares {state_count}",
        .start.display()
    )]
    TooFewShares {
        /// The start.
        start: PathBuf,
        /// How many states there are.
        state_count: usize,
        /// Among how many runs the start was shared.
        shares: u32,
    },
    /// An average that contains the whole of the start is to be averaged like a run that took a share of it.
    #[error(
        "{} is an average and contains all of its start; average the states that it was made of together with the others",
        .path.display()
    )]
    AverageOfShares {
        /// The state.
        path: PathBuf,
    },
    /// A state has seen less than what it went on from.
    #[error(
        "{} has {} impressions and {} clicks of `{field}` {category:?}, expected at least the {} and {} of its start; train \
         it again",
        .path.display(), .found.0, .found.1, .expected.0, .expected.1
    )]
    LessThanStart {
        /// The state.
        path: PathBuf,
        /// Field of the feature.
        field: String,
        /// Its category.
        category: String,
        /// Impressions and clicks of the start.
        expected: (u64, u64),
        /// Impressions and clicks of the state.
        found: (u64, u64),
    },
    /// The common start cannot be gone on from.
    #[error(transparent)]
    Start(#[from] TrainError),
    /// A state could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}
