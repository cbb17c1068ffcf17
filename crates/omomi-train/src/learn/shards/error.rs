//! Why training in shards stopped.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::learn::TrainError;
use crate::learn::average::{AverageError, Rule};
use crate::learn::recalibrate::RecalibrateError;
use crate::log::LogError;

/// Why training in shards stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainShardsError {
    /// A shard is a whole number of files, and there are too few.
    #[error(
        "expected at least {expected} files, one a shard, found {found}; ask for fewer shards, or cut by another --split"
    )]
    TooFewFiles {
        /// Number of shards.
        expected: usize,
        /// Number of files.
        found: usize,
    },
    /// The logs are to be cut by time and have no rows.
    #[error("the logs have no rows: expected at least two times to cut between")]
    NoTimes,
    /// One shard is no shard.
    #[error("expected at least 2 shards, found {found}; train without shards")]
    TooFewShards {
        /// Number of shards.
        found: u32,
    },
    /// Rounds go on from averages, and these are none to go on from.
    #[error(
        "rounds go on from averages by the rule `curvature`, found `{rule}`; ask for 1 round, or leave the rule out"
    )]
    NoRoundsByRule {
        /// The rule.
        rule: Rule,
    },
    /// Another process works in the folder.
    #[error("{}: another training works in this folder; wait for it, or name another --work-dir", .work_dir.display())]
    Busy {
        /// The folder.
        work_dir: PathBuf,
    },
    /// Some shards could not be learned. What the others have learned is kept.
    #[error(
        "{} of {shard_count} shards failed:{}\n\
         the {} others are kept in {}: put right what is wrong and run the same command again",
        failures.len(), listed(failures), *shard_count as usize - failures.len(), .work_dir.display()
    )]
    Shards {
        /// Which ones, and why.
        failures: Vec<ShardFailure>,
        /// How many there are.
        shard_count: u32,
        /// Where the states of the others are.
        work_dir: PathBuf,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The states of the shards do not become one.
    #[error(transparent)]
    Average(#[from] AverageError),
    /// The merged state is not recalibrated.
    #[error(transparent)]
    Recalibrate(#[from] RecalibrateError),
    /// Training cannot begin.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl TrainShardsError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// A shard that could not be learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardFailure {
    /// Its number, from 1.
    pub shard: u32,
    /// What went wrong, in the last attempt.
    pub message: String,
    /// Where its process has left what it said on standard error.
    pub stderr: PathBuf,
}

fn listed(failures: &[ShardFailure]) -> String {
    let line = |ShardFailure { shard, message, stderr }: &ShardFailure| {
        format!("\n  shard {shard}: {message} (all it said: {})", stderr.display())
    };
    failures.iter().map(line).collect()
}
