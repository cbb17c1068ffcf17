//! A whole training run: files in, a training state and its provenance out.

mod passes;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use omomi::contract::Contract;
use crate::judge::evaluate::{Evaluator, Metrics};
use crate::log::{LogFile, LogReader, ReadOptions};
use omomi::new_file::refuse_to_replace;

use super::start::{StartAccount, StartOptions, days_of, decay_of};
use super::state::StateError;
use super::{FieldFeatures, Sampling, Settings, TrainError, Trainer, provenance};

/// What to train on, how, and where to leave the result.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// Paths and patterns of the logs to learn from, in the order in which they are learned.
    pub logs: Vec<String>,
    /// Paths and patterns of logs that are only predicted, with the final weights. Empty for none.
    pub held_out: Vec<String>,
    /// How all of them are read.
    pub read: ReadOptions,
    /// Settings of the optimizer.
    pub settings: Settings,
    /// Which of the rows are learned from. Held-out rows are all predicted.
    pub sampling: Sampling,
    /// From which state training goes on; nothing to begin from nothing.
    pub start: Option<StartOptions>,
    /// How often the logs are learned from, at least 1.
    pub passes: u32,
    /// Where the rows are kept with their features numbered, so that to learn them again takes a fraction of the time. The
    /// first run makes it, and so does one with other logs, another contract, or other ways to read or sample; all others only
    /// read it. Without a name, several passes make one beside the state and remove it at the end.
    pub cache: Option<PathBuf>,
    /// Where the training state goes; its provenance goes [beside it](provenance_path).
    pub state: PathBuf,
    /// Whether files that are there are replaced.
    pub replace: bool,
    /// What the run was asked for, word by word, for the provenance only.
    pub arguments: Vec<String>,
}

/// What happens while [`train`] runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Logs are about to be read.
    Started {
        /// What for.
        step: Step,
        /// Who reads them.
        reader: &'a LogReader,
    },
    /// Some more rows of them were read.
    Read(&'a LogReader),
    /// The first pass has gone through [`WINDOW_ROW_COUNT`] more rows.
    Window {
        /// Metrics of these rows, each predicted before it was learned; without the AUC.
        window: Metrics,
        /// Metrics of all rows so far.
        so_far: Metrics,
    },
    /// There is a row cache of other rows, or of another version. It is made anew.
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
    /// All of them were read.
    Finished(&'a LogReader),
}

/// What logs are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To make a row cache, from which they are then learned.
    Cache,
    /// To learn from them.
    Learn,
    /// To evaluate the final weights.
    HeldOut,
}

/// Rows after which an [`Event::Window`] comes, up to a batch more.
pub const WINDOW_ROW_COUNT: u64 = 500_000;

/// What a training run did.
#[derive(Debug, Clone)]
pub struct Account {
    /// The files that were learned from.
    pub logs: Vec<LogFile>,
    /// The files that were held out.
    pub held_out_logs: Vec<LogFile>,
    /// Rows of one pass, those that were left out included.
    pub rows: u64,
    /// Rows of one pass that could not be used and were skipped, as the options allow.
    pub bad_rows: u64,
    /// Numbers out of their field's range, and NaN, by the name of the field, where there were any in a pass.
    pub invalid_numbers: Vec<(String, u64)>,
    /// Times of the first and of the last row, in microseconds since 1970-01-01 UTC, where a time column was named.
    pub window_us: Option<(i64, i64)>,
    /// The state from which the run went on, if there was one.
    pub start: Option<StartAccount>,
    /// Days from the first row that the model is built on, be it before its start, to the last, where times are known. Past
    /// [`LINEAGE_DAYS_LIMIT`](super::LINEAGE_DAYS_LIMIT) it should be built from nothing.
    pub lineage_days: Option<f64>,
    /// Metrics of the first pass, each row predicted before it was learned.
    pub progressive: Metrics,
    /// Metrics of the held-out rows under the final weights.
    pub held_out: Option<Metrics>,
    /// Features by field and cross, in contract order.
    pub fields: Vec<FieldFeatures>,
    /// Size of the training state in bytes.
    pub state_len_bytes: u64,
    /// Seconds that reading and learning took, all passes together.
    pub learn_seconds: f64,
    /// Seconds of the whole run.
    pub seconds: f64,
    /// Rows learned a second, reading included, over all passes.
    pub rows_per_second: f64,
    /// Most memory that the process has held, in bytes, where the system says it.
    pub peak_memory_bytes: Option<u64>,
}

impl Account {
    /// Features that were seen, the bias not counted.
    #[must_use]
    pub fn feature_count(&self) -> u64 {
        self.fields.iter().map(|field| field.feature_count).sum()
    }

    /// Features whose weight is not 0.
    #[must_use]
    pub fn nonzero_count(&self) -> u64 {
        self.fields.iter().map(|field| field.nonzero_count).sum()
    }
}

/// The file with the provenance of a training state: `out.parquet` has `out.provenance.json`.
#[must_use]
pub fn provenance_path(state: &Path) -> PathBuf {
    state.with_extension("provenance.json")
}

/// Trains a model of `contract` and writes its state and provenance. `watch` is told what happens; it costs nothing to
/// ignore it.
///
/// # Errors
///
/// What cannot be right is found before the first row is learned: settings out of bounds, files that are there already,
/// logs that cannot be opened or are held out as well. Then [`TrainError::Log`] for what is wrong with a row or file. The
/// files that the run would have written are as they were before, but for one case: where the provenance cannot be written, the
/// state, which comes first, is there already.
pub fn train(
    contract: &Contract,
    options: &TrainOptions,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Account, TrainError> {
    let started = Instant::now();
    options.settings.check()?;
    options.sampling.check()?;
    if options.passes == 0 {
        return Err(TrainError::NoPass);
    }
    let provenance_path = provenance_path(&options.state);
    for path in [&options.state, &provenance_path] {
        refuse_to_replace(path, options.replace).map_err(|error| StateError::io("write", path, error))?;
    }
    let reader = LogReader::open(contract, &options.logs, options.read.clone())?;
    let mut held_out_reader = match options.held_out.as_slice() {
        [] => None,
        patterns => Some(LogReader::open(contract, patterns, options.read.clone())?),
    };
    if let Some(held_out_reader) = &held_out_reader {
        refuse_leakage(reader.files(), held_out_reader.files())?;
    }
    let mut trainer = match &options.start {
        Some(start) => {
            let decay = decay_of(start, contract, options)?;
            Trainer::resume(contract, options.settings, options.sampling, &start.state, decay, start.shares)?
        }
        None => Trainer::with_sampling(contract, options.settings, options.sampling)?,
    };

    let counted = passes::learn(contract, options, &mut trainer, reader, watch)?;
    if counted.rows == 0 {
        return Err(TrainError::NoRows);
    }
    let learn_seconds = started.elapsed().as_secs_f64();

    let mut held_out = None;
    if let Some(reader) = &mut held_out_reader {
        held_out = Some(evaluate(&trainer, reader, watch)?);
    }
    let written = trainer.write_state(&options.state, options.replace)?;

    let rows = counted.rows;
    let invalid_numbers = contract.fields().iter().zip(counted.invalid_numbers).filter(|&(_, count)| count > 0);
    let account = Account {
        logs: counted.logs,
        held_out_logs: held_out_reader.map_or(Vec::new(), |reader| reader.files().to_vec()),
        rows,
        bad_rows: counted.bad_rows,
        invalid_numbers: invalid_numbers.map(|(field, count)| (field.name.clone(), count)).collect(),
        window_us: trainer.window_us(),
        start: trainer.start().cloned(),
        lineage_days: trainer.lineage_us().map(days_of),
        progressive: trainer.progressive_metrics(),
        held_out,
        fields: written.fields,
        state_len_bytes: written.len_bytes,
        learn_seconds,
        seconds: started.elapsed().as_secs_f64(),
        rows_per_second: rows as f64 * f64::from(options.passes) / learn_seconds.max(1e-9),
        peak_memory_bytes: peak_memory_bytes(),
    };
    provenance::write(&provenance_path, contract, options, &account)
        .map_err(|error| StateError::io("write", &provenance_path, error))?;
    Ok(account)
}

fn evaluate(
    trainer: &Trainer,
    reader: &mut LogReader,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Metrics, TrainError> {
    // An exact AUC takes rows to count alike.
    let mut evaluator = if reader.has_importance() { Evaluator::bounded() } else { Evaluator::exact() };
    watch(Event::Started { step: Step::HeldOut, reader });
    while let Some(batch) = reader.next_batch()? {
        let mut importance = batch.importance.iter().flatten();
        trainer.predict(&batch, |logit, clicked| {
            evaluator.add_important_logit(logit, clicked, importance.next().copied().unwrap_or(1.0));
        });
        watch(Event::Read(reader));
    }
    watch(Event::Finished(reader));
    Ok(evaluator.metrics())
}

/// Rows that were learned say nothing of rows never seen.
pub(crate) fn refuse_leakage(logs: &[LogFile], held_out: &[LogFile]) -> Result<(), TrainError> {
    // One file may be named in several ways. Where the system cannot say, the name has to do.
    let place = |file: &LogFile| fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
    let learned: HashSet<PathBuf> = logs.iter().map(place).collect();
    match held_out.iter().find(|file| learned.contains(&place(file))) {
        Some(file) => Err(TrainError::HeldOutIsLearned { path: file.path.clone() }),
        None => Ok(()),
    }
}

fn peak_memory_bytes() -> Option<u64> {
    // Linux tells it here; elsewhere there is no such file.
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests;
