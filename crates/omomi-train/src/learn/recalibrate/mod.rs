//! Recalibration: held-out rows say by how much a model promises too much or too little, and its weights follow.
//!
//! Averages and pruned models rank well and promise too little or too much. [`recalibrate`] fits Platt scaling, `scale logit +
//! shift`, on rows that the model has not learned, and folds it into the state's [weight rule](crate::learn::WeightRule): every
//! weight times `scale`, the bias as well and `shift` added. `z` and `d` stay what was learned, so training goes on from a
//! recalibrated state as if it were not, and a second recalibration comes on top of the first.
//!
//! Rows that were used here are no longer held out: a model that is evaluated on them looks better calibrated than it is. The
//! provenance names their files under `recalibrations`.
//!
//! # Limits
//!
//! Two numbers move the whole curve; a bend that differs by region of the logit, as isotonic regression would follow it, stays.
//! Memory: some 50 bytes a feature and 9 a held-out row.

mod platt;
mod provenance;

use std::path::PathBuf;
use std::time::Instant;

use crate::judge::evaluate::{Evaluator, Metrics};
use crate::learn::state::{Metadata, StateError, StateReader, StateRow, StateWriter};
use crate::learn::{StateModel, TrainError, WeightRule, provenance_path, write_provenance};
use crate::log::{LogError, LogFile, LogReader, ReadOptions};
use omomi::new_file::refuse_to_replace;

pub use platt::{PlattFault, PlattScaling};

/// What to recalibrate, on what, and where to leave the result.
#[derive(Debug, Clone)]
pub struct RecalibrateOptions {
    /// The training state.
    pub state: PathBuf,
    /// Paths and patterns of logs that it was not trained on.
    pub logs: Vec<String>,
    /// How they are read.
    pub read: ReadOptions,
    /// Where the recalibrated state goes; its provenance goes [beside it](provenance_path).
    pub out: PathBuf,
    /// Whether files that are there are replaced.
    pub replace: bool,
    /// What was asked for, word by word, for the provenance only.
    pub arguments: Vec<String>,
}

/// What happens while [`recalibrate`] runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The state was read, and held-out rows are about to be.
    Started(&'a LogReader),
    /// Some more held-out rows were predicted.
    Read(&'a LogReader),
    /// All held-out rows were predicted.
    Finished(&'a LogReader),
    /// Some more rows of the state were written.
    Written {
        /// Rows so far.
        row_count: u64,
        /// Rows of the state.
        of: u64,
    },
}

/// What was recalibrated.
#[derive(Debug, Clone)]
pub struct RecalibrateReport {
    /// By what.
    pub scaling: PlattScaling,
    /// The rule that the weights follow now.
    pub weight_rule: WeightRule,
    /// The files with the held-out rows.
    pub logs: Vec<LogFile>,
    /// Metrics of the held-out rows as the state predicted them.
    pub before: Metrics,
    /// Metrics of the same rows as it predicts them now: on rows that were not used here it does somewhat worse.
    pub after: Metrics,
    /// Size of the new state in bytes.
    pub state_len_bytes: u64,
    /// Seconds of the whole run.
    pub seconds: f64,
}

/// Why a state was not recalibrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecalibrateError {
    /// The rows ask for no credible scale and shift.
    #[error(transparent)]
    Fit(#[from] PlattFault),
    /// The provenance of the state says that it was trained on a log.
    #[error("{} is among the logs that {} was trained on; recalibrate on rows that it has not learned", .path.display(), .state.display())]
    Learned {
        /// The log.
        path: PathBuf,
        /// The state.
        state: PathBuf,
    },
    /// The held-out rows could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state is too large to be held.
    #[error(transparent)]
    Model(#[from] TrainError),
    /// A state could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Recalibrates the state that `options` names, and writes the new state and its provenance. `watch` is told what happens.
///
/// # Errors
///
/// [`RecalibrateError`]. The files are as they were before then, but for one case: where the provenance cannot be written, the
/// state, which comes first, is there already.
pub fn recalibrate(
    options: &RecalibrateOptions,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<RecalibrateReport, RecalibrateError> {
    let started = Instant::now();
    let provenance_path = provenance_path(&options.out);
    for path in [&options.out, &provenance_path] {
        refuse_to_replace(path, options.replace).map_err(|error| StateError::io("write", path, error))?;
    }
    let old_provenance = provenance::read(&options.state);
    let model = StateModel::read(&options.state)?;
    let mut reader = LogReader::open(&model.metadata().contract, &options.logs, options.read.clone())?;
    if let Some(path) = provenance::learned(&old_provenance, reader.files()) {
        return Err(RecalibrateError::Learned { path, state: options.state.clone() });
    }
    watch(&Event::Started(&reader));
    let (mut logits, mut labels) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next_batch()? {
        model.predict(&batch, |logit, clicked| {
            logits.push(logit);
            labels.push(clicked);
        });
        watch(&Event::Read(&reader));
    }
    watch(&Event::Finished(&reader));
    let scaling = platt::fit(&logits, &labels)?;
    let metrics = |scale: f64, shift: f64| {
        let mut evaluator = Evaluator::exact();
        logits.iter().zip(&labels).for_each(|(logit, &clicked)| evaluator.add_logit(scale * logit + shift, clicked));
        evaluator.metrics()
    };
    let (before, after) = (metrics(1.0, 0.0), metrics(scaling.scale, scaling.shift));
    let weight_rule = model.metadata().weight_rule.recalibrated(scaling.scale, scaling.shift);
    drop(model);
    let state_len_bytes = rewrite(options, weight_rule, watch)?;
    let logs = reader.files().to_vec();
    let seconds = started.elapsed().as_secs_f64();
    let report = RecalibrateReport { scaling, weight_rule, logs, before, after, state_len_bytes, seconds };
    write_provenance(&provenance_path, options.replace, &provenance::to_json(old_provenance, options, &report))
        .map_err(|error| StateError::io("write", &provenance_path, error))?;
    Ok(report)
}

/// Writes the state anew under another weight rule, batch by batch. Returns its size.
fn rewrite(
    options: &RecalibrateOptions,
    weight_rule: WeightRule,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<u64, StateError> {
    let mut reader = StateReader::open(&options.state)?;
    let metadata = Metadata { weight_rule, ..reader.metadata().clone() };
    let (mut row_count, of) = (0, reader.feature_count() + 1);
    let mut writer = StateWriter::create(&options.out, &metadata, options.replace)?;
    while let Some(batch) = reader.next_batch()? {
        for row in batch.rows() {
            let weight = if row.is_bias() {
                weight_rule.bias_weight(row.z, row.d)
            } else {
                weight_rule.feature_weight(row.z, row.d)
            };
            writer.push(&StateRow { weight, ..row })?;
        }
        row_count += batch.row_count() as u64;
        watch(&Event::Written { row_count, of });
    }
    writer.finish()
}

#[cfg(test)]
mod tests;
