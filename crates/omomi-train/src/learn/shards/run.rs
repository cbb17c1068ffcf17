//! Runs a training in shards: splits the log, trains the missing shards and averages them, round by round.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::bucket::digest_of;
use crate::evaluate::{Evaluator, Metrics};
use crate::learn::average::{AverageOptions, AverageReport, Rule, average};
use crate::learn::recalibrate::{RecalibrateOptions, RecalibrateReport, recalibrate};
use crate::learn::state::StateReader;
use crate::learn::{
    StartOptions, StateModel, TrainError, TrainOptions, age_days, all_rows, held_out_rows, refuse_empty_fields,
    refuse_existing_state, refuse_leakage, refuse_relearning, refuse_start_times,
};
use crate::lineage::find_copy;
use crate::log::{CsvDialect, FileMissing, LogDialect, LogFile, LogReader, ReadOptions};
use omomi::contract::Contract;

use super::inputs::{DigestedLogs, Inputs, Marker, ShardStatus};
use super::noticed::{Noticed, read_noticed};
use super::progress::ProgressFile;
use super::split::distribute;
use super::supervisor::{Job, ShardObserver, Supervisor};
use super::worker::WorkDir;
use super::{
    OneOf, ProgressEvent, ShardAccount, ShardEvent, ShardsAccount, Split, TrainShardsError, TrainShardsOptions,
};

/// Trains the shards that are not finished yet, each in its own process, and averages all shards. Calls `watch` with
/// each event, and appends it to `progress.jsonl` in the work folder.
///
/// # Errors
///
/// Invalid options and missing files are found before the first process starts. If shards fail, returns
/// [`TrainShardsError::Shards`] with their numbers. The finished shards are kept, and no file outside the work folder
/// has changed.
pub fn train_shards(
    contract: &Contract,
    options: &TrainShardsOptions,
    watch: &mut dyn FnMut(&ProgressEvent),
) -> Result<ShardsAccount, TrainShardsError> {
    let started = Instant::now();
    let TrainShardsOptions { shard_count, round_count, process_count, .. } = *options;
    if shard_count < 2 {
        return Err(TrainShardsError::TooFewShards { found: shard_count });
    }
    if round_count > 1 && options.rule != Rule::Curvature {
        return Err(TrainShardsError::NoRoundsByRule { rule: options.rule });
    }
    let train = &options.train;
    train.settings.check()?;
    if train.start.as_ref().is_some_and(|start| start.forget_unseen_days.is_some()) {
        return Err(TrainShardsError::ForgettingShards);
    }
    refuse_existing_state(&train.state, train.replace).map_err(TrainError::from)?;
    let mut options = options.clone();
    let mut trained = None;
    if let Some(start) = &train.start {
        let reader = StateReader::open(&start.state).map_err(TrainError::from)?;
        train.read.check_importance(reader.metadata().importance_column.as_deref())?;
        trained = reader.metadata().log_dialect;
    }
    options.train.read = train.read.with_trained(trained);
    let train = &options.train;
    let reader = LogReader::open(contract, &train.logs, train.read.clone())?;
    reader.check_repeatable()?;
    LogReader::check_hold_out(contract, &train.logs, &train.read).map_err(TrainError::from)?;
    refuse_start_times(train)?;
    refuse_relearning(train, reader.files())?;
    if !train.again
        && let Some((path, copy)) = find_copy(reader.files())
    {
        return Err(TrainError::CopyOfLog { path, copy }.into());
    }
    let mut used = reader.files().to_vec();
    let mut skipped_files = reader.skipped_files().to_vec();
    // All shards have to hold out the same rows, so that a share of the last rows is found here once.
    options.train.read.hold_out = reader.hold_out().cloned();
    let options = &options;
    let train = &options.train;
    let mut recalibration_read = None;
    for patterns in [&options.recalibrate_on, &train.held_out] {
        if !patterns.is_empty() {
            let held_out = LogReader::open(contract, patterns, all_rows(&train.read))?;
            held_out.check_repeatable()?;
            match (refuse_leakage(&used, held_out.files()), &train.read.hold_out) {
                // The rows that are left out of the learned logs.
                (Err(_), Some(hold_out)) if std::ptr::eq(patterns, &options.recalibrate_on) => {
                    recalibration_read = Some(held_out_rows(&train.read, hold_out));
                }
                (checked, _) => checked?,
            }
            used.extend_from_slice(held_out.files());
            skipped_files.extend_from_slice(held_out.skipped_files());
            if held_out.files().is_empty() {
                return Err(TrainError::NoHeldOutRows.into());
            }
        }
    }
    let split = options.split.clone().completed(contract, train, &mut |_| ())?;
    let plan = Plan::new(contract, options, &split, reader.files())?;

    let work_dir = WorkDir::take(&options.work_dir)?;
    let progress = work_dir.progress();
    let file = ProgressFile::open(&progress).map_err(TrainShardsError::io("write", &progress))?;
    let mut reporter = ProgressReporter { file, watch, round: None };
    let split = split.to_string();
    reporter
        .report(None, ShardEvent::Begun { shards: shard_count, processes: process_count, rounds: round_count, split });
    let digest_started = Instant::now();
    let logs = DigestedLogs::read(reader.files());
    let logs = logs.map_err(|(path, source)| TrainShardsError::Io { action: "read", path, source })?;
    reporter.report(
        None,
        ShardEvent::Digested {
            files: reader.files().len(),
            len_bytes: reader.total_len_bytes(),
            seconds: digest_started.elapsed().as_secs_f64(),
        },
    );

    for skipped in skipped_files {
        let reason = skipped.reason.to_string();
        reporter.report(None, ShardEvent::Skipped { file: skipped.path.clone(), reason });
    }

    let mut shards = Vec::new();
    let mut start = plan.start.clone();
    let mut merged = None;
    let mut noticed = Noticed::default();
    for round in 1..=round_count.max(1) {
        reporter.round = Some(round);
        work_dir.begin_round(round)?;
        let round = Round { plan: &plan, work_dir: &work_dir, logs: &logs, number: round, start: start.as_ref() };
        let (learned, by_shard) = round.learn(&mut reporter)?;
        shards.extend(learned);
        if round.number == 1 {
            noticed = Noticed::of(contract, &by_shard, &options.split, reader.files());
            let mut missing = FileMissing::default();
            noticed.missing_by_log.iter().for_each(|log| missing.add(log));
            refuse_empty_fields(contract, &missing)?;
        }
        let report = round.merge(&mut reporter)?;
        start = Some(StartOptions {
            state: round.merged_path(),
            decay_per_day: 1.0,
            age_days: None,
            forget_unseen_days: None,
            shares: shard_count,
        });
        merged = Some(report);
    }
    reporter.round = None;
    let recalibration = match options.recalibrate_on.as_slice() {
        [] => None,
        _ => {
            let read = recalibration_read.clone().unwrap_or_else(|| all_rows(&train.read));
            Some(recalibrate_merged(options, read, work_dir.merged(round_count.max(1)), &mut reporter)?)
        }
    };
    let held_out = match (train.held_out.as_slice(), &train.read.hold_out) {
        ([], None) => None,
        ([], Some(hold_out)) => Some(evaluate(contract, train, &train.logs, held_out_rows(&train.read, hold_out))?),
        (patterns, _) => Some(evaluate(contract, train, patterns, all_rows(&train.read))?),
    };
    let Noticed { missing_by_log, invalid_numbers, unseen_by_log, mut warnings } = noticed;
    if recalibration_read.is_some() && held_out.is_some() {
        warnings.push(
            "the state was recalibrated on the held-out rows, so its metrics on them flatter it: evaluate on others"
                .to_owned(),
        );
    }
    let logs = reader.files().to_vec();
    let seconds = started.elapsed().as_secs_f64();
    reporter.report(None, ShardEvent::Done { seconds });
    let average = merged.expect("there is at least one round");
    Ok(ShardsAccount {
        logs,
        shards,
        average,
        recalibration,
        held_out,
        missing_by_log,
        invalid_numbers,
        unseen_by_log,
        warnings,
        seconds,
    })
}

fn recalibrate_merged(
    options: &TrainShardsOptions,
    read: ReadOptions,
    merged: PathBuf,
    reporter: &mut ProgressReporter<'_>,
) -> Result<RecalibrateReport, TrainShardsError> {
    let train = &options.train;
    let recalibrate_options = RecalibrateOptions {
        state: merged,
        logs: options.recalibrate_on.clone(),
        read,
        out: train.state.clone(),
        replace: train.replace,
        arguments: train.arguments.clone(),
    };
    let report = recalibrate(&recalibrate_options, &mut |_| ())?;
    let (scale, shift) = (report.scaling.scale, report.scaling.shift);
    reporter.report(None, ShardEvent::Recalibrated { scale, shift, seconds: report.seconds });
    Ok(report)
}

fn evaluate(
    contract: &Contract,
    train: &TrainOptions,
    patterns: &[String],
    read: ReadOptions,
) -> Result<Metrics, TrainShardsError> {
    let model = StateModel::read(&train.state)?;
    let mut reader = LogReader::open(contract, patterns, read)?;
    let mut evaluator = Evaluator::of_rows(reader.has_importance());
    while let Some(batch) = reader.next_batch()? {
        let mut importance = batch.each_importance();
        model.predict(&batch, |logit, clicked| evaluator.add_important_logit(logit, clicked, importance()));
    }
    Ok(evaluator.metrics())
}

/// Reports events to the caller and appends them to the progress file.
struct ProgressReporter<'a> {
    file: ProgressFile,
    watch: &'a mut dyn FnMut(&ProgressEvent),
    round: Option<u32>,
}

impl ProgressReporter<'_> {
    fn report(&mut self, shard: Option<u32>, event: ShardEvent) {
        let event = ProgressEvent::now(self.round, shard, event);
        (self.watch)(&event);
        // A failed write must not waste hours of work. If the disk is full, writing the states fails too and reports
        // it.
        let _ = self.file.add(&event);
    }
}

/// What is trained. It is the same for every round, except for the round's part of the rows and its start state.
struct Plan<'a> {
    contract: &'a Contract,
    options: &'a TrainShardsOptions,
    split: &'a Split,
    /// The logs of each shard.
    logs: Vec<Vec<PathBuf>>,
    /// The state that the first round continues from.
    start: Option<StartOptions>,
}

impl<'a> Plan<'a> {
    /// Plans the training of `files`, which are all logs.
    fn new(
        contract: &'a Contract,
        options: &'a TrainShardsOptions,
        split: &'a Split,
        files: &[LogFile],
    ) -> Result<Self, TrainShardsError> {
        let count = options.shard_count;
        let paths = |files: &[LogFile]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
        let logs = if *split == Split::File {
            distribute(files, count)?.iter().map(|own| paths(own)).collect()
        } else {
            // Opening the logs once finds a missing column here.
            let mut narrowed = options.train.clone();
            split.narrow(OneOf { number: 1, count }, contract, &mut narrowed)?;
            LogReader::open(contract, &narrowed.logs, narrowed.read)?;
            vec![paths(files); count as usize]
        };
        let mut start = options.train.start.clone();
        if let Some(start) = &mut start {
            start.shares = count;
        }
        if let Some(start) = &mut start
            && start.decay_per_day < 1.0
            && start.age_days.is_none()
        {
            // The logs of the shards begin at different times, but their start state must decay by the same factor.
            start.age_days = Some(age_days(start, contract, &options.train)?);
        }
        Ok(Self { contract, options, split, logs, start })
    }

    /// Returns the flags of a shard's command that its state depends on, except for paths.
    fn arguments(&self, shard: u32, round: u32) -> BTreeMap<String, String> {
        // Every option is named here, so that a new one cannot be forgotten.
        let TrainOptions {
            logs: _,
            held_out: _,
            read,
            settings,
            sampling,
            start: _,
            passes,
            search: _,
            last_iterates,
            cache: _,
            state: _,
            replace: _,
            // The parent has checked the logs. Later rounds go on from a state that has learned them.
            again: _,
            arguments: _,
        } = &self.options.train;
        let ReadOptions {
            batch_row_count: _,
            max_bad_rows,
            many_separator: _,
            csv,
            as_trained: _,
            trained: _,
            time_column,
            time_unit,
            any_time,
            importance_column,
            unweighted,
            extra_columns: _,
            parts: _,
            hold_out,
        } = read;
        let mut arguments: Vec<(&str, String)> = vec![
            // `{:?}` is the shortest text that reads back to the same double.
            ("--alpha", format!("{:?}", settings.alpha)),
            ("--beta", format!("{:?}", settings.beta)),
            ("--l1", format!("{:?}", settings.l1)),
            ("--l2", format!("{:?}", settings.l2)),
            ("--negative-rate", format!("{:?}", sampling.negative_rate)),
            ("--sample-seed", sampling.seed.to_string()),
            ("--passes", passes.to_string()),
            ("--max-bad-rows", max_bad_rows.to_string()),
        ];
        arguments.extend(LogDialect::of(read).flags());
        let CsvDialect { delimiter: _, quote: _, escape: _, max_cell_lines } = csv;
        arguments.push(("--csv-cell-lines", max_cell_lines.to_string()));
        arguments.extend(time_column.iter().map(|column| ("--time-column", column.clone())));
        arguments.extend(time_unit.iter().map(|unit| ("--time-unit", unit.word().to_owned())));
        if *last_iterates {
            arguments.push(("--last-iterates", "true".to_owned()));
        }
        if *any_time {
            arguments.push(("--any-time", "true".to_owned()));
        }
        arguments.extend(importance_column.iter().map(|column| ("--importance-column", column.clone())));
        arguments.extend(hold_out.iter().map(|hold_out| ("--held-out-rows", hold_out.rule.to_string())));
        if *unweighted {
            arguments.push(("--unweighted", "true".to_owned()));
        }
        if *self.split != Split::File {
            let shard = OneOf { number: shard, count: self.options.shard_count };
            arguments.extend([("--shard", shard.to_string()), ("--split", self.split.to_string())]);
        }
        if self.options.round_count > 1 {
            let round = OneOf { number: round, count: self.options.round_count };
            arguments.push(("--round", round.to_string()));
        }
        arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// One round.
struct Round<'a> {
    plan: &'a Plan<'a>,
    work_dir: &'a WorkDir,
    logs: &'a DigestedLogs,
    number: u32,
    start: Option<&'a StartOptions>,
}

impl Round<'_> {
    fn shard_count(&self) -> u32 {
        self.plan.options.shard_count
    }

    /// Trains the shards that are not finished. Also returns what the process of each shard noticed.
    fn learn(&self, reporter: &mut ProgressReporter<'_>) -> Result<(Vec<ShardAccount>, Vec<Value>), TrainShardsError> {
        let options = self.plan.options;
        let start_digest = match self.start {
            Some(StartOptions { state, .. }) => {
                Some(digest_of(state).map_err(TrainShardsError::io("read", state))?.to_string())
            }
            None => None,
        };
        let mut observer =
            RoundObserver { round: self, start_digest, reporter, accounts: BTreeMap::new(), noticed: BTreeMap::new() };
        let mut jobs = Vec::new();
        for shard in 1..=self.shard_count() {
            let paths = self.work_dir.shard(self.number, shard);
            match Marker::check(&paths.marker, &observer.inputs(shard), &paths.state) {
                ShardStatus::Finished(finished, noticed) => {
                    observer.noticed.insert(shard, noticed);
                    observer.reuse(shard, finished);
                    continue;
                }
                ShardStatus::Stale(reason) => observer.observe(shard, ShardEvent::Stale { reason }),
                ShardStatus::New => {}
            }
            // A marker must not outlive its state. Old output on standard error would look like that of the new
            // process.
            for path in [paths.marker, paths.stderr.clone()] {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(TrainShardsError::io("remove", &path)(error));
                    }
                    _ => {}
                }
            }
            jobs.push(Job { shard, arguments: self.command(shard), stderr: paths.stderr });
        }
        let supervisor = Supervisor {
            program: &options.program,
            process_count: options.process_count,
            retry_count: options.retry_count,
        };
        let failures = supervisor.run(jobs, &mut observer);
        if !failures.is_empty() {
            let (shard_count, work_dir) = (self.shard_count(), self.work_dir.path().to_owned());
            return Err(TrainShardsError::Shards { failures, shard_count, work_dir });
        }
        Ok((observer.accounts.into_values().collect(), observer.noticed.into_values().collect()))
    }

    /// Returns all arguments of a shard's command.
    fn command(&self, shard: u32) -> Vec<OsString> {
        let with_value = |name: &str, value: &Path| {
            let mut argument = OsString::from(format!("{name}="));
            argument.push(value);
            argument
        };
        let paths = self.work_dir.shard(self.number, shard);
        let mut command: Vec<OsString> = ["train", "--for-parent", "--force"].map(OsString::from).into();
        command.push(with_value("--contract", &self.plan.options.contract_file));
        command.push(with_value("--state", &paths.state));
        // A shard forgets nothing: see `TrainShardsError::ForgettingShards`.
        if let Some(StartOptions { state, decay_per_day, age_days, forget_unseen_days: _, shares }) = self.start {
            command.push(with_value("--start", state));
            command.push(format!("--decay={decay_per_day:?}").into());
            command.push(format!("--start-shares={shares}").into());
            command.extend(age_days.map(|days| OsString::from(format!("--age-days={days:?}"))));
        }
        let arguments = self.plan.arguments(shard, self.number);
        command.extend(arguments.into_iter().map(|(name, value)| OsString::from(format!("{name}={value}"))));
        command.extend(self.plan.logs[shard as usize - 1].iter().map(|path| with_value("--logs", path)));
        command
    }

    fn merged_path(&self) -> PathBuf {
        let options = self.plan.options;
        let is_last = self.number == options.round_count.max(1);
        if is_last && options.recalibrate_on.is_empty() {
            options.train.state.clone()
        } else {
            self.work_dir.merged(self.number)
        }
    }

    fn merge(&self, reporter: &mut ProgressReporter<'_>) -> Result<AverageReport, TrainShardsError> {
        let TrainShardsOptions { train, rule, allow_uneven, .. } = self.plan.options;
        let state = self.merged_path();
        let options = AverageOptions {
            states: (1..=self.shard_count()).map(|shard| self.work_dir.shard(self.number, shard).state).collect(),
            start: self.start.map(|start| start.state.clone()),
            rule: *rule,
            allow_uneven: *allow_uneven,
            replace: train.replace || state != train.state,
            state,
            search: train.search_json(),
            arguments: train.arguments.clone(),
        };
        let report = average(&options, &mut |_| ())?;
        reporter.report(None, ShardEvent::Merged { features: report.feature_count(), seconds: report.seconds });
        Ok(report)
    }
}

/// Observes the processes of a round and records the shards that are finished.
struct RoundObserver<'a, 'b> {
    round: &'a Round<'a>,
    start_digest: Option<String>,
    reporter: &'a mut ProgressReporter<'b>,
    accounts: BTreeMap<u32, ShardAccount>,
    /// What the process of each shard noticed.
    noticed: BTreeMap<u32, Value>,
}

impl RoundObserver<'_, '_> {
    fn inputs(&self, shard: u32) -> Inputs {
        let plan = self.round.plan;
        let mut arguments = plan.arguments(shard, self.round.number);
        if let Some(StartOptions { decay_per_day, age_days, shares, .. }) = self.round.start {
            arguments.insert("--decay".to_owned(), format!("{decay_per_day:?}"));
            arguments.insert("--start-shares".to_owned(), shares.to_string());
            arguments.extend(age_days.map(|days| ("--age-days".to_owned(), format!("{days:?}"))));
        }
        Inputs {
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            contract: fingerprint(plan.contract),
            arguments,
            start: self.start_digest.clone(),
            logs: self.round.logs.of(&plan.logs[shard as usize - 1]),
        }
    }

    fn reuse(&mut self, shard: u32, finished: ShardEvent) {
        if let ShardEvent::Finished { rows, log_loss, .. } = finished {
            self.observe(shard, ShardEvent::Reused { rows, log_loss });
        }
        self.note(shard, true, finished);
    }

    fn note(&mut self, shard: u32, reused: bool, finished: ShardEvent) {
        self.accounts.insert(shard, ShardAccount { round: self.round.number, shard, reused, finished });
    }
}

impl ShardObserver for RoundObserver<'_, '_> {
    fn observe(&mut self, shard: u32, event: ShardEvent) {
        self.reporter.report(Some(shard), event);
    }

    fn accept(&mut self, shard: u32, finished: &ShardEvent) -> Result<(), String> {
        let paths = self.round.work_dir.shard(self.round.number, shard);
        let inputs = self.inputs(shard);
        if let Some(path) = self.round.logs.changed(&inputs.logs) {
            return Err(format!("{} changed during training; run again when it is complete", path.display()));
        }
        let reader = StateReader::open(&paths.state).map_err(|error| error.to_string())?;
        let (expected, found) = (&inputs.contract, fingerprint(&reader.metadata().contract));
        if *expected != found {
            let contract_file = self.round.plan.options.contract_file.display();
            return Err(format!(
                "{contract_file} changed during training: expected the fingerprint {expected}, found {found}; run again"
            ));
        }
        let noticed = read_noticed(&paths.state)?;
        Marker::write(&paths.marker, inputs, &paths.state, finished.clone(), noticed.clone())
            .map_err(|error| format!("cannot write {}: {error}", paths.marker.display()))?;
        self.noticed.insert(shard, noticed);
        self.note(shard, false, finished.clone());
        Ok(())
    }
}

fn fingerprint(contract: &Contract) -> String {
    format!("{:016x}", contract.fingerprint())
}
