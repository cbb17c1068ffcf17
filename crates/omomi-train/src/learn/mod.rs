//! Trains a model from log rows: logistic regression by per-coordinate FTRL-Proximal.
//!
//! [`train`] does a whole run, from log files to a [training state](state) and its provenance. [`Trainer`] is its core:
//! it learns batches of rows from any source.
//!
//! ```text
//! logs --LogReader--> batches --RowIndexer--> rows of feature numbers --Learner--> coordinates --> training state
//!                                                  |        ^
//!                                                  +--> row cache: further passes, other settings, other rounds
//! ```
//!
//! One thread decodes batches while another numbers their features and learns them. The result does not depend on which
//! thread is faster. Rows can be [down-sampled](Sampling), and a column of the log can say how much each row counts.
//!
//! # Limits
//!
//! One process holds at most 2^32 - 1 features. Each takes about 100 bytes plus its text. The value of a number field
//! enters the model only as its bucket.

pub mod average;
pub(crate) mod category;
mod chunk_features;
pub(crate) mod feature_table;
mod iterates;
mod key_index;
mod last_day;
mod learner;
mod optimizer;
mod pipeline;
mod provenance;
mod quantiles;
pub mod recalibrate;
mod row_cache;
mod row_indexer;
mod run;
mod sampling;
pub mod shards;
mod start_state;
pub mod state;
mod state_model;
mod trainer;
pub mod tune;
mod unseen;

use std::path::PathBuf;

use thiserror::Error;

use crate::log::LogError;
use omomi::error::Owner;
use state::{Difference, StateError};

pub use last_day::SettledBias;
pub use optimizer::{Coordinate, Settings, WeightRule, weight};
pub use provenance::utc;
pub(crate) use provenance::{
    files_json, lasting, metrics_json, read_provenance, refuse_existing_state, start_json, whole_provenance,
    window_json, write_provenance,
};
pub use quantiles::{QuantileError, fill_quantiles};
pub use row_cache::RowCacheError;
pub use run::{Account, Event, Step, TrainOptions, WINDOW_ROW_COUNT, provenance_path, recalibration_rows, train};
pub(crate) use run::{
    all_rows, held_out_rows, refuse_empty_fields, refuse_leakage, refuse_relearning, refuse_start_times, train_part,
};
pub use sampling::Sampling;
pub use start_state::{LINEAGE_DAYS_LIMIT, StartAccount, StartOptions};
pub(crate) use start_state::{
    age_days, days_of, decayed, decayed_rows, refuse_start, share_of, share_of_bias, share_of_default,
};
pub use state_model::{StateDefaults, StateFeature, StateModel};
pub use trainer::{FieldFeatures, Trainer, WrittenState};
pub use unseen::FileUnseen;
pub(crate) use unseen::unseen_warnings;

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
    /// The held-out logs have no usable row.
    #[error("the held-out logs have no rows: expected at least one; correct their pattern, or leave them out")]
    NoHeldOutRows,
    /// The logs have rows, but none in the part that this process learns.
    #[error(
        "none of the {row_count} rows of the logs is in this part: expected at least one; use fewer shards, or split \
         by something with more different values, such as --split random"
    )]
    NoRowsInPart {
        /// How many rows the logs have.
        row_count: u64,
    },
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
    /// A field that the contract says is never logged has no value in any row: the logs are most likely served ones.
    #[error(
        "the field `{field}` has no value in any of {row_count} rows: the contract says that it is never logged, so a \
         served log cannot have it; log it `hashed` if the model needs it, train from logs that have it, or write \
         may_be_empty = true under the field"
    )]
    FieldNeverLogged {
        /// The field.
        field: String,
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
    /// The start state has learned a log already.
    #[error(
        "{} was learned already: {} contains it, perhaps from a copy under another name; name only logs that are new, \
         or pass --again to learn it once more",
        .path.display(), .start.display()
    )]
    LearnedAlready {
        /// The log.
        path: PathBuf,
        /// The start state.
        start: PathBuf,
    },
    /// The start state has times, and this run reads none: the rows would look as old as those of the start state.
    #[error(
        "{} has the times of its rows, and this run has no time column: what depends on age (decay, forgetting, pruning \
         by the last row, limits on old data) would not see the new rows; name the time column of the logs",
        .path.display()
    )]
    StartHasTimes {
        /// The start state.
        path: PathBuf,
    },
    /// The start state ends in the future, so that the age of all that follows would be hidden.
    #[error(
        "the training data of {} ends in the future, at {end}: expected at most a day from now; correct the times of \
         its logs and train it again, or take any time",
        .path.display()
    )]
    StartEndsInFuture {
        /// The start state.
        path: PathBuf,
        /// Its end.
        end: String,
    },
    /// An output is a log of the run.
    #[error("{} is one of the logs: expected an output that replaces no log; give it another name", .path.display())]
    OutputIsLog {
        /// The output.
        path: PathBuf,
    },
    /// Two logs have the same content.
    #[error(
        "{} is a copy of {}: expected each row once; name one of them only, or pass --again to learn both",
        .copy.display(), .path.display()
    )]
    CopyOfLog {
        /// The first log.
        path: PathBuf,
        /// Its copy.
        copy: PathBuf,
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
    /// The start state was imported without evidence.
    #[error(
        "cannot continue from {}: its weights were imported without the evidence that they were learned from, so a \
         single row could move any of them far; import them with impressions (a column, or --impressions), or train \
         from scratch",
        .path.display()
    )]
    StartWithoutEvidence {
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

impl TrainError {
    /// Returns who must act: the team that trains, the team that runs the server and writes its logs, or the team that
    /// keeps machines and disks.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::NoRows | Self::NoHeldOutRows | Self::FieldNeverOccurs { .. } | Self::CopyOfLog { .. } => {
                Owner::Delivery
            }
            Self::Setting { .. }
            | Self::NoPass
            | Self::TooManyFeatures { .. }
            | Self::NoRowsInPart { .. }
            | Self::HeldOutIsLearned { .. }
            | Self::LearnedAlready { .. }
            | Self::StartHasTimes { .. }
            | Self::StartEndsInFuture { .. }
            | Self::OutputIsLog { .. }
            | Self::StartDiffers { .. }
            | Self::StartOfFinishedWeights { .. }
            | Self::StartIsPruned { .. }
            | Self::StartWithoutEvidence { .. }
            | Self::NoAge { .. }
            | Self::FieldNeverLogged { .. }
            | Self::NothingLeft { .. } => Owner::Ml,
            Self::Log(error) => error.owner(),
            Self::RowCache(error) => error.owner(),
            Self::State(error) => error.owner(),
        }
    }
}
