//! The errors of averaging.

use std::path::PathBuf;

use thiserror::Error;

use crate::learn::TrainError;
use crate::learn::state::{Difference, StateError};
use omomi::error::Owner;

/// Why states were not averaged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AverageError {
    /// There are fewer than 2 states.
    #[error("expected at least 2 training states to average, found {found}")]
    TooFew {
        /// Number of states.
        found: usize,
    },
    /// A state is named twice, or a copy of it is named too.
    #[error("{} and {} are the same training state; name it once", .first.display(), .second.display())]
    Twice {
        /// The first of the two.
        first: PathBuf,
        /// The second of the two.
        second: PathBuf,
    },
    /// Two states have different contracts or settings.
    #[error(
        "{} cannot be averaged with {}: its {difference}; train all with the same contract and settings",
        .path.display(), .other.display()
    )]
    Differs {
        /// The state.
        path: PathBuf,
        /// The first state.
        other: PathBuf,
        /// Their first difference.
        difference: Difference,
    },
    /// A state was pruned.
    #[error(
        "{} cannot be averaged: it was pruned, so part of what was learned is missing; average first, then prune",
        .path.display()
    )]
    Pruned {
        /// The state.
        path: PathBuf,
    },
    /// A state was imported without evidence.
    #[error(
        "{} cannot be averaged: its weights were imported without evidence, so it is not known how much each of them \
         counts; import it with impressions",
        .path.display()
    )]
    WithoutEvidence {
        /// The state.
        path: PathBuf,
    },
    /// The weight rule of a state was changed after training.
    #[error(
        "{} cannot be averaged: its {name} is {found:?}, expected {expected:?} as after training; average first, then \
         prune and recalibrate",
        .path.display()
    )]
    Changed {
        /// The state.
        path: PathBuf,
        /// The number of the weight rule that was changed.
        name: &'static str,
        /// Value of the number after training.
        expected: f64,
        /// Value of the number now.
        found: f64,
    },
    /// A state has far fewer or far more rows than the others.
    #[error(
        "{} has {rows} rows, expected half to twice the median of {median_rows}; find out why its data set is so {}, \
         or allow uneven states",
        .path.display(), if .rows < .median_rows { "small" } else { "large" }
    )]
    Uneven {
        /// The state.
        path: PathBuf,
        /// Number of its rows, without those of the start state.
        rows: u64,
        /// Median number of rows of all states.
        median_rows: u64,
    },
    /// A state has another start state than the other states or the options.
    #[error("{} was trained from {found}, expected {expected}; {action}", .path.display())]
    OtherStart {
        /// The state.
        path: PathBuf,
        /// The start state of the others, or of the options.
        expected: String,
        /// The start state of this state.
        found: String,
        /// What to do.
        action: &'static str,
    },
    /// There are more states than shares of the start state.
    #[error(
        "{state_count} states continued from {}, expected each to take at most 1 of {state_count} shares of it, found \
         1 of {shares}; a correction that all of them make would count too often; train each with --start-shares \
         {state_count}",
        .start.display()
    )]
    TooFewShares {
        /// The start state.
        start: PathBuf,
        /// Number of states.
        state_count: usize,
        /// Number of shares of the start state.
        shares: u32,
    },
    /// A state is an average, which contains the whole start state, while the others took shares of it.
    #[error(
        "{} is an average and contains its whole start state; average the states that it was made from together with \
         the others",
        .path.display()
    )]
    AverageOfShares {
        /// The state.
        path: PathBuf,
    },
    /// A feature of a state has fewer impressions or clicks than in the start state.
    #[error(
        "{} has {} impressions and {} clicks of `{field}` {category:?}, expected at least {} and {}, as in its start \
         state; train it again",
        .path.display(), .found.0, .found.1, .expected.0, .expected.1
    )]
    LessThanStart {
        /// The state.
        path: PathBuf,
        /// Field of the feature.
        field: String,
        /// Category of the feature.
        category: String,
        /// Impressions and clicks in the start state.
        expected: (u64, u64),
        /// Impressions and clicks in the state.
        found: (u64, u64),
    },
    /// Training cannot continue from the common start state.
    #[error(transparent)]
    Start(#[from] TrainError),
    /// A state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl AverageError {
    /// Returns who must act: the team that trains, the team that runs the server and writes its logs, or the team that
    /// keeps machines and disks.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Start(error) => error.owner(),
            Self::State(error) => error.owner(),
            _ => Owner::Ml,
        }
    }
}
