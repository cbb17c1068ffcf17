//! The short search that `omomi train` runs by itself: which learning rate, and how many passes.

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Instant;

use serde_json::{Value, json};

use crate::learn::{Settings, TrainOptions};
use crate::log::has_pipe;
use omomi::contract::Contract;

use super::hold_out::ENOUGH_OUTCOMES;
use super::trial::{Sample, rows_of};
use super::{Budget, Event, HeldOutRows, Searched, Trial, TrialRunner, TuneError, TuneOptions};

/// Most rows of the sample, plus up to one batch.
pub const SEARCH_ROW_COUNT: u64 = 200_000;
/// Largest number of passes that is tried.
pub const SEARCH_PASSES: u32 = 8;
/// The learning rates that are tried in any case, in ascending order.
const ALPHAS: [f64; 4] = [0.05, 0.1, 0.2, 0.4];
/// How many more are tried beyond the first or the last of them, each twice or half the one before.
const MAX_MORE: usize = 2;
/// Losses that differ by less than this share are equally good.
const EQUAL_LOSS: f64 = 5e-4;

/// What a search found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The settings of the best trial.
    pub settings: Settings,
    /// Its number of passes.
    pub passes: u32,
    /// All trials, the best first.
    pub trials: Vec<Trial>,
    /// Rows that were learned in each trial.
    pub row_count: u64,
    /// Rows that it was judged on.
    pub held_out_row_count: u64,
    /// Which rows those are.
    pub held_out: HeldOutRows,
    /// Whether the best learning rate is the least or the greatest that was tried.
    pub is_at_edge: bool,
    /// Seconds of the whole search.
    pub seconds: f64,
}

impl Found {
    /// Returns the search as JSON, for a provenance: without its duration, so that the same logs give the same text.
    pub(crate) fn to_json(&self) -> Value {
        let trial = |trial: &Trial| json!({ "alpha": trial.settings.alpha, "passes": trial.passes, "log_loss": trial.metrics.log_loss });
        json!({
            "rows": self.row_count,
            "held_out_rows": self.held_out_row_count,
            "held_out": self.held_out.to_string(),
            "trials": self.trials.iter().map(trial).collect::<Vec<_>>(),
        })
    }
}

/// Why there was no search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoSearch {
    /// The logs can be read only once.
    #[error("the logs can be read only once")]
    Pipe,
    /// The sample has too few rows of one kind.
    #[error("the first rows of the logs have too few rows with, or without, a click to choose by")]
    FewOutcomes,
}

/// Searches for the learning rate and the number of passes with the least log loss, on the first
/// [`SEARCH_ROW_COUNT`] rows of the logs. The last fifth of them is held out. If that fifth is not like the others,
/// because the log is not in order of time, every fifth row is held out. The other settings are those of `train`.
///
/// The same logs and options give the same result, with any number of cores.
///
/// # Errors
///
/// Returns [`TuneError`] if a log cannot be read or has no rows.
pub fn search(
    contract: &Contract,
    train: &TrainOptions,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<Result<Found, NoSearch>, TuneError> {
    let started = Instant::now();
    if has_pipe(&train.logs)? {
        return Ok(Err(NoSearch::Pipe));
    }
    let options = TuneOptions {
        train: TrainOptions { held_out: Vec::new(), passes: SEARCH_PASSES, ..train.clone() },
        searched: vec![Searched::Alpha, Searched::Passes],
        sharding: None,
        row_count: SEARCH_ROW_COUNT,
        held_out_rows: None,
        budget: Budget::Trials(ALPHAS.len() + MAX_MORE),
        thread_count: available_parallelism().map_or(1, usize::from),
        // The disk of the state needs free space anyway.
        scratch: train.state.parent().map_or_else(PathBuf::new, Path::to_path_buf),
    };
    let batches = match rows_of(contract, train, &train.logs, SEARCH_ROW_COUNT, false, watch) {
        // Training says what is missing.
        Err(TuneError::NoRows) => return Ok(Err(NoSearch::FewOutcomes)),
        read => read?,
    };
    let batches = [batches];
    let Some(held_out) = HeldOutRows::suitable(&batches, ENOUGH_OUTCOMES) else {
        return Ok(Err(NoSearch::FewOutcomes));
    };
    let [batches] = batches;
    let (learned, held_out_rows) = held_out.split(batches);
    let mut sample = Sample::of(vec![learned], held_out_rows);
    sample.number(contract, train.sampling, &options.scratch)?;
    let runner = TrialRunner { contract, options: &options, sample: &sample, started };
    let mut trials: Vec<Trial> = Vec::new();
    let mut next: Vec<Settings> = ALPHAS.map(|alpha| Settings { alpha, ..train.settings }).into();
    for more in 0.. {
        let tried = runner.try_all(&next, trials.len(), &mut |trial, count| {
            let losses = trials.iter().chain([trial]).map(|trial| trial.metrics.log_loss);
            watch(&Event::Tried { trial, count, min_loss: losses.fold(f64::INFINITY, f64::min) });
        })?;
        trials.extend(tried);
        // The sort is stable.
        trials.sort_by(|one, other| one.metrics.log_loss.total_cmp(&other.metrics.log_loss));
        let Some(alpha) = beyond(&trials).filter(|_| more < MAX_MORE) else { break };
        next = vec![Settings { alpha, ..train.settings }];
    }
    let min_loss = trials[0].metrics.log_loss;
    // Among equally good trials, the one with the fewest passes takes the least time.
    let good = trials.iter().filter(|trial| trial.metrics.log_loss <= min_loss * (1.0 + EQUAL_LOSS));
    let best = good.min_by_key(|trial| trial.passes).unwrap_or(&trials[0]);
    Ok(Ok(Found {
        settings: best.settings,
        passes: best.passes,
        row_count: sample.row_count(),
        held_out_row_count: sample.held_out_row_count(),
        held_out,
        is_at_edge: beyond(&trials).is_some(),
        trials,
        seconds: started.elapsed().as_secs_f64(),
    }))
}

/// Returns the next learning rate beyond the best one, if that is the least or the greatest so far.
fn beyond(trials: &[Trial]) -> Option<f64> {
    let best = trials.first()?.settings.alpha;
    let others = || trials[1..].iter().map(|trial| trial.settings.alpha);
    if others().all(|alpha| alpha > best) {
        Some(best / 2.0)
    } else if others().all(|alpha| alpha < best) {
        Some(best * 2.0)
    } else {
        None
    }
}
