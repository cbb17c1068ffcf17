//! Recalibrates a model on held-out rows, so that its probabilities match the observed clicks.
//!
//! Averages and pruned models rank well, but their probabilities are too low or too high. [`recalibrate`] fits Platt
//! scaling, `scale * logit + shift`, on rows that the model has not learned. It folds the result into the [weight
//! rule](crate::learn::WeightRule) of the state: every weight and the bias are multiplied by `scale`, and `shift` is
//! added to the bias. `z` and `d` do not change. So training continues from a recalibrated state as if it had not been
//! recalibrated, and a second recalibration is applied on top of the first.
//!
//! A correction within its own error would make the model worse on other rows as often as better. So only what is
//! beyond the error is applied: scale and shift, a shift, or nothing, by likelihood ratio tests at 95 %. A scale
//! outside 0.4 to 2.5 is refused if it is beyond its error: no sound model needs one, but rows that do not belong to
//! the model do. If it is within its error, rows are few, and it is left out. One outside 0.1 to 10 is always refused.
//!
//! Rows that were used here are no longer held out: evaluated on them, a model looks better calibrated than it is. The
//! lineage of the state names them, and the provenance says under `recalibrations` what was fitted.
//!
//! # Limits
//!
//! Two numbers adjust the whole curve. An error that differs between regions of the logit remains; isotonic regression
//! would follow it. Memory: about 50 bytes per feature and 9 per held-out row, 17 if rows have an
//! importance.

mod platt;

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::evaluate::{Evaluator, Metrics};
use crate::learn::state::{FinishedState, Metadata, StateError, StateReader, StateRow, StateWriter};
use crate::learn::{
    StateModel, TrainError, WeightRule, files_json, metrics_json, refuse_existing_state, whole_provenance,
    write_provenance,
};
use crate::lineage::{LearnedLog, LearningStep, extend_lineage, find_learned, learned_logs, pipes_of};
use crate::log::{LogError, LogFile, LogReader, ReadOptions};
use omomi::error::Owner;

pub use platt::{Correction, PlattFault, PlattScaling};
pub(crate) use platt::{Rows, is_beyond_error};

/// Options of [`recalibrate`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecalibrateOptions {
    /// The training state.
    pub state: PathBuf,
    /// Paths and patterns of logs that the state was not trained on.
    pub logs: Vec<String>,
    /// How the logs are read.
    pub read: ReadOptions,
    /// Path of the recalibrated state; a copy of its provenance goes [beside
    /// it](crate::learn::provenance_path).
    pub out: PathBuf,
    /// Whether existing files are replaced.
    pub replace: bool,
    /// The command line, for the provenance only.
    pub arguments: Vec<String>,
}

impl RecalibrateOptions {
    /// Returns options that replace no file.
    #[must_use]
    pub fn new(
        state: impl Into<PathBuf>,
        logs: impl IntoIterator<Item = impl Into<String>>,
        out: impl Into<PathBuf>,
    ) -> Self {
        Self {
            state: state.into(),
            logs: logs.into_iter().map(Into::into).collect(),
            read: ReadOptions::default(),
            out: out.into(),
            replace: false,
            arguments: Vec::new(),
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// An event of a run of [`recalibrate`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The state was read, and the held-out rows are about to be read.
    Started(&'a LogReader),
    /// Some more held-out rows were predicted.
    Read(&'a LogReader),
    /// All held-out rows were predicted.
    Finished(&'a LogReader),
    /// Some more rows of the state were written.
    Written {
        /// Number of rows so far.
        row_count: u64,
        /// Number of rows of the state.
        of: u64,
    },
}

/// The outcome of [`recalibrate`].
#[derive(Debug, Clone)]
pub struct RecalibrateReport {
    /// The scale and shift that were applied: what is beyond the error of the fit. Their errors are those of the fit.
    pub scaling: PlattScaling,
    /// How much of the fit was applied.
    pub correction: Correction,
    /// What is unusual about it.
    pub warning: Option<String>,
    /// The weight rule of the new state.
    pub weight_rule: WeightRule,
    /// The files with the held-out rows.
    pub logs: Vec<LogFile>,
    /// Metrics of the held-out rows under the old state.
    pub before: Metrics,
    /// Metrics of these rows under the new state. On other rows, it is somewhat worse.
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
    /// The rows give no credible scale and shift.
    #[error(transparent)]
    Fit(#[from] PlattFault),
    /// The state was trained on one of the logs, perhaps on a copy under another name.
    #[error(
        "{} is among the logs that {} was trained on; recalibrate on rows that it has not learned",
        .path.display(), .state.display()
    )]
    Learned {
        /// The log.
        path: PathBuf,
        /// The state.
        state: PathBuf,
    },
    /// The held-out rows cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state cannot be read, or has more features than one process can hold.
    #[error(transparent)]
    Model(#[from] TrainError),
    /// A state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl RecalibrateError {
    /// Returns who must act: the team that trains, the team that runs the server and writes its logs, or the team that
    /// keeps machines and disks.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Fit(_) | Self::Learned { .. } => Owner::Ml,
            Self::Log(error) => error.owner(),
            Self::Model(error) => error.owner(),
            Self::State(error) => error.owner(),
        }
    }
}

/// Recalibrates a state, and writes the new state and its provenance. Calls `watch` with each [`Event`].
///
/// # Errors
///
/// Returns [`RecalibrateError`] if a file cannot be read or written, if the state was trained on a log, or if the rows
/// give no credible scale and shift. On an error no output file has changed, with one exception: the state is written
/// before the provenance, so it exists if only the provenance cannot be written.
pub fn recalibrate(
    options: &RecalibrateOptions,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<RecalibrateReport, RecalibrateError> {
    let started = Instant::now();
    refuse_existing_state(&options.out, options.replace)?;
    let model = StateModel::read(&options.state)?;
    options.read.check_importance(model.metadata().importance_column.as_deref())?;
    let read = options.read.with_trained(model.metadata().log_dialect);
    let mut reader = LogReader::open(&model.metadata().contract, &options.logs, read)?;
    let hold_out = reader.hold_out().cloned();
    if let Some(path) = find_learned(&model.metadata().lineage, reader.files(), hold_out.as_ref()) {
        return Err(RecalibrateError::Learned { path, state: options.state.clone() });
    }
    watch(&Event::Started(&reader));
    let (mut logits, mut labels) = (Vec::new(), Vec::new());
    let mut importances = reader.has_importance().then(Vec::new);
    while let Some(batch) = reader.next_batch()? {
        if let Some((importances, importance)) = importances.as_mut().zip(batch.importance.as_ref()) {
            importances.extend_from_slice(importance);
        }
        model.predict(&batch, |logit, clicked| {
            logits.push(logit);
            labels.push(clicked);
        });
        watch(&Event::Read(&reader));
    }
    watch(&Event::Finished(&reader));
    if let Some(path) = find_learned(&model.metadata().lineage, &pipes_of(reader.files()), hold_out.as_ref()) {
        return Err(RecalibrateError::Learned { path, state: options.state.clone() });
    }
    let rows = Rows { logits: &logits, clicked: &labels, importance: importances.as_deref() };
    let (correction, scaling) = platt::applied(platt::fit(rows)?, rows)?;
    let warning = platt::warning(&scaling, rows);
    let metrics = |scale: f64, shift: f64| {
        let mut evaluator = Evaluator::of_rows(importances.is_some());
        for (logit, clicked, importance) in rows.iter() {
            evaluator.add_important_logit(scale * logit + shift, clicked, importance);
        }
        evaluator.metrics()
    };
    let (before, after) = (metrics(1.0, 0.0), metrics(scaling.scale, scaling.shift));
    let weight_rule = model.metadata().weight_rule.recalibrated(scaling.scale, scaling.shift);
    drop(model);
    let logs = reader.files().to_vec();
    let used_rows = hold_out.map(|hold_out| hold_out.used_rows());
    let learned = learned_logs(LearningStep::Recalibrate, &logs, None, used_rows.as_deref());
    let (state_len_bytes, seconds) = (0, 0.0);
    let mut report =
        RecalibrateReport { scaling, correction, warning, weight_rule, logs, before, after, state_len_bytes, seconds };
    let (finished, metadata) = rewrite(options, &report, learned, watch)?;
    report.state_len_bytes = finished.len_bytes;
    report.seconds = started.elapsed().as_secs_f64();
    let mut copy = whole_provenance(&metadata);
    copy.insert("arguments".to_owned(), json!(options.arguments));
    copy.insert("recalibration_logs".to_owned(), json!(files_json(&report.logs)));
    copy.insert("seconds".to_owned(), json!(report.seconds));
    write_provenance(&options.out, &finished, Value::Object(copy))?;
    Ok(report)
}

/// Copies the state with the weight rule of the report, batch by batch. Returns the new state and its metadata.
fn rewrite(
    options: &RecalibrateOptions,
    report: &RecalibrateReport,
    learned: Vec<LearnedLog>,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<(FinishedState, Metadata), StateError> {
    let weight_rule = report.weight_rule;
    let mut reader = StateReader::open(&options.state)?;
    let mut metadata = Metadata { weight_rule, ..reader.metadata().clone() };
    add_recalibration(&mut metadata.provenance, options, report);
    extend_lineage(&mut metadata.lineage, learned);
    let (mut row_count, of) = (0, reader.feature_count() + 1);
    let mut writer = StateWriter::create(&options.out, &metadata, options.replace)?;
    while let Some(batch) = reader.next_batch()? {
        for row in batch.rows() {
            writer.push(&StateRow { weight: row.weight_by(&weight_rule), ..row })?;
        }
        row_count += batch.row_count() as u64;
        watch(&Event::Written { row_count, of });
    }
    Ok((writer.finish_with(&metadata.provenance)?, metadata))
}

fn add_recalibration(provenance: &mut Map<String, Value>, options: &RecalibrateOptions, report: &RecalibrateReport) {
    let scaling = report.scaling;
    let recalibration = json!({
        "importance_column": options.read.importance_column,
        "applied": report.correction.name(),
        "scale": scaling.scale,
        "shift": scaling.shift,
        "scale_error": scaling.scale_error,
        "shift_error": scaling.shift_error,
        "before": metrics_json(&report.before),
        "after": metrics_json(&report.after),
    });
    let recalibrations = provenance.entry("recalibrations").or_insert_with(|| json!([]));
    match recalibrations {
        Value::Array(recalibrations) => recalibrations.push(recalibration),
        other => *other = json!([recalibration]),
    }
}

#[cfg(test)]
mod tests;
