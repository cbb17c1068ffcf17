//! The errors of a search of settings.

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
    /// The options name no setting to search.
    #[error("expected at least one setting to search (alpha, l1, l2 or beta), found none")]
    NothingToSearch,
    /// A search with shards has no held-out logs. An average has no progressive loss, because its rows are learned
    /// before it exists.
    #[error("an average of shards is judged on held-out rows: expected --held-out logs, found none")]
    NothingHeldOut,
    /// The logs, the held-out logs or a shard have no rows.
    #[error("expected rows in the logs, in every shard and in the held-out logs; one of them has none")]
    NoRows,
    /// The folder for states of shards cannot be created.
    #[error("cannot create the folder {}", .path.display())]
    Scratch {
        /// The folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The logs cannot be split into shards.
    #[error(transparent)]
    Shards(#[from] TrainShardsError),
    /// A trial failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The states of shards cannot be averaged.
    #[error(transparent)]
    Average(#[from] AverageError),
}
