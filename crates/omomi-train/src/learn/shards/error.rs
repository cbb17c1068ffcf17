//! The errors of training in shards.

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
    /// With `--split file`, there are fewer files than shards.
    #[error("expected at least {expected} files, one per shard, found {found}; use fewer shards or another --split")]
    TooFewFiles {
        /// Number of shards.
        expected: usize,
        /// Number of files.
        found: usize,
    },
    /// The logs have no rows, so they cannot be split by time.
    #[error("expected rows with times, to split the logs by time; the logs have no rows")]
    NoTimes,
    /// The options ask for fewer than 2 shards.
    #[error("expected at least 2 shards, found {found}; train without shards")]
    TooFewShards {
        /// Number of shards.
        found: u32,
    },
    /// There are several rounds, but training cannot continue from an average by this rule.
    #[error(
        "expected the rule `curvature` for several rounds, found `{rule}`; train in 1 round, or leave the rule out"
    )]
    NoRoundsByRule {
        /// The rule.
        rule: Rule,
    },
    /// Another process uses the work folder.
    #[error("another training is using {}; wait for it, or use another --work-dir", .work_dir.display())]
    Busy {
        /// The folder.
        work_dir: PathBuf,
    },
    /// Some shards failed. The states of the others are kept.
    #[error(
        "{} of {shard_count} shards failed:{}\n\
         the {} others are kept in {}; fix the problem and run the same command again",
        failures.len(), listed(failures), *shard_count as usize - failures.len(), .work_dir.display()
    )]
    Shards {
        /// The shards that failed, and why.
        failures: Vec<ShardFailure>,
        /// Number of all shards.
        shard_count: u32,
        /// Folder with the states of the others.
        work_dir: PathBuf,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The failed action.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The states of the shards cannot be averaged.
    #[error(transparent)]
    Average(#[from] AverageError),
    /// The merged state cannot be recalibrated.
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

/// A shard that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardFailure {
    /// Number of the shard, from 1.
    pub shard: u32,
    /// Error of the last attempt.
    pub message: String,
    /// File with the standard error of its processes.
    pub stderr: PathBuf,
}

fn listed(failures: &[ShardFailure]) -> String {
    let line = |ShardFailure { shard, message, stderr }: &ShardFailure| {
        format!("\n  shard {shard}: {message} (full output: {})", stderr.display())
    };
    failures.iter().map(line).collect()
}
