//! Recalibrates a model on held-out rows, so that its probabilities match the observed clicks.
//!
//! Averages and pruned models rank well, but their probabilities are too low or too high. [`recalibrate`] fits Platt
//! scaling, `scale * logit + shift`, on rows that the model has not learned. It folds the result into the [weight
//! rule](crate::learn::WeightRule) of the state: every weight and the bias are multiplied by `scale`, and `shift` is
//! added to the bias. `z` and `d` do not change. So training continues from a recalibrated state as if it had not been
//! recalibrated, and a second recalibration is applied on top of the first.
//!
//! Rows that were used here are no longer held out: evaluated on them, a model looks better calibrated than it is. The
//! provenance names their files under `recalibrations`.
//!
//! # Limits
//!
//! Two numbers adjust the whole curve. An error that differs between regions of the logit remains; isotonic regression
//! would follow it. Memory: about 50 bytes per feature and 9 per held-out row.

mod platt;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::evaluate::{Evaluator, Metrics};
use crate::learn::state::{Metadata, StateError, StateReader, StateRow, StateWriter};
use crate::learn::{
    StateModel, TrainError, WeightRule, files_json, is_of_state, metrics_json, provenance_path, refuse_existing_state,
    write_provenance,
};
use crate::lineage::{LearnedLog, LearningStep, extend_lineage, find_learned, learned_logs};
use crate::log::{LogError, LogFile, LogReader, ReadOptions};

pub use platt::{PlattFault, PlattScaling};

/// Options of [`recalibrate`].
#[derive(Debug, Clone)]
pub struct RecalibrateOptions {
    /// The training state.
    pub state: PathBuf,
    /// Paths and patterns of logs that the state was not trained on.
    pub logs: Vec<String>,
    /// How the logs are read.
    pub read: ReadOptions,
    /// Path of the recalibrated state; its provenance goes [beside it](provenance_path).
    pub out: PathBuf,
    /// Whether existing files are replaced.
    pub replace: bool,
    /// The command line, for the provenance only.
    pub arguments: Vec<String>,
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
    /// The fitted scale and shift.
    pub scaling: PlattScaling,
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
    let provenance_path = provenance_path(&options.out);
    refuse_existing_state(&options.out, options.replace)?;
    let model = StateModel::read(&options.state)?;
    let old_provenance = earlier_provenance(&options.state);
    let mut reader = LogReader::open(&model.metadata().contract, &options.logs, options.read.clone())?;
    let by_content = find_learned(&model.metadata().lineage, reader.files());
    if let Some(path) = by_content.or_else(|| learned_file(&old_provenance, reader.files())) {
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
    let logs = reader.files().to_vec();
    let learned = learned_logs(LearningStep::Recalibrate, &logs, None, None);
    let state_len_bytes = rewrite(options, weight_rule, learned, watch)?;
    let seconds = started.elapsed().as_secs_f64();
    let report = RecalibrateReport { scaling, weight_rule, logs, before, after, state_len_bytes, seconds };
    write_provenance(&options.out, with_recalibration(old_provenance, options, &report))
        .map_err(|error| StateError::io("write", &provenance_path, error))?;
    Ok(report)
}

/// Copies the state with another weight rule, batch by batch. Returns the size of the new state in bytes.
fn rewrite(
    options: &RecalibrateOptions,
    weight_rule: WeightRule,
    learned: Vec<LearnedLog>,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<u64, StateError> {
    let mut reader = StateReader::open(&options.state)?;
    let mut metadata = Metadata { weight_rule, ..reader.metadata().clone() };
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
    writer.finish()
}

/// Reads the provenance beside the state. Returns an empty map if there is no valid one, or if it belongs to another
/// state.
fn earlier_provenance(state: &Path) -> Map<String, Value> {
    let text = fs::read(provenance_path(state)).unwrap_or_default();
    match serde_json::from_slice(&text) {
        Ok(Value::Object(provenance)) if is_of_state(&provenance, state) => provenance,
        _ => Map::new(),
    }
}

/// Returns the first of `files` that the model has learned, according to its provenance. For an average, also checks
/// the provenance of its shards.
fn learned_file(provenance: &Map<String, Value>, files: &[LogFile]) -> Option<PathBuf> {
    // A file can have several names. If the system cannot resolve one, compare the name as given.
    let place = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let shards = provenance.get("shards").and_then(Value::as_array).into_iter().flatten();
    let logs = shards.map(|shard| &shard["provenance"]["logs"]).chain(provenance.get("logs"));
    let logs = logs.filter_map(Value::as_array).flatten().filter_map(|log| log["path"].as_str());
    let learned: Vec<PathBuf> = logs.map(|path| place(path.as_ref())).collect();
    files.iter().find(|file| learned.contains(&place(&file.path))).map(|file| file.path.clone())
}

fn with_recalibration(
    mut provenance: Map<String, Value>,
    options: &RecalibrateOptions,
    report: &RecalibrateReport,
) -> Value {
    let scaling = report.scaling;
    let recalibration = json!({
        "logs": files_json(&report.logs),
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
    let state = json!({ "path": options.out.display().to_string(), "len_bytes": report.state_len_bytes });
    provenance.insert("state".to_owned(), state);
    provenance.insert("arguments".to_owned(), json!(options.arguments));
    provenance.insert("seconds".to_owned(), json!(report.seconds));
    Value::Object(provenance)
}

#[cfg(test)]
mod tests;
