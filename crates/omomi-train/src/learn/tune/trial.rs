//! Runs one trial: reads the sample into memory, once for all trials; learns it with some settings; and evaluates the
//! result.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use crate::evaluate::{Evaluator, Metrics};
use crate::learn::average::{AverageOptions, Rule, average};
use crate::learn::row_cache::{self, Found, RowCache};
use crate::learn::shards::OneOf;
use crate::learn::{
    RowCacheError, Sampling, Settings, StateModel, TrainError, TrainOptions, Trainer, all_rows, held_out_rows,
    refuse_leakage,
};
use crate::log::{LogReader, ReadOptions, RowBatch, has_pipe};
use omomi::contract::Contract;
use omomi::store::Digest;

use super::hold_out::{ENOUGH_OUTCOMES, Outcomes};
use super::{Event, HeldOutRows, Searched, Trial, TuneError, TuneOptions};

/// A pass must lower the loss by this share of it to be worth its time.
const MIN_GAIN: f64 = 1e-4;
/// After so many passes without a gain, no further ones are tried.
const MAX_IDLE_PASSES: u32 = 2;

/// Learns the sample with `settings`. The states of shards are written to `folder`, which must be empty.
pub(super) fn run(
    contract: &Contract,
    options: &TuneOptions,
    sample: &Sample,
    settings: Settings,
    folder: Option<&Path>,
) -> Result<Trial, TuneError> {
    let started = Instant::now();
    let mut trial = match folder {
        None => alone(contract, options, sample, settings)?,
        Some(folder) => merged(contract, options, sample, settings, folder)?,
    };
    trial.seconds = started.elapsed().as_secs_f64();
    Ok(trial)
}

/// Keeps the best number of passes.
struct BestPasses {
    best: Option<Trial>,
}

impl BestPasses {
    /// Considers a trial with more passes than those before. Returns whether still more should be tried.
    fn consider(&mut self, trial: Trial) -> bool {
        match &self.best {
            Some(best) if trial.metrics.log_loss >= best.metrics.log_loss * (1.0 - MIN_GAIN) => {
                trial.passes < best.passes + MAX_IDLE_PASSES
            }
            _ => {
                self.best = Some(trial);
                true
            }
        }
    }
}

fn learn(trainer: &mut Trainer, batches: &[RowBatch], pass: u32) -> Result<(), TuneError> {
    if pass > 1 {
        trainer.begin_next_pass();
    }
    batches.iter().try_for_each(|batch| trainer.learn(batch))?;
    Ok(())
}

fn alone(contract: &Contract, options: &TuneOptions, sample: &Sample, settings: Settings) -> Result<Trial, TuneError> {
    let train = &options.train;
    let mut trainer = Trainer::with_sampling(contract, settings, train.sampling)?;
    let mut cache = sample.cache()?;
    let slots = trainer.add_cached_features(&mut cache)?;
    let is_searched = options.searched.contains(&Searched::Passes) && !sample.held_out.is_empty();
    let mut best = BestPasses { best: None };
    for passes in 1..=train.passes.max(1) {
        if passes > 1 {
            trainer.begin_next_pass();
        }
        trainer.learn_cached(&mut cache, &slots, &mut |_, _| ())?;
        if !is_searched && passes < train.passes {
            continue;
        }
        let trial =
            |metrics: Metrics, nonzero_count: u64| Trial { settings, passes, metrics, nonzero_count, seconds: 0.0 };
        let trial = if sample.held_out.is_empty() {
            let metrics = trainer.progressive_metrics();
            trainer.settled(|trainer| trial(metrics, trainer.nonzero_count()))
        } else {
            trainer.settled(|trainer| {
                let metrics = evaluate(&sample.held_out, |batch, visit| trainer.predict(batch, visit));
                trial(metrics, trainer.nonzero_count())
            })
        };
        if !best.consider(trial) {
            break;
        }
    }
    Ok(best.best.unwrap_or_else(|| unreachable!("the last pass is considered")))
}

fn merged(
    contract: &Contract,
    options: &TuneOptions,
    sample: &Sample,
    settings: Settings,
    folder: &Path,
) -> Result<Trial, TuneError> {
    let train = &options.train;
    let is_searched = options.searched.contains(&Searched::Passes);
    let counts: Vec<u32> = if is_searched { (1..=train.passes.max(1)).collect() } else { vec![train.passes] };
    let mut trainers = Vec::new();
    for _ in &sample.shards {
        trainers.push(Trainer::with_sampling(contract, settings, train.sampling)?);
    }
    let (mut best, mut learned) = (BestPasses { best: None }, 0);
    for passes in counts {
        for pass in learned + 1..=passes {
            for (trainer, batches) in trainers.iter_mut().zip(&sample.shards) {
                learn(trainer, batches, pass)?;
            }
        }
        learned = passes;
        let mut states = Vec::new();
        for (index, trainer) in trainers.iter_mut().enumerate() {
            let state = folder.join(format!("{index}.parquet"));
            trainer.settled(|trainer| trainer.write_state(&state, true))?;
            states.push(state);
        }
        let state = folder.join("merged.parquet");
        let average_options = AverageOptions {
            states,
            start: None,
            rule: Rule::Curvature,
            allow_uneven: true,
            state: state.clone(),
            replace: true,
            search: None,
            arguments: Vec::new(),
        };
        let report = average(&average_options, &mut |_| ())?;
        let model = StateModel::read(&state)?;
        let metrics = evaluate(&sample.held_out, |batch, visit| model.predict(batch, visit));
        let trial = Trial { settings, passes, metrics, nonzero_count: report.nonzero_count(), seconds: 0.0 };
        if !best.consider(trial) {
            break;
        }
    }
    Ok(best.best.unwrap_or_else(|| unreachable!("there is at least one number of passes")))
}

fn evaluate(held_out: &[RowBatch], predict: impl Fn(&RowBatch, &mut dyn FnMut(f64, bool))) -> Metrics {
    let mut evaluator = Evaluator::bounded();
    for batch in held_out {
        let mut importance = batch.each_importance();
        predict(batch, &mut |logit, clicked| evaluator.add_important_logit(logit, clicked, importance()));
    }
    evaluator.metrics()
}

/// The rows of every shard, and the held-out rows.
pub(super) struct Sample {
    /// The batches of each shard. Without sharding, there is one shard with all rows.
    pub(super) shards: Vec<Vec<RowBatch>>,
    pub(super) held_out: Vec<RowBatch>,
    /// The rule by which the held-out rows were cut out of the sample, if they were.
    pub(super) held_out_rows: Option<HeldOutRows>,
    /// The rows of the only shard, with their features numbered. Its batches are then dropped.
    numbered: Option<NumberedRows>,
}

/// A row cache that is removed on drop.
struct NumberedRows {
    path: PathBuf,
    row_count: u64,
}

impl Drop for NumberedRows {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Sample {
    pub(super) fn read(
        contract: &Contract,
        options: &TuneOptions,
        watch: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Self, TuneError> {
        let TuneOptions { sharding, row_count, .. } = options;
        let train = &options.train;
        let mut of_shards = Vec::new();
        match sharding {
            None => of_shards.push(rows_of(contract, train, &train.logs, *row_count, false, watch)?),
            Some(sharding) => {
                let count = sharding.shard_count;
                let split = sharding.split.clone().completed(contract, train, &mut |_| ())?;
                for number in 1..=count {
                    let mut narrowed = train.clone();
                    split.narrow(OneOf { number, count }, contract, &mut narrowed)?;
                    let row_count = row_count.div_ceil(u64::from(count));
                    of_shards.push(rows_of(contract, &narrowed, &narrowed.logs, row_count, true, watch)?);
                }
            }
        }
        let mut of_held_out = train.clone();
        let mut held_out = match (train.held_out.as_slice(), &train.read.hold_out) {
            ([], None) => Vec::new(),
            ([], Some(hold_out)) => {
                of_held_out.read = held_out_rows(&train.read, hold_out);
                rows_of(contract, &of_held_out, &train.logs, *row_count, false, watch)?
            }
            (patterns, _) => {
                of_held_out.read = all_rows(&train.read);
                let files = |patterns: &[String], read: &ReadOptions| {
                    LogReader::open(contract, patterns, read.clone()).map(|reader| reader.files().to_vec())
                };
                if !has_pipe(&train.logs)? && !has_pipe(patterns)? {
                    refuse_leakage(&files(&train.logs, &train.read)?, &files(patterns, &of_held_out.read)?)?;
                }
                rows_of(contract, &of_held_out, patterns, *row_count, false, watch)?
            }
        };
        let mut held_out_rows = None;
        if let Some(rule) = options.held_out_rows
            && train.held_out.is_empty()
            && train.read.hold_out.is_none()
        {
            let rule = match rule {
                // Few clicks say little about whether rows are alike.
                HeldOutRows::Suitable => HeldOutRows::suitable(&of_shards, ENOUGH_OUTCOMES)
                    .or_else(|| HeldOutRows::suitable(&of_shards, 1))
                    .unwrap_or(HeldOutRows::Last(20.0)),
                stated => stated,
            };
            held_out_rows = Some(rule);
            for shard in &mut of_shards {
                let (learned, of_shard) = rule.split(std::mem::take(shard));
                *shard = learned;
                held_out.extend(of_shard);
            }
            if held_out.is_empty() || of_shards.iter().any(Vec::is_empty) {
                return Err(TuneError::NothingLeft { rule });
            }
        }
        let learned = Outcomes::of(of_shards.iter().flatten());
        let has_held_out = !held_out.is_empty();
        let judged = if has_held_out { Outcomes::of(held_out.iter()) } else { learned };
        for (which, outcomes) in [("learned", learned), ("held-out", judged)] {
            if !outcomes.are_at_least(1) {
                let (clicks, rows) = (outcomes.clicks, outcomes.rows());
                return Err(TuneError::OneOutcome { which, clicks, rows });
            }
        }
        Ok(Self { held_out_rows, ..Self::of(of_shards, held_out) })
    }

    pub(super) const fn of(shards: Vec<Vec<RowBatch>>, held_out: Vec<RowBatch>) -> Self {
        Self { shards, held_out, held_out_rows: None, numbered: None }
    }

    /// Numbers the features of the rows of the only shard once for all trials, in a file in `folder`.
    pub(super) fn number(&mut self, contract: &Contract, sampling: Sampling, folder: &Path) -> Result<(), TuneError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".omomi-sample-{}-{number}.rows", std::process::id()));
        let batches = self.shards.pop().unwrap_or_default();
        let numbered = self.numbered.insert(NumberedRows { path, row_count: row_count(&batches) });
        row_cache::build_of_batches(contract, sampling, &batches, &numbered.path)?;
        Ok(())
    }

    /// Opens the numbered rows.
    fn cache(&self) -> Result<RowCache, TuneError> {
        let path = self.numbered.as_ref().map_or_else(PathBuf::new, |numbered| numbered.path.clone());
        match RowCache::find(&path, Digest::of(b"")).map_err(TrainError::from)? {
            Found::Fresh(cache) => Ok(*cache),
            _ => {
                let problem = "it was removed or replaced while it was used".to_owned();
                Err(TrainError::from(RowCacheError::Damaged { path, problem }).into())
            }
        }
    }

    pub(super) fn row_count(&self) -> u64 {
        let numbered = self.numbered.as_ref().map_or(0, |numbered| numbered.row_count);
        self.shards.iter().map(|batches| row_count(batches)).fold(numbered, |sum, count| sum + count)
    }

    pub(super) fn held_out_row_count(&self) -> u64 {
        row_count(&self.held_out)
    }
}

fn row_count(batches: &[RowBatch]) -> u64 {
    batches.iter().map(|batch| batch.row_count() as u64).sum()
}

/// Returns the first `max` rows of logs, plus up to one batch. `is_part` says that other rows are read elsewhere.
pub(super) fn rows_of(
    contract: &Contract,
    train: &TrainOptions,
    patterns: &[String],
    max: u64,
    is_part: bool,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<Vec<RowBatch>, TuneError> {
    let mut reader = LogReader::open(contract, patterns, train.read.clone())?;
    if is_part {
        reader.say_part();
    }
    let mut batches = Vec::new();
    while reader.rows_read() < max
        && let Some(batch) = reader.next_batch()?
    {
        batches.push(batch);
        watch(&Event::Read(&reader));
    }
    if batches.is_empty() { Err(TuneError::NoRows) } else { Ok(batches) }
}
