//! Searches the settings of training: a coarse grid, then smaller and smaller steps around the best, within a stated budget.
//!
//! A trial learns a sample of the logs, which is held in memory, and its loss is the log loss of the held-out rows, or without
//! any the progressive one: each row of the first pass predicted before it was learned. With [shards](Sharding), the sample is
//! cut into them, each is learned, the states are [averaged](crate::learn::average), and the loss is that of the average: the
//! `alpha` that is best for it is greater than that of one run.
//!
//! The search has no chance in it: the same logs, options and number of trials give the same answer, whatever the number of threads.
//! With a budget of time, how many trials fit into it depends on the machine.
//!
//! # Limits
//!
//! The sample is the first rows of the logs. Memory: the sample, some 500 bytes a row of 20 fields, and a model for each thread.
//! The least loss is looked for and nothing else: a greater `l1` makes smaller files, at a price that the table of trials shows.

mod design;
mod error;
mod sample;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::judge::evaluate::Metrics;
use crate::learn::shards::Split;
use crate::learn::{Settings, TrainOptions};
use crate::log::LogReader;
use omomi::contract::Contract;

pub use design::Searched;
pub use error::TuneError;

use design::Design;
use sample::Sample;

/// What to search, on what, and how long.
#[derive(Debug, Clone)]
pub struct TuneOptions {
    /// What is trained: logs, held-out logs, how they are read, passes, and the settings at which the search begins. No
    /// state is written.
    pub train: TrainOptions,
    /// The settings that are searched; the others stay as they are.
    pub searched: Vec<Searched>,
    /// Whether what is judged is an average of shards.
    pub sharding: Option<Sharding>,
    /// Most rows that are learned from, and most that are held out, up to a batch more.
    pub row_count: u64,
    /// When to stop.
    pub budget: Budget,
    /// Trials at once.
    pub thread_count: usize,
    /// Folder in which states of shards are for a while.
    pub scratch: PathBuf,
}

/// How the sample is cut.
#[derive(Debug, Clone)]
pub struct Sharding {
    /// Number of shards, at least 2.
    pub shard_count: u32,
    /// By what rows are dealt out to them.
    pub split: Split,
}

/// When a search stops, if it does not come to its end before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// After so many trials.
    Trials(usize),
    /// When so much time has gone by; trials that run are waited for. The first one is always made.
    Time(Duration),
}

/// What happens while [`tune`] runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Some more rows of the sample were read.
    Read(&'a LogReader),
    /// A trial was made.
    Tried {
        /// The trial.
        trial: &'a Trial,
        /// How many were made.
        count: usize,
        /// The least loss of them.
        min_loss: f64,
    },
}

/// What some settings came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The settings.
    pub settings: Settings,
    /// Metrics of the held-out rows, or without any of the rows of the first pass.
    pub metrics: Metrics,
    /// Weights that are not 0, the bias not counted: what the size of the weight file follows from.
    pub nonzero_count: u64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// What was tried.
#[derive(Debug, Clone)]
pub struct TuneReport {
    /// The trials, best first; of equal ones the earlier first.
    pub trials: Vec<Trial>,
    /// Rows that were learned.
    pub row_count: u64,
    /// Rows that were held out; 0 where the loss is the progressive one.
    pub held_out_row_count: u64,
    /// Whether the search came to its end: smaller steps around the best are not worth a trial.
    pub converged: bool,
    /// Seconds of the whole search.
    pub seconds: f64,
}

/// Searches the settings. `watch` is told what happens.
///
/// # Errors
///
/// [`TuneError`].
pub fn tune(
    contract: &Contract,
    options: &TuneOptions,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<TuneReport, TuneError> {
    let started = Instant::now();
    options.train.settings.check()?;
    if options.searched.is_empty() {
        return Err(TuneError::NothingToSearch);
    }
    if options.sharding.is_some() && options.train.held_out.is_empty() {
        return Err(TuneError::NothingHeldOut);
    }
    let sample = Sample::read(contract, options, watch)?;
    let bench = Bench { contract, options, sample: &sample, started };
    let mut design = Design::new(options.train.settings, &options.searched);
    let mut trials: Vec<Trial> = Vec::new();
    let mut converged = false;
    while !bench.is_spent(trials.len()) {
        let mut next = design.next();
        if next.is_empty() {
            converged = true;
            break;
        }
        if let Budget::Trials(max) = options.budget {
            next.truncate(max - trials.len());
        }
        let tried = bench.try_all(&next, trials.len(), &mut |trial, count| {
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
        converged,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Where trials are made.
struct Bench<'a> {
    contract: &'a Contract,
    options: &'a TuneOptions,
    sample: &'a Sample,
    started: Instant,
}

impl Bench<'_> {
    /// Whether there is no budget for another trial.
    fn is_spent(&self, trial_count: usize) -> bool {
        match self.options.budget {
            Budget::Trials(max) => trial_count >= max,
            Budget::Time(max) => trial_count > 0 && self.started.elapsed() >= max,
        }
    }

    /// Makes trials, some at once, and returns them in the order of `settings`; where time runs out not all of them.
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
                        // Where nobody listens any more, a trial has failed.
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
        let passes = self.options.train.passes;
        if self.options.sharding.is_none() {
            return trial::run(self.contract, self.sample, settings, passes, None);
        }
        let name = format!("omomi-tune-{}-{number}", std::process::id());
        let folder = ScratchFolder::make(&self.options.scratch.join(name))?;
        trial::run(self.contract, self.sample, settings, passes, Some(&folder.0))
    }
}

/// A folder that is gone, with all in it, when this is dropped.
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
