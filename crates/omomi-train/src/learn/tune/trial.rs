//! Runs one trial: learns the sample with some settings and evaluates the result.

use std::path::Path;
use std::time::Instant;

use crate::judge::evaluate::{Evaluator, Metrics};
use crate::learn::average::{AverageOptions, Rule, average};
use crate::learn::{Settings, StateModel, Trainer};
use crate::log::RowBatch;
use omomi::contract::Contract;

use super::sample::Sample;
use super::{Trial, TuneError};

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

fn learned(contract: &Contract, batches: &[RowBatch], settings: Settings, passes: u32) -> Result<Trainer, TuneError> {
    let mut trainer = Trainer::new(contract, settings)?;
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
    let mut trainer = learned(contract, &sample.shards[0], settings, passes)?;
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
        learned(contract, batches, settings, passes)?.write_state(&state, false)?;
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
        predict(batch, &mut |logit, clicked| evaluator.add_logit(logit, clicked));
    }
    evaluator.metrics()
}
