//! Many plain processes learn a log at once: it is cut into shards, each process trains on one as `omomi train` does, and the
//! states are [averaged](crate::learn::average).
//!
//! # Cutting
//!
//! | [`Split`] | A shard is | A process reads |
//! | --- | --- | --- |
//! | `file` | whole files, dealt out by size | its own files |
//! | `column:NAME` | the rows with the same values in a column | all files, and keeps its rows |
//! | `time` | an equal span of time | all files, and keeps its rows |
//! | `random` | rows drawn by a hash of their numbers | all files, and keeps its rows |
//!
//! The command of one shard can be run by hand, on any machine that has the logs: `omomi train --shard 2/8 --split random ...`
//! leaves the same bytes.
//!
//! # What is kept, and what is done again
//!
//! ```text
//! WORK_DIR/
//!     progress.jsonl               what happened: a ProgressEvent a line, of all commands, oldest first
//!     round-01/
//!         shard-0001.parquet       the state of a shard, and its provenance beside it
//!         shard-0001.provenance.json
//!         shard-0001.done.json     the marker, written last: what the state depends on, and its own digest
//!         shard-0001.stderr.txt    what its processes said on standard error
//!         merged.parquet           where something follows, another round or a recalibration: what it goes on from
//! ```
//!
//! A shard whose marker tells of the same version, contract, settings, cut and logs (by content, SHA-256) is not learned again;
//! where one of them changed it is, and the reason is told. So the same command again does only what is missing. To digest
//! the logs each is read once in every command, which costs little beside learning them.
//!
//! A process that dies (by a signal, a panic, for want of memory) is started again alone, [`retry_count`] times. One that says
//! what is wrong (exit code 1: a bad row, a missing file, a full disk) would say it again, and is not. Neither keeps the
//! other shards from being finished. When this process dies its children end, because their standard input does.
//!
//! [`retry_count`]: TrainShardsOptions::retry_count
//!
//! # Rounds
//!
//! In round `r` of `R` each shard learns the `r`-th part of its rows, drawn by a hash of their numbers, and goes on from the merged
//! state of the round before, of which it takes its [share](crate::learn::StartOptions#shares); so every row is learned and
//! counted once, and shards hear of each other `R` times. More looks at the same rows are a setting of their own
//! ([`passes`](TrainOptions::passes), within a round). What was seen on 480,000 rows of a generated log (`generate-log --rows 600000
//! --seed 11 --click-rate 0.1 --files 10`, the last two files held out), 8 shards at random, `alpha` 0.1:
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
//! Two rounds won what cutting lost; four did no better, and promise less: recalibrate afterwards. But for `file`, each round decodes
//! all rows anew.
//!
//! # The same bytes whatever happens
//!
//! The state that comes out depends on logs, settings, number of shards and cut, and not on the number of processes, the order
//! in which they end, retries, or what was kept.
//!
//! # Limits
//!
//! But for `file` every process decodes all rows: with eight shards the log is decoded eight times. With `file`, a file whose length
//! changes may deal others anew. Names of logs are UTF-8.

mod error;
mod inputs;
mod progress;
mod run;
mod split;
mod supervisor;
mod work_dir;
mod worker;

use std::path::PathBuf;

use crate::learn::average::{AverageReport, Rule};
use crate::judge::evaluate::Metrics;
use crate::learn::recalibrate::RecalibrateReport;
use crate::learn::TrainOptions;

pub use error::{ShardFailure, TrainShardsError};
pub use progress::{ProgressEvent, ShardEvent};
pub use run::train_shards;
pub use split::{OneOf, Split, TimeRange, narrow_to_round};
pub use worker::train_for_parent;

/// What to train in shards, and how.
#[derive(Debug, Clone)]
pub struct TrainShardsOptions {
    /// What all shards are together: the logs, how they are learned, and where the merged state goes. All shards are trained with
    /// its settings: see [`shard_alpha`].
    pub train: TrainOptions,
    /// The file with the contract, for the processes to read.
    pub contract_file: PathBuf,
    /// Number of shards, at least 2.
    pub shard_count: u32,
    /// By what rows are dealt out to them.
    pub split: Split,
    /// Most processes at once.
    pub process_count: usize,
    /// How often the process of a shard that dies is started again.
    pub retry_count: u32,
    /// How often the shards are averaged, at least 1.
    pub round_count: u32,
    /// How features of several shards become one.
    pub rule: Rule,
    /// Whether a shard may have less than half or more than twice the median rows.
    pub allow_uneven: bool,
    /// Paths and patterns of logs that nothing was trained on, by which the merged state is recalibrated. Empty for none.
    pub recalibrate_on: Vec<String>,
    /// Where the states of the shards are kept.
    pub work_dir: PathBuf,
    /// The program that trains a shard: `omomi`.
    pub program: PathBuf,
}

/// The learning rate of shards whose merged model learns like one run with `alpha`.
///
/// The curvature of a feature grows with the root of its rows, and roots do not add up: of rows cut into `k` parts they sum
/// to `sqrt(k)` times the root of the whole. Divided by an `alpha` that is `sqrt(k)` times as great they are alike.
#[must_use]
pub fn shard_alpha(alpha: f64, shard_count: u32) -> f64 {
    alpha * f64::from(shard_count).sqrt()
}

/// What a training in shards did.
#[derive(Debug, Clone)]
pub struct ShardsAccount {
    /// The shards, by round and number.
    pub shards: Vec<ShardAccount>,
    /// The merged state of the last round.
    pub average: AverageReport,
    /// How the merged state was recalibrated, if it was asked for.
    pub recalibration: Option<RecalibrateReport>,
    /// Metrics of the held-out rows under the state that comes out.
    pub held_out: Option<Metrics>,
    /// Seconds of the whole run.
    pub seconds: f64,
}

/// What became of one shard in one round.
#[derive(Debug, Clone)]
pub struct ShardAccount {
    /// Number of the round, from 1.
    pub round: u32,
    /// Number of the shard, from 1.
    pub shard: u32,
    /// Whether its state was there from an earlier command.
    pub reused: bool,
    /// The last report of its process.
    pub finished: ShardEvent,
}
