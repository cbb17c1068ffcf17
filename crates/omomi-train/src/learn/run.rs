//! Runs a whole training: log files in, a training state and its provenance out.

mod passes;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use crate::evaluate::{Evaluator, Metrics};
use crate::lineage::{LearnedLog, LearningStep, find_copy, find_learned, learned_logs, log_digest, pipes_of};
use crate::log::{
    FileId, FileMissing, HoldOut, KeptRows, LogDialect, LogFile, LogReader, LogWarning, ReadOptions, is_in_the_future,
};
use omomi::contract::{Contract, LogPolicy};

use super::start_state::{StartAccount, StartOptions, days_of, decay_of};
use super::state::{StateReader, other_reading};
use super::tune::Found;
use super::{
    FieldFeatures, FileUnseen, Sampling, Settings, SettledBias, TrainError, Trainer, files_json, lasting, metrics_json,
    refuse_existing_state, start_json, unseen_warnings, utc, window_json, write_provenance,
};

/// Options of [`train`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainOptions {
    /// Paths and patterns of the logs to learn from, in the order in which they are learned.
    pub logs: Vec<String>,
    /// Paths and patterns of the held-out logs, which are only predicted, with the final weights. Empty for none.
    pub held_out: Vec<String>,
    /// How all logs are read.
    pub read: ReadOptions,
    /// Settings of the optimizer.
    pub settings: Settings,
    /// Which rows are learned. Held-out rows are never sampled: all of them are predicted.
    pub sampling: Sampling,
    /// The state that training continues from; `None` to train from scratch.
    pub start: Option<StartOptions>,
    /// Number of passes over the logs, at least 1.
    pub passes: u32,
    /// What the [search](super::tune::search) found that chose the learning rate and the passes, for the provenance;
    /// `None` if they were given.
    pub search: Option<Found>,
    /// Whether the weights are the last ones that training went through, instead of [averages](Trainer::settle_weights)
    /// of them.
    pub last_iterates: bool,
    /// File of the row cache, which keeps the rows with their features numbered, so that learning them again takes a
    /// fraction of the time. The first run builds it. It is rebuilt when the logs, the contract, or the options for
    /// reading or sampling change; otherwise it is only read. With `None`, a run of several passes uses a temporary
    /// cache beside the state.
    pub cache: Option<PathBuf>,
    /// Path of the training state; a copy of its provenance goes [beside it](provenance_path).
    pub state: PathBuf,
    /// Whether existing files are replaced.
    pub replace: bool,
    /// Whether logs may be learned that the start state has learned, or that are copies of each other.
    pub again: bool,
    /// The command line of the run, for the provenance only.
    pub arguments: Vec<String>,
}

impl TrainOptions {
    /// Returns options for one pass from scratch over all rows, with the default settings, no held-out logs and no
    /// cache. No file is replaced.
    #[must_use]
    pub fn new(logs: impl IntoIterator<Item = impl Into<String>>, state: impl Into<PathBuf>) -> Self {
        Self {
            logs: logs.into_iter().map(Into::into).collect(),
            held_out: Vec::new(),
            read: ReadOptions::default(),
            settings: Settings::default(),
            sampling: Sampling::default(),
            start: None,
            passes: 1,
            search: None,
            last_iterates: false,
            cache: None,
            state: state.into(),
            replace: false,
            again: false,
            arguments: Vec::new(),
        }
    }

    /// Returns the search as a provenance has it.
    pub(crate) fn search_json(&self) -> Option<Value> {
        self.search.as_ref().map(Found::to_json)
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// An event of a run of [`train`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Logs are about to be read.
    Started {
        /// The purpose of reading.
        step: Step,
        /// The reader of the logs.
        reader: &'a LogReader,
    },
    /// The reader has read some more rows.
    Read(&'a LogReader),
    /// The first pass has learned [`WINDOW_ROW_COUNT`] more rows.
    Window {
        /// Metrics of these rows, each predicted before it was learned; without the AUC.
        window: Metrics,
        /// Metrics of all rows so far.
        so_far: Metrics,
    },
    /// The row cache has other rows or another version. It is rebuilt.
    CacheIsStale {
        /// The cache.
        path: &'a Path,
    },
    /// Some more rows of the row cache were learned.
    Relearned {
        /// Number of the pass, from 1.
        pass: u32,
        /// Rows of this pass so far.
        row_count: u64,
        /// Rows of the cache.
        of: u64,
    },
    /// The reader has read all rows.
    Finished(&'a LogReader),
}

/// The purpose for which logs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Building a row cache, from which the rows are then learned.
    Cache,
    /// Learning the rows directly.
    Learn,
    /// Evaluating the final weights on held-out rows.
    HeldOut,
}

/// Rows between two [`Event::Window`]s, plus up to one batch.
pub const WINDOW_ROW_COUNT: u64 = 500_000;

/// The outcome of a training run.
#[derive(Debug, Clone)]
pub struct Account {
    /// The files that were learned from.
    pub logs: Vec<LogFile>,
    /// The held-out files.
    pub held_out_logs: Vec<LogFile>,
    /// Rows of one pass, including those that sampling left out.
    pub rows: u64,
    /// Bad rows of one pass, which were skipped because the options allow it.
    pub bad_rows: u64,
    /// Names of the fields with invalid numbers (out of range, or NaN), each with their count in one pass.
    pub invalid_numbers: Vec<(String, u64)>,
    /// Rows without a value, by field of the contract, of all logs.
    pub missing: FileMissing,
    /// The missing values of each log, in the order of `logs`.
    pub missing_by_log: Vec<FileMissing>,
    /// What the reader of the logs noticed that is no error.
    pub warnings: Vec<LogWarning>,
    /// How many values the start state has not seen, by field, of each log in the order of `logs`. Empty without a
    /// start state, and if the rows came from a row cache.
    pub unseen_by_log: Vec<FileUnseen>,
    /// Fields with nearly only values that the start state has not seen, or suddenly many of them.
    pub unseen_warnings: Vec<String>,
    /// What is odd about the start state: logs that were read in another way, days out of order, a gap before the logs,
    /// or a recalibration that is dropped.
    pub order_warnings: Vec<String>,
    /// How the bias was settled on the last day; `None` without a time column.
    pub settled_bias: Option<SettledBias>,
    /// Times of the first and the last row, in microseconds since 1970-01-01 UTC; `None` without a time column.
    pub window_us: Option<(i64, i64)>,
    /// Number of rows that the model is built on, as far as decay leaves those of its start state.
    pub lineage_rows: u64,
    /// The state that the run continued from; `None` if it trained from scratch.
    pub start: Option<StartAccount>,
    /// Days between the first and the last row that the model is built on, including the rows of its start state;
    /// `None` if times are unknown. Above [`LINEAGE_DAYS_LIMIT`](super::LINEAGE_DAYS_LIMIT), train the model from
    /// scratch.
    pub lineage_days: Option<f64>,
    /// Metrics of the first pass, each row predicted before it was learned.
    pub progressive: Metrics,
    /// Metrics of the held-out rows under the final weights.
    pub held_out: Option<Metrics>,
    /// Number of features by field and cross, in contract order.
    pub fields: Vec<FieldFeatures>,
    /// Size of the training state in bytes.
    pub state_len_bytes: u64,
    /// Seconds of reading and learning, over all passes.
    pub learn_seconds: f64,
    /// Seconds of the whole run.
    pub seconds: f64,
    /// Rows learned per second, including the time to read them, over all passes.
    pub rows_per_second: f64,
    /// Peak memory of the process in bytes; `None` where the operating system does not report it.
    pub peak_memory_bytes: Option<u64>,
}

impl Account {
    /// Number of features that were seen, without the bias.
    #[must_use]
    pub fn feature_count(&self) -> u64 {
        self.fields.iter().map(|field| field.feature_count).sum()
    }

    /// Number of features whose weight is not 0, without the bias.
    #[must_use]
    pub fn nonzero_count(&self) -> u64 {
        self.fields.iter().map(|field| field.nonzero_count).sum()
    }
}

/// Returns the path of the copy of a training state's provenance: `out.provenance.json` for `out.parquet`. It is for
/// people: the state itself has the provenance.
#[must_use]
pub fn provenance_path(state: impl AsRef<Path>) -> PathBuf {
    let state = state.as_ref();
    state.with_extension("provenance.json")
}

/// Trains a model of `contract` and writes its state and provenance. Calls `watch` with each [`Event`].
///
/// # Errors
///
/// Before the first row is learned, returns an error if a setting is out of bounds, an output file exists, a log cannot
/// be opened, or a log is also held out. Later, returns [`TrainError::Log`] if a row or a file is bad. On an error no
/// output file has changed, with one exception: the state is written before the provenance, so it exists if only the
/// provenance cannot be written.
pub fn train(
    contract: &Contract,
    options: &TrainOptions,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Account, TrainError> {
    train_with(contract, options, false, watch)
}

/// Trains like [`train`] on a part of the logs: a field may have no value in it. The process that starts the
/// others checks that.
pub(crate) fn train_part(
    contract: &Contract,
    options: &TrainOptions,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Account, TrainError> {
    train_with(contract, options, true, watch)
}

fn train_with(
    contract: &Contract,
    options: &TrainOptions,
    is_part: bool,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Account, TrainError> {
    let started = Instant::now();
    options.settings.check()?;
    options.sampling.check()?;
    if options.passes == 0 {
        return Err(TrainError::NoPass);
    }
    refuse_existing_state(&options.state, options.replace)?;
    let (trained, reading_warnings) = how_start_was_read(contract, options)?;
    let options = &TrainOptions { read: options.read.with_trained(trained), ..options.clone() };
    let mut reader = LogReader::open(contract, &options.logs, options.read.clone())?;
    if is_part {
        reader.say_part();
    }
    let mut held_out_reader = match (options.held_out.as_slice(), reader.hold_out()) {
        ([], Some(hold_out)) if !is_part => {
            reader.check_repeatable()?;
            Some(LogReader::open(contract, &options.logs, held_out_rows(&options.read, hold_out))?)
        }
        ([], _) => None,
        (patterns, _) => Some(LogReader::open(contract, patterns, all_rows(&options.read))?),
    };
    if !is_part && reader.check_repeatable().is_ok() {
        LogReader::check_hold_out(contract, &options.logs, &options.read)?;
    }
    if let Some(held_out_reader) = held_out_reader.as_ref().filter(|_| !options.held_out.is_empty()) {
        refuse_leakage(reader.files(), held_out_reader.files())?;
        if held_out_reader.files().is_empty() {
            return Err(TrainError::NoHeldOutRows);
        }
    }
    refuse_start_times(options)?;
    refuse_log_as_output(reader.files(), &options.state)?;
    refuse_relearning(options, reader.files())?;
    let hold_out = reader.hold_out().map(HoldOut::used_rows);
    let mut trainer = match &options.start {
        Some(start) => {
            let decay = decay_of(start, contract, options)?;
            Trainer::resume_recent(contract, options.settings, options.sampling, start, decay)?
        }
        None => Trainer::with_sampling(contract, options.settings, options.sampling)?,
    };
    options.read.check_importance(trainer.importance_column())?;
    trainer.record_log_dialect(reader.dialect());
    trainer.record_importance_column(options.read.importance_column.as_deref());

    let counted = passes::learn(contract, options, &mut trainer, reader, watch)?;
    if counted.rows == 0 {
        return Err(TrainError::NoRows);
    }
    if !is_part {
        refuse_empty_fields(contract, &counted.missing)?;
    }
    if !options.again
        && let Some((path, copy)) = find_copy(&counted.logs)
    {
        return Err(TrainError::CopyOfLog { path, copy });
    }
    refuse_relearning(options, &pipes_of(&counted.logs))?;
    if !options.last_iterates {
        trainer.settle_weights();
    }
    let settled_bias = trainer.settle_bias();
    let learn_seconds = started.elapsed().as_secs_f64();
    let part = (!options.read.parts.is_empty()).then(|| "a part of the rows".to_owned());
    let rules: Vec<String> = hold_out.into_iter().chain(part).collect();
    let rule = (!rules.is_empty()).then(|| rules.join(", "));
    trainer.record(learned_logs(LearningStep::Train, &counted.logs, trainer.window_us(), rule.as_deref()));

    let mut held_out = None;
    if let Some(reader) = &mut held_out_reader {
        held_out = Some(evaluate(&trainer, reader, watch)?);
        if !options.held_out.is_empty() {
            refuse_leakage_through_pipes(&counted.logs, reader.files())?;
        }
    }
    let rows = counted.rows;
    let unseen_by_log = trainer.unseen_by_file().to_vec();
    let invalid_numbers = contract.fields().iter().zip(counted.invalid_numbers).filter(|&(_, count)| count > 0);
    let logs = counted.logs;
    let mut account = Account {
        held_out_logs: held_out_reader.map_or(Vec::new(), |reader| reader.files().to_vec()),
        rows,
        bad_rows: counted.bad_rows,
        invalid_numbers: invalid_numbers.map(|(field, count)| (field.name.clone(), count)).collect(),
        missing: counted.missing,
        missing_by_log: counted.missing_by_log,
        warnings: counted.warnings,
        unseen_warnings: unseen_warnings(contract, &logs, &unseen_by_log),
        unseen_by_log,
        logs,
        order_warnings: reading_warnings.into_iter().chain(start_warnings(&trainer)).collect(),
        settled_bias,
        window_us: trainer.window_us(),
        start: trainer.start().cloned(),
        lineage_rows: trainer.effective_rows(),
        lineage_days: trainer.lineage_us().map(days_of),
        progressive: trainer.progressive_metrics(),
        held_out,
        fields: Vec::new(),
        state_len_bytes: 0,
        learn_seconds,
        seconds: 0.0,
        rows_per_second: rows as f64 * f64::from(options.passes) / learn_seconds.max(1e-9),
        peak_memory_bytes: None,
    };
    let dialect = trainer.log_dialect();
    let (finished, _) = trainer.write_state_with(&options.state, options.replace, |fields| {
        account.fields = fields.to_vec();
        lasting(&provenance_of(contract, options, &account, dialect))
    })?;
    account.state_len_bytes = finished.len_bytes;
    account.seconds = started.elapsed().as_secs_f64();
    account.peak_memory_bytes = peak_memory_bytes();
    write_provenance(&options.state, &finished, provenance_of(contract, options, &account, dialect))?;
    Ok(account)
}

fn evaluate(
    trainer: &Trainer,
    reader: &mut LogReader,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Metrics, TrainError> {
    let mut evaluator = Evaluator::of_rows(reader.has_importance());
    watch(Event::Started { step: Step::HeldOut, reader });
    while let Some(batch) = reader.next_batch()? {
        let mut importance = batch.each_importance();
        trainer.predict(&batch, |logit, clicked| evaluator.add_important_logit(logit, clicked, importance()));
        watch(Event::Read(reader));
    }
    watch(Event::Finished(reader));
    Ok(evaluator.metrics())
}

/// Fails if a field has no value in any row: most likely its column was renamed, or its source failed.
pub(crate) fn refuse_empty_fields(contract: &Contract, missing: &FileMissing) -> Result<(), TrainError> {
    let row_count = missing.row_count;
    let is_empty = |index: usize| row_count > 0 && missing.missing_counts.get(index) == Some(&row_count);
    let may_be_empty = |index: usize| contract.reading().fields[index].may_be_empty;
    match (0..contract.fields().len()).find(|&index| is_empty(index) && !may_be_empty(index)) {
        None => Ok(()),
        Some(index) if contract.fields()[index].log == LogPolicy::Never => {
            Err(TrainError::FieldNeverLogged { field: contract.fields()[index].name.clone(), row_count })
        }
        Some(index) => Err(TrainError::FieldNeverOccurs {
            field: contract.fields()[index].name.clone(),
            column: contract.field_column(index).to_owned(),
            row_count,
        }),
    }
}

/// Returns the options that read the rows that training leaves out.
pub(crate) fn held_out_rows(read: &ReadOptions, hold_out: &HoldOut) -> ReadOptions {
    let hold_out = HoldOut { kept: KeptRows::HeldOut, ..hold_out.clone() };
    ReadOptions { hold_out: Some(hold_out), ..read.clone() }
}

/// Returns the options that read the rows to recalibrate a state on in the run that trains it: if the run also learns
/// some of these logs, the rows that it leaves out by its hold-out rule, and otherwise all rows.
///
/// # Errors
///
/// Fails if logs cannot be opened, if the rule holds out no row, or if logs are learned without a rule.
pub fn recalibration_rows(
    contract: &Contract,
    train: &TrainOptions,
    recalibrate_on: &[String],
) -> Result<ReadOptions, TrainError> {
    let learned = LogReader::open(contract, &train.logs, train.read.clone())?;
    let all = all_rows(&train.read);
    let own = LogReader::open(contract, recalibrate_on, all.clone())?;
    match (refuse_leakage(learned.files(), own.files()), learned.hold_out()) {
        (Err(_), Some(hold_out)) => Ok(held_out_rows(&train.read, hold_out)),
        (checked, _) => checked.map(|()| all),
    }
}

/// Returns the options that read all rows of logs of their own.
pub(crate) fn all_rows(read: &ReadOptions) -> ReadOptions {
    ReadOptions { hold_out: None, ..read.clone() }
}

/// Rejects a start state whose times this run would lose or hide behind.
pub(crate) fn refuse_start_times(options: &TrainOptions) -> Result<(), TrainError> {
    let Some(start) = &options.start else { return Ok(()) };
    let Some((_, end_us)) = StateReader::open(&start.state)?.metadata().window_us else { return Ok(()) };
    let path = || start.state.clone();
    if options.read.time_column.is_none() {
        return Err(TrainError::StartHasTimes { path: path() });
    }
    if is_in_the_future(end_us) && !options.read.any_time {
        let end = utc(end_us).unwrap_or_else(|| end_us.to_string());
        return Err(TrainError::StartEndsInFuture { path: path(), end });
    }
    Ok(())
}

/// Rejects an output that is a log: it would replace the log.
pub(crate) fn refuse_log_as_output(logs: &[LogFile], out: &Path) -> Result<(), TrainError> {
    match logs.iter().find(|log| log.is_at(out)) {
        Some(_) => Err(TrainError::OutputIsLog { path: out.to_owned() }),
        None => Ok(()),
    }
}

/// Rejects logs that the start state has learned already.
pub(crate) fn refuse_relearning(options: &TrainOptions, logs: &[LogFile]) -> Result<(), TrainError> {
    let Some(start) = options.start.as_ref().filter(|_| !options.again) else { return Ok(()) };
    let reader = StateReader::open(&start.state)?;
    match find_learned(&reader.metadata().lineage, logs, options.read.hold_out.as_ref()) {
        Some(path) => Err(TrainError::LearnedAlready { path, start: start.state.clone() }),
        None => Ok(()),
    }
}

/// Returns how the CSV logs of the start state were written, and what this run does otherwise: how the contract reads
/// logs, which weights a run ends with, and which rows it leaves out.
fn how_start_was_read(
    contract: &Contract,
    options: &TrainOptions,
) -> Result<(Option<LogDialect>, Vec<String>), TrainError> {
    let Some(start) = &options.start else { return Ok((None, Vec::new())) };
    let reader = StateReader::open(&start.state)?;
    let metadata = reader.metadata();
    let mut warnings: Vec<String> = other_reading(&metadata.contract, contract).into_iter().collect();
    let iterates = metadata.provenance.get("settings").and_then(|settings| settings.get("iterates"));
    if iterates.is_some_and(|iterates| iterates == "last") && !options.last_iterates {
        warnings.push(
            "the start state has the last weights of its run, and this run averages: --last-iterates goes on as before"
                .to_owned(),
        );
    }
    let left_out = |log: &LearnedLog| log.rule.as_deref()?.strip_prefix("without ").map(str::to_owned);
    if let Some(rule) = metadata.lineage.iter().find_map(left_out)
        && options.read.hold_out.is_none()
    {
        warnings.push(format!(
            "the start state left out rows by `{rule}`, and this run learns all rows: --held-out-rows leaves them out"
        ));
    }
    Ok((metadata.log_dialect, warnings))
}

/// Says what is odd about the start state: it was recalibrated, or the rows begin before it ends or long after.
fn start_warnings(trainer: &Trainer) -> Vec<String> {
    let mut warnings = order_warnings(trainer);
    if let Some((scale, shift)) = trainer.start().and_then(|start| start.dropped_recalibration) {
        warnings.push(format!(
            "training goes on without the recalibration of the start state (scale {scale:.4}, shift {shift:+.4}): \
             recalibrate the new state, too"
        ));
    }
    warnings
}

fn order_warnings(trainer: &Trainer) -> Vec<String> {
    let windows = trainer.start().and_then(|start| start.window_us).zip(trainer.window_us());
    let Some(((_, end_us), (first_us, _))) = windows else { return Vec::new() };
    let days = days_of((end_us, first_us));
    let time = |time_us| utc(time_us).unwrap_or_else(|| time_us.to_string());
    if days < 0.0 {
        let (first, end) = (time(first_us), time(end_us));
        return vec![format!(
            "the logs begin at {first}, before the end of the start state at {end}: days out of order"
        )];
    }
    // A shard sees only some of the rows, so its gap is none of the logs.
    if days >= MIN_GAP_DAYS && trainer.start().is_some_and(|start| start.shares == 1) {
        return vec![format!(
            "{days:.1} days are missing between the start state and the logs, after {}",
            time(end_us)
        )];
    }
    Vec::new()
}

/// Days without rows, from which on there is a warning.
const MIN_GAP_DAYS: f64 = 0.5;

/// Rejects held-out files that are also learned from. Such leakage makes held-out metrics worthless.
pub(crate) fn refuse_leakage(logs: &[LogFile], held_out: &[LogFile]) -> Result<(), TrainError> {
    let learned: HashSet<FileId> = logs.iter().map(LogFile::id).collect();
    match held_out.iter().find(|file| learned.contains(&file.id())) {
        Some(file) => Err(TrainError::HeldOutIsLearned { path: file.path.clone() }),
        None => Ok(()),
    }
}

/// Rejects a held-out pipe with the bytes of a learned log, and a held-out log with those of a learned pipe.
fn refuse_leakage_through_pipes(logs: &[LogFile], held_out: &[LogFile]) -> Result<(), TrainError> {
    if logs.iter().chain(held_out).all(|log| !log.is_pipe) {
        return Ok(());
    }
    let learned: HashSet<String> = logs.iter().filter_map(log_digest).collect();
    match held_out.iter().find(|log| log_digest(log).is_some_and(|digest| learned.contains(&digest))) {
        Some(log) => Err(TrainError::HeldOutIsLearned { path: log.path.clone() }),
        None => Ok(()),
    }
}

fn peak_memory_bytes() -> Option<u64> {
    // Only Linux has this file.
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn provenance_of(contract: &Contract, options: &TrainOptions, account: &Account, dialect: Option<LogDialect>) -> Value {
    let settings = options.settings;
    let fields: Vec<Value> = account
        .fields
        .iter()
        .map(|field| {
            let (features, nonzero) = (field.feature_count, field.nonzero_count);
            json!({ "field": field.field, "features": features, "nonzero": nonzero, "unseen_rate": field.unseen_rate })
        })
        .collect();
    let invalid_numbers: serde_json::Map<String, Value> =
        account.invalid_numbers.iter().map(|(field, count)| (field.clone(), json!(count))).collect();
    let by_field = |missing: &FileMissing| -> serde_json::Map<String, Value> {
        let counts = contract.fields().iter().zip(&missing.missing_counts).filter(|(_, count)| **count > 0);
        counts.map(|(field, count)| (field.name.clone(), json!(count))).collect()
    };
    let missing_by_log: Vec<Value> = account.missing_by_log.iter().map(|log| Value::Object(by_field(log))).collect();
    let rows_by_log: Vec<u64> = account.missing_by_log.iter().map(|log| log.row_count).collect();
    let unseen_by_log: Vec<Value> = account.unseen_by_log.iter().map(|log| unseen_json(contract, log)).collect();
    let warnings = account.warnings.iter().map(ToString::to_string);
    let warnings = warnings.chain(account.order_warnings.iter().chain(&account.unseen_warnings).cloned());
    let warnings: Vec<String> = warnings.collect();
    json!({
        "tool_version": env!("CARGO_PKG_VERSION"),
        "arguments": options.arguments,
        "contract": { "name": contract.name(), "fingerprint": format!("{:016x}", contract.fingerprint()) },
        "settings": {
            "alpha": settings.alpha,
            "beta": settings.beta,
            "l1": settings.l1,
            "l2": settings.l2,
            "passes": options.passes,
            "iterates": if options.last_iterates { "last" } else { "averaged" },
        },
        "search": options.search_json(),
        "sampling": { "negative_rate": options.sampling.negative_rate, "seed": options.sampling.seed },
        "importance_column": options.read.importance_column,
        "log_dialect": dialect,
        "hold_out": options.read.hold_out.as_ref().map(|hold_out| hold_out.rule.to_string()),
        "logs": files_json(&account.logs),
        "held_out_logs": files_json(&account.held_out_logs),
        "rows": account.rows,
        "bad_rows": account.bad_rows,
        "clicks": account.progressive.clicks,
        "invalid_numbers": invalid_numbers,
        "missing_values": by_field(&account.missing),
        "missing_rows": account.missing.row_count,
        "missing_values_by_log": missing_by_log,
        "rows_by_log": rows_by_log,
        "unseen_values_by_log": unseen_by_log,
        "warnings": warnings,
        "training_window": account.window_us.map(window_json),
        "settled_bias": account.settled_bias.map(|it| json!({ "hours": it.hours, "rows": it.rows, "shift": it.shift })),
        "start": account.start.as_ref().map(start_json),
        "lineage_days": account.lineage_days,
        "lineage_rows": account.lineage_rows,
        "metrics": {
            "progressive": metrics_json(&account.progressive),
            "held_out": account.held_out.as_ref().map(metrics_json),
        },
        "features": account.feature_count(),
        "nonzero": account.nonzero_count(),
        "fields": fields,
        "seconds": account.seconds,
        "learn_seconds": account.learn_seconds,
        "rows_per_second": account.rows_per_second,
        "peak_memory_bytes": account.peak_memory_bytes,
    })
}

/// The values of each field that has some, and how many of them are unseen.
fn unseen_json(contract: &Contract, unseen: &FileUnseen) -> Value {
    let counts = contract.fields().iter().zip(unseen.value_counts.iter().zip(&unseen.unseen_counts));
    let counts = counts.filter(|(_, (values, _))| **values > 0);
    counts
        .map(|(field, (values, unseen))| (field.name.clone(), json!({ "values": values, "unseen": unseen })))
        .collect()
}

#[cfg(test)]
mod tests;
