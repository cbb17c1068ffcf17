//! Why a search stopped.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::learn::TrainError;
use crate::learn::average::AverageError;
use crate::learn::shards::TrainShardsError;
use crate::log::LogError;

/// Why a search stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TuneError {
    /// No setting is to be searched.
    #[error("expected at least one setting to search, found none: alpha, l1, l2 or beta")]
    NothingToSearch,
    /// An average has no progressive loss: no shard has seen the rows of the others when it is made.
    #[error("an average of shards is judged on held-out rows: expected --held-out logs, found none")]
    NothingHeldOut,
    /// Some logs, or a shard, have no rows.
    #[error("expected rows in the logs, in every shard and in what is held out, found none")]
    NoRows,
    /// The folder for states of shards cannot be made.
    #[error("cannot make the folder {}", .path.display())]
    Scratch {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The logs cannot be cut into shards.
    #[error(transparent)]
    Shards(#[from] TrainShardsError),
    /// A trial failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// States of shards do not become one.
    #[error(transparent)]
    Average(#[from] AverageError),
}
