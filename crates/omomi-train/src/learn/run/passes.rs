//! Runs the passes of a training: over the logs themselves, or over a row cache of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::evaluate::{Evaluator, Metrics, Totals};
use crate::learn::pipeline::run_pipeline;
use crate::learn::row_cache::{self, Found, RowCache, RowCacheError};
use crate::learn::{TrainError, Trainer};
use crate::log::{FileMissing, LogFile, LogReader, LogWarning, RowBatch};
use omomi::contract::Contract;
use omomi::store::Digest;

use super::{Event, Step, TrainOptions, WINDOW_ROW_COUNT};

/// Counts of one pass over the logs.
pub(super) struct Counted {
    pub(super) logs: Vec<LogFile>,
    /// Rows of one pass.
    pub(super) rows: u64,
    pub(super) bad_rows: u64,
    /// By field of the contract.
    pub(super) invalid_numbers: Vec<u64>,
    pub(super) missing: FileMissing,
    pub(super) missing_by_log: Vec<FileMissing>,
    pub(super) warnings: Vec<LogWarning>,
}

/// Learns all passes. `reader` must be at the start of the logs.
pub(super) fn learn(
    contract: &Contract,
    options: &TrainOptions,
    trainer: &mut Trainer,
    reader: LogReader,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Counted, TrainError> {
    if options.cache.is_none() && options.passes == 1 {
        return learn_from_logs(contract, trainer, reader, watch);
    }
    let temporary;
    let path = match &options.cache {
        Some(path) => path,
        None => {
            // The disk of the state needs free space anyway.
            temporary = TemporaryFile::beside(&options.state);
            &temporary.0
        }
    };
    let (mut cache, counted) = cache_of(contract, options, path, reader, watch)?;
    learn_from_cache(options, trainer, &mut cache, watch)?;
    Ok(counted)
}

fn learn_from_logs(
    contract: &Contract,
    trainer: &mut Trainer,
    mut reader: LogReader,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Counted, TrainError> {
    let mut invalid_numbers = vec![0; contract.fields().len()];
    let mut windows = Windows::new(trainer.progressive().totals());
    watch(Event::Started { step: Step::Learn, reader: &reader });
    let learn = |batch: &RowBatch| {
        trainer.learn(batch)?;
        for (count, column) in invalid_numbers.iter_mut().zip(&batch.columns) {
            *count += column.invalid_number_count;
        }
        Ok(windows.add(batch.row_count() as u64, trainer.progressive_mut()))
    };
    run_pipeline(&mut reader, learn, |reader, window| {
        watch(Event::Read(reader));
        if let Some((window, so_far)) = window {
            watch(Event::Window { window, so_far });
        }
    })?;
    watch(Event::Finished(&reader));
    let (rows, bad_rows) = (reader.rows_read(), reader.bad_row_count());
    if rows == 0 && reader.rows_of_all_parts() > 0 {
        return Err(TrainError::NoRowsInPart { row_count: reader.rows_of_all_parts() });
    }
    let (missing, missing_by_log) = (reader.missing(), reader.missing_by_file().to_vec());
    let (warnings, logs) = (reader.warnings(), reader.files().to_vec());
    Ok(Counted { logs, rows, bad_rows, invalid_numbers, missing, missing_by_log, warnings })
}

/// Returns the cache at `path`. Rebuilds it unless it holds these logs, read and sampled with these options.
fn cache_of(
    contract: &Contract,
    options: &TrainOptions,
    path: &Path,
    mut reader: LogReader,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<(RowCache, Counted), TrainError> {
    let digest = if options.cache.is_none() {
        // A temporary cache is never reused, so it needs no digest.
        Digest::of(b"")
    } else {
        reader.check_repeatable()?;
        row_cache::digest_of(contract, &options.read, options.sampling, reader.files())
            .map_err(|source| RowCacheError::Io { action: "read", path: path.to_owned(), source })?
    };
    let mut found = RowCache::find(path, digest)?;
    if !matches!(found, Found::Fresh(_)) {
        if matches!(found, Found::Stale) {
            watch(Event::CacheIsStale { path });
        }
        watch(Event::Started { step: Step::Cache, reader: &reader });
        let mut read = |reader: &LogReader| watch(Event::Read(reader));
        row_cache::build(contract, options.sampling, &mut reader, (path, digest), &mut read)?;
        watch(Event::Finished(&reader));
        found = RowCache::find(path, digest)?;
    }
    let Found::Fresh(cache) = found else {
        let problem = "it was removed or replaced while it was built".to_owned();
        return Err(RowCacheError::Damaged { path: path.to_owned(), problem }.into());
    };
    let summary = cache.summary();
    let mut logs = reader.files().to_vec();
    for (log, &row_count) in logs.iter_mut().zip(&summary.log_row_counts) {
        log.row_count = row_count;
    }
    let (rows, bad_rows) = (summary.rows, summary.bad_rows);
    let invalid_numbers = summary.invalid_numbers.clone();
    let missing_by_log = summary.missing_by_log.clone();
    let mut missing = FileMissing::default();
    missing_by_log.iter().for_each(|log| missing.add(log));
    let warnings = reader.warnings();
    let counted = Counted { logs, rows, bad_rows, invalid_numbers, missing, missing_by_log, warnings };
    Ok((*cache, counted))
}

fn learn_from_cache(
    options: &TrainOptions,
    trainer: &mut Trainer,
    cache: &mut RowCache,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<(), TrainError> {
    let slots = trainer.add_cached_features(cache)?;
    let of = cache.row_count();
    let mut windows = Windows::new(trainer.progressive().totals());
    for pass in 1..=options.passes {
        if pass > 1 {
            trainer.begin_next_pass();
        }
        let mut row_count_before = 0;
        trainer.learn_cached(cache, &slots, &mut |row_count, progressive| {
            watch(Event::Relearned { pass, row_count, of });
            if pass == 1
                && let Some((window, so_far)) = windows.add(row_count - row_count_before, progressive)
            {
                watch(Event::Window { window, so_far });
            }
            row_count_before = row_count;
        })?;
    }
    Ok(())
}

/// Cuts the rows of the first pass into windows.
struct Windows {
    start: Totals,
    row_count: u64,
}

impl Windows {
    fn new(start: Totals) -> Self {
        Self { start, row_count: 0 }
    }

    /// Counts `row_count` more rows. Returns the metrics of the window and of all rows so far if the window is full
    /// now.
    fn add(&mut self, row_count: u64, progressive: &mut Evaluator) -> Option<(Metrics, Metrics)> {
        self.row_count += row_count;
        if self.row_count < WINDOW_ROW_COUNT {
            return None;
        }
        let totals = progressive.totals();
        let window = totals.since(self.start);
        *self = Self::new(totals);
        Some((window, progressive.metrics()))
    }
}

/// A file that is removed when the run ends, even if it fails.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn beside(path: &Path) -> Self {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.row-cache", std::process::id()));
        Self(crate::bucket::beside(path, &name))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
