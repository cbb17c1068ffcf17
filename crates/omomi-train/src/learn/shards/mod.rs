//! Trains a log in parallel processes. The log is split into shards, each process trains one shard like `omomi train`,
//! and the states are [averaged](crate::learn::average).
//!
//! # Splitting
//!
//! | [`Split`] | A shard is | A process reads |
//! | --- | --- | --- |
//! | `file` | whole files, distributed by size | its own files |
//! | `column:NAME` | the rows with the same values in a column | all files, and keeps its rows |
//! | `time` | an equal span of time | all files, and keeps its rows |
//! | `random` | rows selected by a hash of their numbers | all files, and keeps its rows |
//!
//! The command of one shard can be run by hand, on any machine that has the logs:
//! `omomi train --shard 2/8 --split random ...` writes the same bytes.
//!
//! # What is kept, and what is trained again
//!
//! ```text
//! WORK_DIR/
//!     progress.jsonl               one ProgressEvent per line, from all commands, oldest first
//!     round-01/
//!         shard-0001.parquet       the state of a shard
//!         shard-0001.provenance.json   the copy of its provenance, for people
//!         shard-0001.done.json     the marker, written last: what the state depends on, its digest, and what was noticed
//!         shard-0001.stderr.txt    standard error of its processes
//!         merged.parquet           the merged state, if another round or a recalibration follows
//! ```
//!
//! A shard is not trained again if its marker has the same version, contract, settings, split and logs (by content,
//! SHA-256). If one of them has changed, the shard is trained again and the reason is reported. So if you repeat a
//! command, it does only what is missing. Every command reads each log once to compute its digest, which costs little
//! compared with learning it.
//!
//! A process that dies (by a signal, a panic, or lack of memory) is restarted alone, up to [`retry_count`] times. A
//! process that reports an error (exit code 1: a bad row, a missing file, a full disk) is not restarted, because it
//! would fail again. Neither stops the other shards. If the parent process dies, its children exit, because their
//! standard input ends.
//!
//! [`retry_count`]: TrainShardsOptions::retry_count
//!
//! # When shards are worth it
//!
//! A shard sees only some of the rows of a rare category, so an average knows less than one run. With the learning rate
//! of [`shard_alpha`], 8 random shards lost this much normalized entropy against one run over the same rows:
//!
//! | rows | click rate | `alpha`, passes | 1 round | 2 rounds |
//! | --- | --- | --- | --- | --- |
//! | 100,000 | 0.2 % | 0.1, 3 | 0.10 % | 1.82 % |
//! | 100,000 | 2 % | 0.1, 3 | 0.47 % | 0.19 % |
//! | 100,000 | 20 % | 0.1, 3 | 0.39 % | 0.41 % |
//! | 1,000,000 | 0.2 % | 0.1, 3 | 0.06 % | 0.11 % |
//! | 1,000,000 | 0.2 % | 0.2, 1 | 0.37 % | 0.11 % |
//! | 1,000,000 | 2 % | 0.1, 3 | 0.41 % | 0.21 % |
//! | 1,000,000 | 2 % | 0.2, 1 | 0.67 % | 0.17 % |
//!
//! One process learns up to [`ALONE_ROW_COUNT`] rows in seconds, so `omomi train --shards` then trains in one process
//! and loses nothing, unless `--always-shard` insists. Larger logs are learned in two rounds.
//!
//! # Rounds
//!
//! In round `r` of `R`, each shard learns the `r`-th part of its rows, selected by a hash of their numbers. It
//! continues from the merged state of the round before, of which it takes its
//! [share](crate::learn::StartOptions#shares). So every row is learned and counted once, and the shards exchange what
//! they have learned `R` times. To learn the same rows more than once, use [`passes`](TrainOptions::passes), which
//! apply within a round. Results on 480,000 rows of a generated log
//! (`generate-log --rows 600000 --seed 11 --click-rate 0.1 --files 10`, the last two files held out), with 8 random
//! shards and an `alpha` of 0.1:
//!
//! | | normalized entropy | calibration ratio |
//! | --- | --- | --- |
//! | one run | 0.8156 | 1.014 |
//! | 8 shards, 1 round | 0.8170 | 0.973 |
//! | 8 shards, 2 rounds | 0.8143 | 0.964 |
//! | 8 shards, 4 rounds | 0.8147 | 0.932 |
//! | one run, 2 passes | 0.8110 | 1.025 |
//! | 8 shards, 2 passes, 1 round | 0.8122 | 0.992 |
//! | 8 shards, 2 passes, 2 rounds | 0.8113 | 0.973 |
//!
//! With the default settings and 8 shards of 8 million rows (`generate-log --rows 10000000 --seed 7 --files 20`, the
//! last four files held out), the normalized entropy is 0.8853 after 0.8839 of one run at a click rate of 0.2 %, and
//! 0.8310 after 0.8297 at 2 %: 0.16 and 0.15 % more.
//!
//! Two rounds win back what splitting costs. Four rounds are no better, and their predictions are too low: recalibrate
//! afterwards. Except with `file`, each round decodes all rows again.
//!
//! # The same bytes every time
//!
//! The resulting state depends on the logs, the settings, the number of shards and the split. It does not depend on the
//! number of processes, the order in which they end, retries, or what was kept from earlier commands.
//!
//! # Limits
//!
//! Except with `file`, every process decodes all rows: with eight shards, the log is decoded eight times. With `file`,
//! a file whose length changes may move other files to other shards. Names of logs must be UTF-8.

mod inputs;
mod noticed;
mod progress;
mod run;
mod split;
mod supervisor;
mod worker;

use std::io;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use thiserror::Error;

use crate::evaluate::Metrics;
use crate::learn::average::{AverageError, AverageReport, Rule};
use crate::learn::recalibrate::{RecalibrateError, RecalibrateReport};
use crate::learn::{FileUnseen, TrainError, TrainOptions};
use crate::log::{FileMissing, LogError, LogFile};
use omomi::error::Owner;

pub use progress::{ProgressEvent, ShardEvent};
pub use run::train_shards;
pub(crate) use split::distribute;
pub use split::{OneOf, Split, TimeRange, narrow_to_round};
pub use worker::train_for_parent;

/// Options of a training in shards.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainShardsOptions {
    /// Options of all shards together: the logs, how they are learned, and the path of the merged state. Every shard is
    /// trained with these settings, so choose `alpha` by [`shard_alpha`].
    pub train: TrainOptions,
    /// File with the contract, which the processes read.
    pub contract_file: PathBuf,
    /// Number of shards, at least 2.
    pub shard_count: u32,
    /// How rows are distributed to the shards.
    pub split: Split,
    /// Maximum number of parallel processes.
    pub process_count: usize,
    /// How many times the process of a shard is restarted when it dies.
    pub retry_count: u32,
    /// Number of rounds, each of which ends with averaging: at least 1.
    pub round_count: u32,
    /// How the shards are averaged.
    pub rule: Rule,
    /// Whether a shard may have less than half or more than twice the median number of rows.
    pub allow_uneven: bool,
    /// Paths and patterns of logs on which the merged state is recalibrated. No shard may learn from them. Empty for
    /// none.
    pub recalibrate_on: Vec<String>,
    /// Folder in which the states of the shards are kept.
    pub work_dir: PathBuf,
    /// Program that trains a shard: `omomi`.
    pub program: PathBuf,
}

impl TrainShardsOptions {
    /// Returns options that split by whole files into shards of about the same size, and average them in two rounds by
    /// curvature. There are as many processes as processors, and each is restarted twice. The states of the shards are
    /// kept beside the merged one, in a folder with the extension `shards`.
    #[must_use]
    pub fn new(
        train: TrainOptions,
        contract_file: impl Into<PathBuf>,
        shard_count: u32,
        program: impl Into<PathBuf>,
    ) -> Self {
        Self {
            contract_file: contract_file.into(),
            shard_count,
            split: Split::File,
            process_count: available_parallelism().map_or(1, usize::from),
            retry_count: 2,
            round_count: 2,
            rule: Rule::Curvature,
            allow_uneven: false,
            recalibrate_on: Vec::new(),
            work_dir: train.state.with_extension("shards"),
            program: program.into(),
            train,
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Returns the learning rate for shards whose merged model should learn like one run with `alpha`.
///
/// The curvature of a feature grows with the square root of its number of rows, and square roots do not add up. If rows
/// are split into `k` parts, the roots of the parts sum to `sqrt(k)` times the root of the whole. The curvatures agree
/// again if the `alpha` of the shards is `sqrt(k)` times as large.
///
/// With several passes, or a large `alpha`, a shard comes close to the best weights for its own rows, and `sqrt(k)`
/// lets it learn their noise by heart. The fourth root of `k` then loses least: on 100,000 rows in 8 shards and 3
/// passes, 0.1 to 0.5 % of normalized entropy, against 0.2 to 1.3 % with the square root and 0.9 to 2.3 % with the
/// `alpha` of one run. So with one pass, the square root applies up to 0.3, and with several, the fourth root does.
#[must_use]
pub fn shard_alpha(alpha: f64, shard_count: u32, passes: u32) -> f64 {
    let root = f64::from(shard_count).sqrt();
    let least = alpha * root.sqrt();
    if passes > 1 { least } else { (alpha * root).min(least.max(MAX_ROOT_ALPHA)) }
}

/// Largest learning rate that the square root may give.
const MAX_ROOT_ALPHA: f64 = 0.3;

/// Number of rows up to which one process should learn the logs: it takes some seconds, and shards know less.
pub const ALONE_ROW_COUNT: u64 = 2_000_000;

/// Returns about how many rows the files have, from their sizes: 30 bytes a row in Parquet and compressed files, 120 in
/// plain text. Logs with many fields have fewer.
#[must_use]
pub fn guessed_row_count(files: &[LogFile]) -> u64 {
    let is_text = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        ["csv", "tsv", "jsonl", "ndjson", "json"].contains(&extension.to_ascii_lowercase().as_str())
    };
    files.iter().map(|file| file.len_bytes / if is_text(&file.path) { 120 } else { 30 }).sum()
}

/// The outcome of a training in shards.
#[derive(Debug, Clone)]
pub struct ShardsAccount {
    /// The shards, by round and number.
    pub shards: Vec<ShardAccount>,
    /// The average of the last round.
    pub average: AverageReport,
    /// How the merged state was recalibrated; `None` if that was not requested.
    pub recalibration: Option<RecalibrateReport>,
    /// Metrics of the held-out rows under the final state; `None` without held-out rows.
    pub held_out: Option<Metrics>,
    /// All logs, in reading order.
    pub logs: Vec<LogFile>,
    /// Rows without a value by field of the contract, of each log in the order of `logs`.
    pub missing_by_log: Vec<FileMissing>,
    /// Numbers out of range, by field of the contract.
    pub invalid_numbers: Vec<u64>,
    /// How many values the start state has not seen, by field, of each log in the order of `logs`. Empty without a
    /// start state.
    pub unseen_by_log: Vec<FileUnseen>,
    /// What the readers of the logs noticed in the first round, each text once: guesses, and fields that vanish.
    pub warnings: Vec<String>,
    /// Seconds of the whole run.
    pub seconds: f64,
}

/// The outcome of one shard in one round.
#[derive(Debug, Clone)]
pub struct ShardAccount {
    /// Number of the round, from 1.
    pub round: u32,
    /// Number of the shard, from 1.
    pub shard: u32,
    /// Whether its state was kept from an earlier command.
    pub reused: bool,
    /// The last report of its process: always [`ShardEvent::Finished`].
    pub finished: ShardEvent,
}

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
    /// The shards would have to forget features of their common start state, which the average then could not count
    /// once.
    #[error("shards cannot forget features of their start state; continue from it in one process with --forget-unseen")]
    ForgettingShards,
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
    /// Returns who must act: the team that trains, the team that runs the server and writes its logs, or the team that
    /// keeps machines and disks.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Io { .. } => Owner::Infra,
            Self::Log(error) => error.owner(),
            Self::Average(error) => error.owner(),
            Self::Recalibrate(error) => error.owner(),
            Self::Train(error) => error.owner(),
            _ => Owner::Ml,
        }
    }
}

impl TrainShardsError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
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
