//! `omomi train`: trains a model from logs and writes its training state.

use std::io::stdout;
use std::path::{Path, PathBuf};

use crate::csv_flags::CsvFlags;
use crate::hold_out_flags::HoldOutFlags;
use crate::importance_flags::ImportanceFlags;
use crate::progress::ReadProgress;
use clap::ArgAction;
use omomi::contract::TimeUnit;
use omomi_train::evaluate::Metrics;
use omomi_train::learn::shards::train_for_parent;
use omomi_train::learn::{
    Account, Event, FieldFeatures, LINEAGE_DAYS_LIMIT, Sampling, Settings, StartOptions, Step, TrainOptions,
    provenance_path, train,
};
use omomi_train::log::{KeptRows, ReadOptions};

use crate::Failure;
use crate::contract::read_contract;
use crate::output::{note, say};
use crate::progress::CountProgress;
use crate::text::{figure, grouped, table, window_text};
use crate::train_shards::{self, ShardFlags};

/// Train a model from ad logs and write its training state
///
/// Rows are learned in the order of the files, so give logs names that sort by time. The state is a Parquet file that
/// any SQL engine can read. A copy of its provenance is written next to it as JSON.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Path of the contract.toml
    #[arg(long, value_name = "FILE")]
    contract: PathBuf,
    /// Logs to learn from: Parquet, CSV or JSON lines, as paths or quoted patterns such as 'logs/*.parquet'
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    logs: Vec<String>,
    /// Training state to write, such as out.parquet
    #[arg(long, value_name = "FILE", visible_alias = "out")]
    state: PathBuf,
    /// Logs to evaluate the final weights on; they must not be among --logs
    #[arg(long, value_name = "PATTERN", num_args = 1.., conflicts_with = "held_out_rows")]
    held_out: Vec<String>,
    /// Learning rate: a larger value learns faster, with more noise
    #[arg(long, default_value_t = Settings::default().alpha)]
    alpha: f64,
    /// Damping: a larger value makes the first steps of a feature smaller
    #[arg(long, default_value_t = Settings::default().beta)]
    beta: f64,
    /// L1 penalty: a weight is 0 while |z| is at most this. A larger value gives smaller files
    #[arg(long, default_value_t = Settings::default().l1)]
    l1: f64,
    /// L2 penalty: pulls every weight toward 0
    #[arg(long, default_value_t = Settings::default().l2)]
    l2: f64,
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
    /// Number of passes over the logs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    passes: u32,
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
    let mut options = TrainOptions {
        logs: arguments.logs.clone(),
        held_out: arguments.held_out.clone(),
        read: arguments.hold_out.applied_to(
            arguments.csv.applied_to(arguments.importance.applied_to(ReadOptions {
                max_bad_rows: arguments.max_bad_rows,
                time_column: arguments.time_column.clone(),
                time_unit: arguments.time_unit,
                any_time: arguments.any_time,
                ..ReadOptions::default()
            })),
            KeptRows::Others,
        ),
        settings: Settings { alpha: arguments.alpha, beta: arguments.beta, l1: arguments.l1, l2: arguments.l2 },
        sampling: Sampling { negative_rate: arguments.negative_rate, seed: arguments.sample_seed },
        start: arguments.start.clone().map(|state| StartOptions {
            state,
            decay_per_day: arguments.decay,
            age_days: arguments.age_days,
            forget_unseen_days: arguments.forget_unseen,
            shares: arguments.start_shares,
        }),
        passes: arguments.passes,
        cache: arguments.cache.clone(),
        state: arguments.state.clone(),
        replace: arguments.force,
        again: arguments.again,
        arguments: std::env::args().skip(1).collect(),
    };
    if let Some(shard_count) = arguments.shards.shards {
        let (contract_file, quiet) = (&arguments.contract, arguments.quiet);
        return train_shards::run(&contract, contract_file, options, shard_count, &arguments.shards, quiet);
    }
    arguments.shards.narrow(&contract, &mut options)?;
    if arguments.shards.for_parent {
        train_for_parent(&contract, &options, &mut stdout())?;
        return Ok(());
    }
    let relearning = CountProgress::new(arguments.quiet);
    let mut watcher = Watcher { quiet: arguments.quiet, passes: arguments.passes, progress: None, relearning };
    let account = train(&contract, &options, &mut |event| watcher.watch(&event))?;
    say!("{}", describe(&account, &arguments.state).trim_end());
    for warning in account.order_warnings.iter().chain(&account.unseen_warnings) {
        note!("warning: {warning}");
    }
    if let Some(days) = account.lineage_days
        && account.start.is_some()
        && days > LINEAGE_DAYS_LIMIT
    {
        note!("warning: the model was trained from nothing {days:.1} days ago; do so again every few weeks");
    }
    Ok(())
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

fn describe(account: &Account, state: &Path) -> String {
    let mut text = format!("{}\n\n{}\n\n", metrics_table(account), field_table(account));
    let mut line = |name: &str, value: String| text.push_str(&format!(" {name:<16}{value}\n"));
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
