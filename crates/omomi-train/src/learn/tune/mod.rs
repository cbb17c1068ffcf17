//! Searches for the best settings of training within a budget: a coarse grid first, then smaller and smaller steps
//! around the best.
//!
//! A trial learns a sample of the logs, which is held in memory. Its loss is the log loss of the held-out rows: those
//! of held-out logs, or [some rows](HeldOutRows) of the sample. If passes are searched, the held-out rows are predicted
//! after each pass, and the best number of passes is kept. Without held-out rows, the loss is the progressive log loss:
//! each row of the first pass is predicted before it is learned. With [shards](Sharding), the sample is split, each
//! shard is learned, the states are [averaged](crate::learn::average), and the loss is that of the average. The best
//! `alpha` for an average is larger than the best one for a single run.
//!
//! The search uses no randomness: the same logs, options and number of trials give the same result with any number of
//! threads. With a time budget, the number of trials depends on the machine.
//!
//! [`search`] is the short search that `omomi train` runs by itself.
//!
//! # Limits
//!
//! The sample is the first rows of the logs. Memory holds the sample (about 500 bytes per row of 20 fields) and one
//! model per thread. The search minimizes the loss and nothing else: a larger `l1` gives smaller files, and the table
//! of trials shows what that costs.

mod design;
mod hold_out;
mod search;
mod trial;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::evaluate::Metrics;
use crate::learn::average::AverageError;
use crate::learn::shards::{Split, TrainShardsError};
use crate::learn::{Settings, TrainError, TrainOptions};
use crate::log::{LogError, LogReader};
use omomi::contract::Contract;
use omomi::error::Owner;

pub use design::Searched;
pub use hold_out::HeldOutRows;
pub use search::{Found, NoSearch, SEARCH_PASSES, SEARCH_ROW_COUNT, search};

use design::Design;
use trial::Sample;

/// Options of a search.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TuneOptions {
    /// Options of training: logs, held-out logs, how they are read, passes, and the settings at which the search
    /// begins. If passes are [searched](Searched::Passes), `passes` is the largest number. No state is written.
    pub train: TrainOptions,
    /// Settings to search; the others keep their values.
    pub searched: Vec<Searched>,
    /// How the sample is split, to judge an average of shards; `None` to judge a single run.
    pub sharding: Option<Sharding>,
    /// Maximum number of rows to learn, and of rows to hold out, plus up to one batch each.
    pub row_count: u64,
    /// When to stop.
    pub budget: Budget,
    /// Which rows of the sample are held out, if there are no held-out logs. `None` to judge by the progressive loss.
    pub held_out_rows: Option<HeldOutRows>,
    /// Number of parallel trials.
    pub thread_count: usize,
    /// Folder for temporary files: numbered rows, and states of shards.
    pub scratch: PathBuf,
}

impl TuneOptions {
    /// Returns options for 20 trials on 500,000 rows, which search alpha, l1 and passes for a single run and hold out
    /// the last 20 % of the sample, or every fifth row if those are unlike the others. There are as many threads as
    /// processors. Temporary files go to the folder of the system for them.
    #[must_use]
    pub fn new(train: TrainOptions) -> Self {
        Self {
            train,
            searched: vec![Searched::Alpha, Searched::L1, Searched::Passes],
            sharding: None,
            row_count: 500_000,
            budget: Budget::Trials(20),
            held_out_rows: Some(HeldOutRows::Suitable),
            thread_count: thread::available_parallelism().map_or(1, usize::from),
            scratch: std::env::temp_dir(),
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// How the sample is split into shards.
#[derive(Debug, Clone)]
pub struct Sharding {
    /// Number of shards, at least 2.
    pub shard_count: u32,
    /// How rows are distributed to the shards.
    pub split: Split,
}

/// When a search stops, unless it converges before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// After this many trials.
    Trials(usize),
    /// After this time. Running trials are finished, and there is at least one trial.
    Time(Duration),
}

/// An event of a run of [`tune`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Some more rows of the sample were read.
    Read(&'a LogReader),
    /// A trial has finished.
    Tried {
        /// The trial.
        trial: &'a Trial,
        /// Number of trials so far.
        count: usize,
        /// The smallest loss so far.
        min_loss: f64,
    },
}

/// The result of training with some settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The settings.
    pub settings: Settings,
    /// Number of passes: the best one, if passes are searched.
    pub passes: u32,
    /// Metrics of the held-out rows, or of the rows of the first pass if none are held out.
    pub metrics: Metrics,
    /// Number of weights that are not 0, without the bias. It determines the size of the weight file.
    pub nonzero_count: u64,
    /// Duration in seconds.
    pub seconds: f64,
}

/// The outcome of a search.
#[derive(Debug, Clone)]
pub struct TuneReport {
    /// The trials, the best first. Of equally good trials, the earlier comes first.
    pub trials: Vec<Trial>,
    /// Number of rows that were learned.
    pub row_count: u64,
    /// Number of held-out rows; 0 if the loss is the progressive one.
    pub held_out_row_count: u64,
    /// The rule by which they were cut out of the sample: that of the options, or the one that was suitable. `None` if
    /// they come from elsewhere.
    pub held_out_rows: Option<HeldOutRows>,
    /// Whether the search converged: smaller steps around the best settings are not worth a trial.
    pub converged: bool,
    /// Seconds of the whole search.
    pub seconds: f64,
}

/// Searches for the best settings. Calls `watch` with each [`Event`].
///
/// # Errors
///
/// Returns [`TuneError`] if the options are invalid, a log cannot be read or has no rows, or a trial fails.
pub fn tune(
    contract: &Contract,
    options: &TuneOptions,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<TuneReport, TuneError> {
    let started = Instant::now();
    options.train.settings.check()?;
    options.train.sampling.check()?;
    if options.searched.is_empty() {
        return Err(TuneError::NothingToSearch);
    }
    let train = &options.train;
    let holds_out = !train.held_out.is_empty() || train.read.hold_out.is_some() || options.held_out_rows.is_some();
    if options.sharding.is_some() && !holds_out {
        return Err(TuneError::NothingHeldOut);
    }
    let mut sample = Sample::read(contract, options, watch)?;
    if options.sharding.is_none() {
        sample.number(contract, options.train.sampling, &options.scratch)?;
    }
    let runner = TrialRunner { contract, options, sample: &sample, started };
    let mut design = Design::new(options.train.settings, &options.searched);
    let mut trials: Vec<Trial> = Vec::new();
    let mut converged = false;
    while !runner.is_spent(trials.len()) {
        let mut next = design.next();
        if next.is_empty() {
            converged = true;
            break;
        }
        if let Budget::Trials(max) = options.budget {
            next.truncate(max - trials.len());
        }
        let tried = runner.try_all(&next, trials.len(), &mut |trial, count| {
            let losses = trials.iter().chain([trial]).map(|trial| trial.metrics.log_loss);
            watch(&Event::Tried { trial, count, min_loss: losses.fold(f64::INFINITY, f64::min) });
        })?;
        let losses: Vec<(Settings, f64)> = tried.iter().map(|trial| (trial.settings, trial.metrics.log_loss)).collect();
        design.learn(&losses);
        trials.extend(tried);
    }
    // The sort is stable.
    trials.sort_by(|one, other| one.metrics.log_loss.total_cmp(&other.metrics.log_loss));
    Ok(TuneReport {
        trials,
        row_count: sample.row_count(),
        held_out_row_count: sample.held_out_row_count(),
        held_out_rows: sample.held_out_rows,
        converged,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Runs trials.
struct TrialRunner<'a> {
    contract: &'a Contract,
    options: &'a TuneOptions,
    sample: &'a Sample,
    started: Instant,
}

impl TrialRunner<'_> {
    /// Returns whether the budget is spent.
    fn is_spent(&self, trial_count: usize) -> bool {
        match self.options.budget {
            Budget::Trials(max) => trial_count >= max,
            Budget::Time(max) => trial_count > 0 && self.started.elapsed() >= max,
        }
    }

    /// Runs trials in parallel and returns them in the order of `settings`. If time runs out, some are missing.
    fn try_all(
        &self,
        settings: &[Settings],
        earlier_count: usize,
        watch: &mut dyn FnMut(&Trial, usize),
    ) -> Result<Vec<Trial>, TuneError> {
        let next = AtomicUsize::new(0);
        let (sender, receiver) = channel();
        let mut tried: Vec<Option<Trial>> = vec![None; settings.len()];
        thread::scope(|scope| {
            for _ in 0..self.options.thread_count.clamp(1, settings.len()) {
                let (next, sender) = (&next, sender.clone());
                scope.spawn(move || {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(&settings) = settings.get(index) else { return };
                        let out_of_time =
                            !matches!(self.options.budget, Budget::Trials(_)) && self.is_spent(earlier_count + index);
                        // Sending fails only after another trial has failed.
                        if out_of_time || sender.send((index, self.try_one(settings, earlier_count + index))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let mut count = earlier_count;
            for (index, trial) in receiver {
                let trial = trial?;
                count += 1;
                watch(&trial, count);
                tried[index] = Some(trial);
            }
            Ok(tried.into_iter().flatten().collect())
        })
    }

    fn try_one(&self, settings: Settings, number: usize) -> Result<Trial, TuneError> {
        if self.options.sharding.is_none() {
            return trial::run(self.contract, self.options, self.sample, settings, None);
        }
        let name = format!("omomi-tune-{}-{number}", std::process::id());
        let folder = ScratchFolder::make(&self.options.scratch.join(name))?;
        trial::run(self.contract, self.options, self.sample, settings, Some(&folder.0))
    }
}

/// A folder that is removed on drop, with everything in it.
struct ScratchFolder(PathBuf);

impl ScratchFolder {
    fn make(path: &Path) -> Result<Self, TuneError> {
        fs::create_dir(path).map_err(|source| TuneError::Scratch { path: path.to_owned(), source })?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Why a search stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TuneError {
    /// The options name no setting to search.
    #[error("expected at least one setting to search (alpha, l1, l2, beta or passes), found none")]
    NothingToSearch,
    /// A search with shards has no held-out logs. An average has no progressive loss, because its rows are learned
    /// before it exists.
    #[error("an average of shards is judged on held-out rows: expected --held-out logs, found none")]
    NothingHeldOut,
    /// The logs, the held-out logs or a shard have no rows.
    #[error("expected rows in the logs, in every shard and in the held-out logs; one of them has none")]
    NoRows,
    /// The rule of the held-out rows leaves nothing to learn, or holds out nothing.
    #[error("expected some rows to learn and some to hold out by the rule `{rule}`; take another rule or more rows")]
    NothingLeft {
        /// The rule.
        rule: HeldOutRows,
    },
    /// All rows that are learned, or all that are held out, have the same outcome, so that no settings are better than
    /// others.
    #[error(
        "expected {which} rows with and without a click, found {clicks} clicks in {rows} rows: if the logs are sorted by \
         the label, sort them by time; otherwise take more rows (--rows), or hold out others (--held-out-rows)"
    )]
    OneOutcome {
        /// `learned` or `held-out`.
        which: &'static str,
        /// How many of the rows have a click.
        clicks: u64,
        /// How many rows there are.
        rows: u64,
    },
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

impl TuneError {
    /// Returns who must act: the team that trains, the team that runs the server and writes its logs, or the team that
    /// keeps machines and disks.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::NoRows => Owner::Delivery,
            Self::Scratch { .. } => Owner::Infra,
            Self::Log(error) => error.owner(),
            Self::Shards(error) => error.owner(),
            Self::Train(error) => error.owner(),
            Self::Average(error) => error.owner(),
            Self::NothingToSearch | Self::NothingHeldOut | Self::NothingLeft { .. } | Self::OneOutcome { .. } => {
                Owner::Ml
            }
        }
    }
}
