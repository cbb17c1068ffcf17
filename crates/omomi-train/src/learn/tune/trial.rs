//! Runs one trial: reads the sample into memory, once for all trials; learns it with some settings; and evaluates the
//! result.

use std::path::Path;
use std::time::Instant;

use crate::evaluate::{Evaluator, Metrics};
use crate::learn::average::{AverageOptions, Rule, average};
use crate::learn::shards::OneOf;
use crate::learn::{Sampling, Settings, StateModel, TrainOptions, Trainer, all_rows, held_out_rows};
use crate::log::{LogReader, RowBatch};
use omomi::contract::Contract;

use super::{Event, Trial, TuneError, TuneOptions};

/// Learns the sample with `settings`. The states of shards are written to `folder`, which must be empty.
pub(super) fn run(
    contract: &Contract,
    sample: &Sample,
    settings: Settings,
    passes: u32,
    folder: Option<&Path>,
) -> Result<Trial, TuneError> {
    let started = Instant::now();
    let (metrics, nonzero_count) = match folder {
        None => alone(contract, sample, settings, passes)?,
        Some(folder) => merged(contract, sample, settings, passes, folder)?,
    };
    Ok(Trial { settings, metrics, nonzero_count, seconds: started.elapsed().as_secs_f64() })
}

fn learned(
    contract: &Contract,
    sample: &Sample,
    batches: &[RowBatch],
    settings: Settings,
    passes: u32,
) -> Result<Trainer, TuneError> {
    let mut trainer = Trainer::with_sampling(contract, settings, sample.sampling)?;
    for pass in 1..=passes {
        if pass > 1 {
            trainer.begin_next_pass();
        }
        for batch in batches {
            trainer.learn(batch)?;
        }
    }
    Ok(trainer)
}

fn alone(contract: &Contract, sample: &Sample, settings: Settings, passes: u32) -> Result<(Metrics, u64), TuneError> {
    let mut trainer = learned(contract, sample, &sample.shards[0], settings, passes)?;
    let metrics = if sample.held_out.is_empty() {
        trainer.progressive_metrics()
    } else {
        evaluate(&sample.held_out, |batch, visit| trainer.predict(batch, visit))
    };
    Ok((metrics, trainer.nonzero_count()))
}

fn merged(
    contract: &Contract,
    sample: &Sample,
    settings: Settings,
    passes: u32,
    folder: &Path,
) -> Result<(Metrics, u64), TuneError> {
    let mut states = Vec::new();
    for (index, batches) in sample.shards.iter().enumerate() {
        let state = folder.join(format!("{index}.parquet"));
        learned(contract, sample, batches, settings, passes)?.write_state(&state, false)?;
        states.push(state);
    }
    let state = folder.join("merged.parquet");
    let options = AverageOptions {
        states,
        start: None,
        rule: Rule::Curvature,
        allow_uneven: true,
        state: state.clone(),
        replace: false,
        arguments: Vec::new(),
    };
    let report = average(&options, &mut |_| ())?;
    let model = StateModel::read(&state)?;
    Ok((evaluate(&sample.held_out, |batch, visit| model.predict(batch, visit)), report.nonzero_count()))
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
    /// Which of the rows are learned.
    sampling: Sampling,
}

impl Sample {
    pub(super) fn read(
        contract: &Contract,
        options: &TuneOptions,
        watch: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Self, TuneError> {
        let TuneOptions { train, sharding, row_count, .. } = options;
        let mut of_shards = Vec::new();
        match sharding {
            None => of_shards.push(rows_of(contract, train, &train.logs, *row_count, watch)?),
            Some(sharding) => {
                let count = sharding.shard_count;
                let split = sharding.split.clone().completed(contract, train, &mut |_| ())?;
                for number in 1..=count {
                    let mut narrowed = train.clone();
                    split.narrow(OneOf { number, count }, contract, &mut narrowed)?;
                    let row_count = row_count.div_ceil(u64::from(count));
                    of_shards.push(rows_of(contract, &narrowed, &narrowed.logs, row_count, watch)?);
                }
            }
        }
        let mut of_held_out = train.clone();
        let held_out = match (train.held_out.as_slice(), &train.read.hold_out) {
            ([], None) => Vec::new(),
            ([], Some(hold_out)) => {
                of_held_out.read = held_out_rows(&train.read, hold_out);
                rows_of(contract, &of_held_out, &train.logs, *row_count, watch)?
            }
            (patterns, _) => {
                of_held_out.read = all_rows(&train.read);
                rows_of(contract, &of_held_out, patterns, *row_count, watch)?
            }
        };
        Ok(Self { shards: of_shards, held_out, sampling: train.sampling })
    }

    pub(super) fn row_count(&self) -> u64 {
        self.shards.iter().map(|batches| row_count(batches)).sum()
    }

    pub(super) fn held_out_row_count(&self) -> u64 {
        row_count(&self.held_out)
    }
}

fn row_count(batches: &[RowBatch]) -> u64 {
    batches.iter().map(|batch| batch.row_count() as u64).sum()
}

/// Returns the first `max` rows of logs, plus up to one batch.
fn rows_of(
    contract: &Contract,
    train: &TrainOptions,
    patterns: &[String],
    max: u64,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<Vec<RowBatch>, TuneError> {
    let mut reader = LogReader::open(contract, patterns, train.read.clone())?;
    let mut batches = Vec::new();
    while reader.rows_read() < max
        && let Some(batch) = reader.next_batch()?
    {
        batches.push(batch);
        watch(&Event::Read(&reader));
    }
    if batches.is_empty() { Err(TuneError::NoRows) } else { Ok(batches) }
}
