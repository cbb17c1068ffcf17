//! `omomi train`: trains a model from logs and writes its training state.

use std::io::stdout;
use std::path::PathBuf;

use crate::csv_flags::CsvFlags;
use crate::hold_out_flags::HoldOutFlags;
use crate::importance_flags::ImportanceFlags;
use crate::progress::ReadProgress;
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory};
use omomi::contract::{Contract, TimeUnit};
use omomi_train::bucket::{Place, len_of};
use omomi_train::evaluate::Metrics;
use omomi_train::learn::recalibrate::{RecalibrateOptions, recalibrate};
use omomi_train::learn::shards::train_for_parent;
use omomi_train::learn::state::{StateError, StateReader};
use omomi_train::learn::tune::{self, SEARCH_PASSES, SEARCH_ROW_COUNT, search};
use omomi_train::learn::{
    Account, Event, FieldFeatures, LINEAGE_DAYS_LIMIT, Sampling, Settings, StartOptions, Step, TrainOptions,
    provenance_path, recalibration_rows, train,
};
use omomi_train::log::{KeptRows, LogReader, ReadOptions};
use omomi_train::plan::Plan;

use crate::contract::read_contract;
use crate::output::{note, say};
use crate::progress::CountProgress;
use crate::recalibrate::print_report;
use crate::text::{figure, grouped, table, window_text};
use crate::train_shards::{self, ShardFlags};
use crate::{Cli, Failure};

/// Train a model from ad logs and write its training state
///
/// Rows are learned in the order of the files, so give logs names that sort by time. The state is a Parquet file that
/// any SQL engine can read. A copy of its provenance is written next to it as JSON.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Path of the contract.toml
    #[arg(long, value_name = "FILE")]
    contract: PathBuf,
    /// Logs to learn from: Parquet, CSV, JSON lines or text of Vowpal Wabbit, as paths or quoted patterns such as
    /// 'logs/*.parquet'
    #[arg(long, value_name = "PATTERN", num_args = 1.., required_unless_present = "shards")]
    logs: Vec<String>,
    /// Training state to write, such as out.parquet
    #[arg(long, value_name = "FILE", visible_alias = "out")]
    state: PathBuf,
    /// Logs to evaluate the final weights on; they must not be among --logs
    #[arg(long, value_name = "PATTERN", num_args = 1.., conflicts_with = "held_out_rows")]
    held_out: Vec<String>,
    /// Learning rate: a larger value learns faster, with more noise [default: searched; that of --start; 0.2 with
    /// --no-search]
    #[arg(long)]
    alpha: Option<f64>,
    /// Damping: a larger value makes the first steps of a feature smaller [default: that of --start, or 1]
    #[arg(long)]
    beta: Option<f64>,
    /// L1 penalty: a weight is 0 while |z| is at most this. A larger value gives smaller files [default: that of
    /// --start, or 1]
    #[arg(long)]
    l1: Option<f64>,
    /// L2 penalty: pulls every weight toward 0 [default: that of --start, or 0]
    #[arg(long)]
    l2: Option<f64>,
    /// Do not search for the learning rate and the number of passes. The search takes some seconds: it learns the first
    /// 200,000 rows with a few settings. It is left out with --alpha, --passes or --start, and in a single shard
    #[arg(long)]
    no_search: bool,
    /// Write the last weights that training went through, instead of averages of them, which have less noise
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value_t = false, default_missing_value = "true")]
    last_iterates: bool,
    /// Share of the rows without a click to learn from, above 0 and at most 1; each counts 1/RATE. A smaller value is
    /// faster and costs little accuracy
    #[arg(long, value_name = "RATE", default_value_t = Sampling::default().negative_rate)]
    negative_rate: f64,
    /// Seed of --negative-rate: a different seed leaves out different rows
    #[arg(long, value_name = "NUMBER", default_value_t = Sampling::default().seed)]
    sample_seed: u64,
    /// Training state to continue from, with the same contract and settings [default: train from nothing]
    #[arg(long, value_name = "FILE")]
    start: Option<PathBuf>,
    /// Share of --start to keep per day of data between its last row and the last row of the logs, such as 0.97; 1
    /// keeps all. The logs are read once more, to find out when they end
    #[arg(long, value_name = "GAMMA_PER_DAY", default_value_t = 1.0, requires = "start")]
    decay: f64,
    /// Days of data by which --start ages [default: from the times of the rows]
    #[arg(long, value_name = "DAYS", requires = "start")]
    age_days: Option<f64>,
    /// Leave out features of --start that no row has had for so many days before its end, so that a state that is
    /// continued every day stays bounded [default: keep all]
    #[arg(long, value_name = "DAYS", requires = "start", conflicts_with_all = ["shards", "start_shares"])]
    forget_unseen: Option<f64>,
    /// Number of runs that continue from --start in parallel and are then averaged: each takes its share of the
    /// evidence
    #[arg(long, value_name = "COUNT", requires = "start", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    start_shares: u32,
    /// Number of passes over the logs [default: searched; 1 with --alpha, --start or --no-search]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    passes: Option<u32>,
    /// File that keeps the rows with numbered features, for further passes and for runs with other settings. It is
    /// written if it is missing or belongs to other logs. Otherwise it is read instead of the logs
    #[arg(long, value_name = "FILE", conflicts_with = "shards")]
    cache: Option<PathBuf>,
    /// Column with the time of the impression: records the training window and when each feature was last seen
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// Unit of times that are integers [default: that of the contract, or a guess, which is reported]
    #[arg(long, value_name = "UNIT", value_parser = crate::text::parse_time_unit)]
    time_unit: Option<TimeUnit>,
    /// Take any time, even before 2000 or in the future
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value_t = false, default_missing_value = "true")]
    any_time: bool,
    #[command(flatten)]
    importance: ImportanceFlags,
    #[command(flatten)]
    hold_out: HoldOutFlags,
    /// Number of unusable rows to skip in each set of logs before the command fails
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_bad_rows: u64,
    #[command(flatten)]
    csv: CsvFlags,
    /// Learn logs even if --start has learned them already, or if one is a copy of another
    #[arg(long)]
    again: bool,
    /// Replace the state if it exists
    #[arg(long)]
    force: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    shards: ShardFlags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let contract = read_contract(&arguments.contract)?;
    let plan = arguments.shards.plan()?;
    let plan = plan.as_ref();
    let mut options = given_options(arguments, plan)?;
    if !options.replace && len_of(&options.state)?.is_some() {
        return Err(StateError::Exists { path: options.state }.into());
    }
    if is_searched(arguments) && plan.is_none() {
        choose_settings(&contract, &mut options, arguments.quiet)?;
    }
    if let Some(plan) = plan {
        plan.check_logs(LogReader::open(&contract, &options.logs, options.read.clone())?.files())?;
    }
    let mut recalibrate_on: &[String] = &[];
    if let Some(shard_count) = arguments.shards.count(plan) {
        if arguments.shards.is_alone(&contract, &options)? {
            note!(
                "the logs are so small that one process learns them in seconds, and better than {shard_count} shards: \
                 training in one process (--always-shard insists)"
            );
            recalibrate_on = arguments.shards.recalibrate_on();
        } else {
            let (contract_file, quiet) = (&arguments.contract, arguments.quiet);
            return train_shards::run(&contract, contract_file, options, shard_count, &arguments.shards, plan, quiet);
        }
    }
    if !recalibrate_on.is_empty() {
        return train_and_recalibrate(&contract, options, recalibrate_on, arguments);
    }
    arguments.shards.narrow(&contract, &mut options, plan)?;
    if arguments.shards.for_parent {
        train_for_parent(&contract, &options, &mut stdout())?;
        return Ok(());
    }
    train_alone(&contract, &options, arguments.quiet)
}

/// Returns the learning rate and the number of passes that are given or searched for.
pub(crate) fn rate(arguments: &Arguments) -> Result<(f64, u32), Failure> {
    let contract = read_contract(&arguments.contract)?;
    let mut options = given_options(arguments, None)?;
    if is_searched(arguments) {
        choose_settings(&contract, &mut options, arguments.quiet)?;
    }
    Ok((options.settings.alpha, options.passes))
}

/// Returns the options that the flags give, and a plan for those that are not given.
fn given_options(arguments: &Arguments, plan: Option<&Plan>) -> Result<TrainOptions, Failure> {
    if arguments.logs.is_empty() && plan.is_none() {
        let problem = "the following required arguments were not provided: --logs <PATTERN>...";
        Cli::command().error(ErrorKind::MissingRequiredArgument, problem).exit();
    }
    let planned_logs = || plan.map_or_else(Vec::new, |it| it.logs.iter().map(|log| log.path.clone()).collect());
    let logs = if arguments.logs.is_empty() { planned_logs() } else { arguments.logs.clone() };
    let start = arguments.start.clone().or_else(|| plan.and_then(|plan| plan.start.as_ref().map(PathBuf::from)));
    let rate = plan.and_then(|plan| plan.rate);
    let mut settings = given_settings(arguments, start.as_ref())?;
    settings.alpha = arguments.alpha.or(rate.map(|rate| rate.alpha)).unwrap_or(settings.alpha);
    let mut options = TrainOptions::new(&logs, &arguments.state);
    options.held_out = arguments.held_out.clone();
    options.read = arguments.hold_out.applied_to(
        arguments.csv.applied_to(arguments.importance.applied_to(ReadOptions::default().with(|it| {
            it.max_bad_rows = arguments.max_bad_rows;
            it.time_column = arguments.time_column.clone();
            it.time_unit = arguments.time_unit;
            it.any_time = arguments.any_time;
        }))),
        KeptRows::Others,
    );
    options.settings = settings;
    options.sampling = Sampling { negative_rate: arguments.negative_rate, seed: arguments.sample_seed };
    let planned_shares = plan.filter(|_| arguments.shards.is_part()).and_then(|it| u32::try_from(it.shards.len()).ok());
    options.start = start.map(|state| {
        StartOptions::new(state).with(|it| {
            it.decay_per_day = arguments.decay;
            it.age_days = arguments.age_days;
            it.forget_unseen_days = arguments.forget_unseen;
            it.shares = planned_shares.unwrap_or(arguments.start_shares);
        })
    });
    // A start state has no passes of its own: one pass also counts what it has not seen.
    options.passes = arguments.passes.or(rate.map(|rate| rate.passes)).unwrap_or(1);
    options.last_iterates = arguments.last_iterates;
    options.cache = arguments.cache.clone();
    options.replace = arguments.force;
    options.again = arguments.again;
    options.arguments = std::env::args().skip(1).collect();
    Ok(options)
}

/// Trains in this process, recalibrates the state, and leaves only the recalibrated one.
fn train_and_recalibrate(
    contract: &Contract,
    options: TrainOptions,
    recalibrate_on: &[String],
    arguments: &Arguments,
) -> Result<(), Failure> {
    let read = recalibration_rows(contract, &options, recalibrate_on)?;
    let state = options.state.with_extension("before-recalibration.parquet");
    let state = match Place::of(&state)? {
        Place::Disk(path) => path,
        Place::Bucket(_) => {
            std::env::temp_dir().join(format!("omomi-{}.before-recalibration.parquet", std::process::id()))
        }
    };
    let mut before = options.clone();
    before.state = state;
    before.replace = true;
    let outcome = train_alone(contract, &before, arguments.quiet).and_then(|()| {
        // It refuses logs that were learned.
        let mut recalibrate_options = RecalibrateOptions::new(&before.state, recalibrate_on, &options.state);
        recalibrate_options.read = read;
        recalibrate_options.replace = options.replace;
        recalibrate_options.arguments = options.arguments.clone();
        let report = recalibrate(&recalibrate_options, &mut |_| ())?;
        print_report(&report);
        if let Some(warning) = &report.warning {
            note!("warning: {warning}");
        }
        say!("state      {}", options.state.display());
        Ok(())
    });
    for path in [&before.state, &provenance_path(&before.state)] {
        // Nothing is lost if it stays.
        let _ = std::fs::remove_file(path);
    }
    outcome
}

fn train_alone(contract: &Contract, options: &TrainOptions, quiet: bool) -> Result<(), Failure> {
    let relearning = CountProgress::new(quiet);
    let mut watcher = Watcher { quiet, passes: options.passes, progress: None, relearning };
    let account = train(contract, options, &mut |event| watcher.watch(&event))?;
    say!("{}", describe(&account, options).trim_end());
    for warning in account.order_warnings.iter().chain(&account.unseen_warnings) {
        note!("warning: {warning}");
    }
    if let Some(hint) = poor_model_hint(&account) {
        note!("hint: {hint}");
    }
    if let Some(days) = account.lineage_days
        && account.start.is_some()
        && days > LINEAGE_DAYS_LIMIT
    {
        note!("warning: the model was trained from nothing {days:.1} days ago; do so again every few weeks");
    }
    Ok(())
}

/// Returns the settings that were given, or else those of the start state, or else the defaults.
fn given_settings(arguments: &Arguments, start: Option<&PathBuf>) -> Result<Settings, Failure> {
    let settings = match start {
        None => Settings::default(),
        Some(start) => StateReader::open(start)?.metadata().settings,
    };
    Ok(Settings {
        alpha: arguments.alpha.unwrap_or(settings.alpha),
        beta: arguments.beta.unwrap_or(settings.beta),
        l1: arguments.l1.unwrap_or(settings.l1),
        l2: arguments.l2.unwrap_or(settings.l2),
    })
}

/// Whether the learning rate and the passes are left to a search. A part of a larger training never searches: all its
/// parts need the same settings.
fn is_searched(arguments: &Arguments) -> bool {
    let is_given = arguments.alpha.is_some() || arguments.passes.is_some() || arguments.start.is_some();
    !(arguments.no_search || is_given || arguments.shards.is_part() || arguments.shards.has_alpha())
}

/// Searches for the learning rate and the number of passes, and announces both the search and its outcome.
fn choose_settings(contract: &Contract, options: &mut TrainOptions, quiet: bool) -> Result<(), Failure> {
    options.settings.check()?;
    let mut reading = None::<ReadProgress>;
    if !quiet {
        note!(
            "search: trying learning rates with up to {SEARCH_PASSES} passes on the first {} rows; --no-search leaves \
             it out",
            grouped(SEARCH_ROW_COUNT)
        );
    }
    let outcome = search(contract, options, &mut |event| match event {
        tune::Event::Read(reader) => {
            reading.get_or_insert_with(|| ReadProgress::new("read the sample", reader, quiet)).update(reader)
        }
        _ => reading = None,
    })?;
    match outcome {
        Ok(found) => {
            (options.settings, options.passes) = (found.settings, found.passes);
            if !quiet {
                let passes = if found.passes == 1 { "1 pass".to_owned() } else { format!("{} passes", found.passes) };
                note!(
                    "search: alpha {} and {passes}, the best of {} learning rates, judged on {} rows ({}), in {:.1} s",
                    found.settings.alpha,
                    found.trials.len(),
                    grouped(found.held_out_row_count),
                    found.held_out,
                    found.seconds
                );
                if found.is_at_edge {
                    note!("search: better settings may be beyond those that were tried; omomi tune looks further");
                }
            }
            options.search = Some(found);
        }
        Err(reason) if !quiet => {
            let (alpha, passes) = (options.settings.alpha, options.passes);
            note!("search: left out, because {reason}; alpha is {alpha}, passes: {passes}");
        }
        Err(_) => {}
    }
    Ok(())
}

/// Normalized entropy from which on a model is hardly better than a constant.
const POOR_ENTROPY: f64 = 0.99;

/// Says what to try if a model is hardly better than predicting the click rate.
fn poor_model_hint(account: &Account) -> Option<String> {
    let metrics = account.held_out.as_ref().unwrap_or(&account.progressive);
    let entropy = metrics.normalized_entropy.filter(|&entropy| entropy >= POOR_ENTROPY)?;
    Some(format!(
        "the model is hardly better than a constant (normalized entropy {entropy:.4}): omomi tune on the same logs \
         looks for better settings; if it finds none, the fields say little about clicks"
    ))
}

/// Shows progress on standard error.
struct Watcher {
    quiet: bool,
    passes: u32,
    progress: Option<ReadProgress>,
    /// Progress of rows that come from a row cache instead of logs.
    relearning: CountProgress,
}

impl Watcher {
    fn watch(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { step, reader } => {
                let label = match step {
                    Step::Learn => "train",
                    Step::Cache => "number the rows",
                    Step::HeldOut => "held out",
                };
                self.progress = Some(ReadProgress::new(label, reader, self.quiet));
            }
            Event::Read(reader) => {
                if let Some(progress) = &mut self.progress {
                    progress.update(reader);
                }
            }
            Event::CacheIsStale { path } if !self.quiet => {
                note!("{}: the row cache is of other rows or another version; it is written again", path.display());
            }
            Event::Relearned { pass, row_count, of } => {
                let name =
                    if self.passes > 1 { format!("train, pass {pass} of {}", self.passes) } else { "train".to_owned() };
                self.relearning.count(&name, "rows", *row_count, *of);
                if row_count == of {
                    self.relearning.finish();
                }
            }
            Event::Window { window, so_far } => match &self.progress {
                Some(progress) => progress.note(&window_line(window, so_far)),
                None => self.relearning.note(&window_line(window, so_far)),
            },
            Event::Finished(reader) => {
                if let Some(progress) = self.progress.take() {
                    progress.finish(reader);
                }
                for bad_row in reader.bad_rows() {
                    note!("skipped: {bad_row}");
                }
                let unlisted = reader.bad_row_count() - reader.bad_rows().len() as u64;
                if unlisted > 0 {
                    note!("skipped: {} more rows", grouped(unlisted));
                }
            }
            _ => {}
        }
    }
}

fn window_line(window: &Metrics, so_far: &Metrics) -> String {
    format!(
        "{:>13} rows | last {}: log loss {:.5}, NE {}, calibration {} | so far: log loss {:.5}, NE {}, calibration {}, AUC {}",
        grouped(so_far.impressions),
        grouped(window.impressions),
        window.log_loss,
        figure(window.normalized_entropy),
        figure(window.calibration_ratio),
        so_far.log_loss,
        figure(so_far.normalized_entropy),
        figure(so_far.calibration_ratio),
        figure(so_far.auc),
    )
}

fn settings_text(options: &TrainOptions) -> String {
    let Settings { alpha, beta, l1, l2 } = options.settings;
    let searched = if options.search.is_some() { " (alpha and passes were searched)" } else { "" };
    format!("alpha {alpha}, beta {beta}, l1 {l1}, l2 {l2}, passes {}{searched}", options.passes)
}

fn describe(account: &Account, options: &TrainOptions) -> String {
    let state = options.state.as_path();
    let mut text = format!("{}\n\n{}\n\n", metrics_table(account), field_table(account));
    let mut line = |name: &str, value: String| text.push_str(&format!(" {name:<16}{value}\n"));
    line("settings", settings_text(options));
    if let Some(window_us) = account.window_us {
        line("window", window_text(window_us));
    }
    if let Some(settled) = account.settled_bias {
        let (hours, rows) = (settled.hours, grouped(settled.rows));
        line("bias", format!("{:+.4}, settled on the last {hours} hours ({rows} rows)", settled.shift));
    }
    if account.bad_rows > 0 {
        line("bad rows", format!("{} skipped", grouped(account.bad_rows)));
    }
    for (field, count) in &account.invalid_numbers {
        line("out of range", format!("{} numbers of `{field}`, treated as missing", grouped(*count)));
    }
    if let Some(start) = &account.start {
        let days =
            account.lineage_days.map_or(String::new(), |days| format!(", trained from nothing {days:.1} days ago"));
        let (path, rows) = (start.path.display(), grouped(start.rows));
        line("start", format!("{path} ({rows} rows, of which {:.4} is left{days})", start.decay));
        if start.forgotten > 0 {
            line("forgotten", format!("{} features that no row had lately", grouped(start.forgotten)));
        }
    }
    let seconds = account.learn_seconds;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure for people, never negative")]
    let rows_per_second = grouped(account.rows_per_second as u64);
    line("speed", format!("{rows_per_second} rows/s, {seconds:.1} s of {:.1} s", account.seconds));
    if let Some(bytes) = account.peak_memory_bytes {
        line("peak memory", format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)));
    }
    line("state", format!("{} ({} bytes)", state.display(), grouped(account.state_len_bytes)));
    line("provenance", provenance_path(state).display().to_string());
    text
}

fn metrics_table(account: &Account) -> String {
    let mut rows = Vec::new();
    let mut row = |name: &str, of: &dyn Fn(&Metrics) -> String| {
        let held_out = account.held_out.as_ref().map_or_else(|| "-".to_owned(), of);
        rows.push(vec![name.to_owned(), of(&account.progressive), held_out]);
    };
    row("rows", &|metrics| grouped(metrics.impressions));
    row("clicks", &|metrics| grouped(metrics.clicks));
    row("log loss", &|metrics| format!("{:.6}", metrics.log_loss));
    row("constant's log loss", &|metrics| format!("{:.6}", metrics.constant_log_loss()));
    row("normalized entropy", &|metrics| figure(metrics.normalized_entropy));
    row("AUC", &|metrics| figure(metrics.auc));
    row("calibration ratio", &|metrics| figure(metrics.calibration_ratio));
    table(&["", "progressive", "held out"], rows)
}

fn field_table(account: &Account) -> String {
    let row_count = account.missing.row_count.max(1) as f64;
    let share = |share: f64| format!("{:.1} %", 100.0 * share);
    // Crosses come after the fields and have no column of their own.
    let missing = account.missing.missing_counts.iter().map(|&count| share(count as f64 / row_count));
    let missing = missing.chain(std::iter::repeat(String::new()));
    let out_of_range = |name: &str| {
        let found = account.invalid_numbers.iter().find(|(field, _)| field == name);
        found.map_or_else(String::new, |&(_, count)| share(count as f64 / account.rows.max(1) as f64))
    };
    let row = |(field, missing): (&FieldFeatures, String)| {
        vec![
            field.field.clone(),
            grouped(field.feature_count),
            grouped(field.nonzero_count),
            missing,
            out_of_range(&field.field),
            field.unseen_rate.map_or_else(String::new, share),
        ]
    };
    let mut rows: Vec<Vec<String>> = account.fields.iter().zip(missing).map(row).collect();
    let mut all = vec!["all".to_owned(), grouped(account.feature_count()), grouped(account.nonzero_count())];
    all.resize(6, String::new());
    rows.push(all);
    table(&["field", "features", "not 0", "missing", "out of range", "unseen"], rows)
}
