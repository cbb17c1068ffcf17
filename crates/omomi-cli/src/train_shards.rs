//! `omomi train --shards`: trains shards of the logs in parallel processes and averages them.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::CommandFactory;
use clap::error::ErrorKind;
use omomi::contract::Contract;
use omomi_train::bucket::Place;
use omomi_train::evaluate::Metrics;
use omomi_train::learn::average::Rule;
use omomi_train::learn::shards::{
    ALONE_ROW_COUNT, OneOf, ShardEvent, ShardsAccount, Split, TrainShardsOptions, guessed_row_count, narrow_to_round,
    shard_alpha, train_shards,
};
use omomi_train::learn::state::StateReader;
use omomi_train::learn::{TrainOptions, provenance_path};
use omomi_train::log::LogReader;
use omomi_train::plan::{Plan, PlanError};

use crate::output::{note, say};
use crate::progress::ShardsProgress;
use crate::text::{bytes, figure, grouped, rate_columns, table, window_text};
use crate::{Cli, Failure};

/// Flags for training in shards.
#[derive(clap::Args)]
#[command(next_help_heading = "In shards")]
pub(crate) struct ShardFlags {
    /// Number of shards to split the logs into; each is trained in its own process, and their states are averaged. Or
    /// the plan of omomi plan, which names the logs, the shards, the state to continue from and the learning rate
    #[arg(long, value_name = "N|PLAN")]
    shards: Option<ShardsFrom>,
    /// How rows are assigned to shards: whole files, a hash of a column, equal spans of the time column, or at random
    #[arg(long, value_name = "file|column:NAME|time|random", default_value = "file")]
    split: Split,
    /// Largest number of parallel processes [default: one per core]
    #[arg(long, value_name = "P", requires = "shards", value_parser = clap::value_parser!(u32).range(1..))]
    processes: Option<u32>,
    /// Number of times that the process of a shard is restarted if it dies
    #[arg(long, value_name = "COUNT", requires = "shards", default_value_t = 2)]
    retries: u32,
    /// Folder for the states of the shards and for progress.jsonl. If the same command runs again, it trains only the
    /// shards that are missing [default: the path of the state, with the extension .shards]
    #[arg(long, value_name = "DIR", requires = "shards")]
    work_dir: Option<PathBuf>,
    /// Number of rounds: each round learns its part of the rows, and its average is the start of the next round. Two
    /// lose about half as much against one run as one, and decode the logs twice [default: 2; 1 with a --rule that
    /// averages finished weights]
    #[arg(long, value_name = "R", requires = "shards", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// How to average a feature: see omomi average --rule
    #[arg(long, value_name = "RULE", requires = "shards", default_value_t = Rule::Curvature)]
    rule: Rule,
    /// Also accept shards with less than half or more than twice the median number of rows
    #[arg(long, requires = "shards")]
    allow_uneven: bool,
    /// Learning rate of the shards [default: that of --start, or --alpha times the square root of the number of shards,
    /// up to 0.3; times the fourth root with several passes]
    #[arg(long, value_name = "ALPHA", requires = "shards")]
    shard_alpha: Option<f64>,
    /// Train in shards even if the logs have fewer than some 2 million rows, which one process learns in seconds, and
    /// better
    #[arg(long, requires = "shards")]
    always_shard: bool,
    /// Logs to recalibrate the merged state on. If they are among --logs, the rows of --held-out-rows are used.
    /// Evaluate on other rows
    #[arg(long, value_name = "PATTERN", requires = "shards", num_args = 1..)]
    recalibrate_on: Vec<String>,
    /// Train only shard I of N, as a process of --shards N does, for example on another machine; set --alpha to the
    /// rate of the shards. With a plan, only its shard I, in one round
    #[arg(long, value_name = "I/N|I")]
    shard: Option<OneShard>,
    /// Learn only the rows of round I of R
    #[arg(long, value_name = "I/R")]
    round: Option<OneOf>,
    /// Report progress to the parent process
    #[arg(long, hide = true)]
    pub(crate) for_parent: bool,
}

/// Where the shards come from.
#[derive(Debug, Clone)]
enum ShardsFrom {
    /// The logs are split into so many.
    Count(u32),
    /// A plan names them.
    Plan(String),
}

impl FromStr for ShardsFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<i64>() {
            Ok(count) => match u32::try_from(count) {
                Ok(count) if count >= 2 => Ok(Self::Count(count)),
                _ => Err("expected a number from 2, or the path of a plan".to_owned()),
            },
            Err(_) if text.is_empty() => Err("expected a number from 2, or the path of a plan".to_owned()),
            Err(_) => Ok(Self::Plan(text.to_owned())),
        }
    }
}

/// One shard: of all shards of the logs, or of those of a plan.
#[derive(Debug, Clone, Copy)]
enum OneShard {
    Of(OneOf),
    OfPlan(u32),
}

impl FromStr for OneShard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) => Ok(Self::OfPlan(number)),
            Err(_) => text.parse().map(Self::Of),
        }
    }
}

impl ShardFlags {
    /// The number of shards, if all of them are trained here.
    pub(crate) fn count(&self, plan: Option<&Plan>) -> Option<u32> {
        match &self.shards {
            Some(ShardsFrom::Count(count)) => Some(*count),
            Some(ShardsFrom::Plan(_)) if self.shard.is_some() => None,
            Some(ShardsFrom::Plan(_)) => plan.and_then(|plan| u32::try_from(plan.shards.len()).ok()),
            None => None,
        }
    }

    /// Reads the plan that names the shards, if there is one.
    pub(crate) fn plan(&self) -> Result<Option<Plan>, Failure> {
        let misuse = |problem: &str| Cli::command().error(ErrorKind::ArgumentConflict, problem).exit();
        match (&self.shards, self.shard) {
            (Some(_), Some(OneShard::Of(_))) => misuse("--shard I/N and --shards cannot be used together"),
            (None | Some(ShardsFrom::Count(_)), Some(OneShard::OfPlan(_))) => {
                misuse("--shard I needs --shards PLAN; without a plan, it is --shard I/N")
            }
            (Some(_), _) if self.round.is_some() => misuse("--round and --shards cannot be used together"),
            (Some(ShardsFrom::Plan(path)), _) => {
                let plan = Plan::read(path)?;
                if !plan.held_back.is_empty() {
                    return Err(PlanError::HeldBack { path: plan.path, reasons: plan.held_back }.into());
                }
                Ok(Some(plan))
            }
            _ => Ok(None),
        }
    }

    /// Whether this process trains a part of a larger training.
    pub(crate) const fn is_part(&self) -> bool {
        self.shard.is_some() || self.round.is_some() || self.for_parent
    }

    /// Whether one process should learn the logs instead. A start state or a rate for shards says that shards are
    /// meant.
    pub(crate) fn is_alone(&self, contract: &Contract, train: &TrainOptions) -> Result<bool, Failure> {
        if self.always_shard
            || self.has_alpha()
            || train.start.is_some()
            || matches!(self.shards, Some(ShardsFrom::Plan(_)))
        {
            return Ok(false);
        }
        let reader = LogReader::open(contract, &train.logs, train.read.clone())?;
        reader.check_repeatable()?;
        Ok(guessed_row_count(reader.files()) <= ALONE_ROW_COUNT)
    }

    /// The logs to recalibrate on.
    pub(crate) fn recalibrate_on(&self) -> &[String] {
        &self.recalibrate_on
    }

    /// Whether the learning rate of the shards is given.
    pub(crate) const fn has_alpha(&self) -> bool {
        self.shard_alpha.is_some()
    }

    /// Narrows `options` to one shard and one round, if they are given.
    pub(crate) fn narrow(
        &self,
        contract: &Contract,
        options: &mut TrainOptions,
        plan: Option<&Plan>,
    ) -> Result<(), Failure> {
        let shard = match (self.shard, plan) {
            (Some(OneShard::OfPlan(number)), Some(plan)) => Some((plan.one_of(number)?, plan.split())),
            (Some(OneShard::Of(shard)), _) => Some((shard, self.split.clone())),
            _ => None,
        };
        if let Some((shard, split)) = shard {
            split.completed(contract, options, &mut |_| ())?.narrow(shard, contract, options)?;
        }
        if let Some(round) = self.round {
            narrow_to_round(round, options);
        }
        Ok(())
    }
}

pub(crate) fn run(
    contract: &Contract,
    contract_file: &Path,
    train: TrainOptions,
    shard_count: u32,
    flags: &ShardFlags,
    plan: Option<&Plan>,
    quiet: bool,
) -> Result<(), Failure> {
    let mut train = train;
    let planned = plan.and_then(|plan| plan.rate).map(|rate| rate.alpha);
    train.settings.alpha = match (flags.shard_alpha.or(planned), &train.start) {
        (Some(alpha), _) => alpha,
        // Evidence is counted by the learning rate, so shards go on with that of the start state.
        (None, Some(start)) => StateReader::open(&start.state)?.metadata().settings.alpha,
        (None, None) => shard_alpha(train.settings.alpha, shard_count, train.passes),
    };
    let mut options = TrainShardsOptions::new(train, contract_file, shard_count, std::env::current_exe()?);
    options.split = plan.map_or_else(|| flags.split.clone(), Plan::split);
    options.retry_count = flags.retries;
    let rounds = if flags.rule == Rule::Curvature && plan.is_none() { 2 } else { 1 };
    options.round_count = flags.rounds.unwrap_or(rounds);
    options.rule = flags.rule;
    options.allow_uneven = flags.allow_uneven;
    options.recalibrate_on = flags.recalibrate_on.clone();
    if let Some(count) = flags.processes {
        options.process_count = count as usize;
    }
    if let Some(work_dir) = &flags.work_dir {
        options.work_dir = work_dir.clone();
    } else if let Place::Bucket(address) = Place::of(&options.train.state)? {
        let problem =
            "expected --work-dir with a folder of this machine, because the work folder of shards stays local";
        return Err(format!("{address}: {problem}").into());
    }
    let mut progress = ShardsProgress::new(quiet);
    let account = train_shards(contract, &options, &mut |event| progress.watch(event))?;
    let of_recalibration = account.recalibration.iter().filter_map(|report| report.warning.as_ref());
    for warning in account.warnings.iter().chain(of_recalibration) {
        note!("warning: {warning}");
    }
    print(&account, &options);
    Ok(())
}

fn print(account: &ShardsAccount, options: &TrainShardsOptions) {
    say!("{}\n", shard_table(account));
    say!("{}\n", field_table(account));
    if let Some(held_out) = &account.held_out {
        say!("{}\n", metrics_table(held_out));
    }
    let line = |name: &str, value: String| say!(" {name:<16}{value}");
    let average = &account.average;
    line("features", format!("{} ({} not 0)", grouped(average.feature_count()), grouped(average.nonzero_count())));
    if let Some(window_us) = average.metadata.window_us {
        line("window", window_text(window_us));
    }
    line("alpha", format!("{} (of the shards)", average.metadata.settings.alpha));
    if let Some(report) = &account.recalibration {
        let ratios =
            format!("{} to {}", figure(report.before.calibration_ratio), figure(report.after.calibration_ratio));
        let (scale, shift) = (report.scaling.scale, report.scaling.shift);
        line(
            "recalibrated",
            format!(
                "{}: scale {scale:.4}, shift {shift:+.4}; calibration ratio {ratios} on the same rows",
                report.correction.name()
            ),
        );
    }
    line("time", format!("{:.1} s", account.seconds));
    let state = &options.train.state;
    line("state", format!("{} ({} bytes)", state.display(), grouped(average.state_len_bytes)));
    line("provenance", provenance_path(state).display().to_string());
    line("shards", options.work_dir.display().to_string());
}

fn field_table(account: &ShardsAccount) -> String {
    let (names, rates) = rate_columns(&account.missing_by_log, &account.invalid_numbers, &account.unseen_by_log);
    let fields = account.average.metadata.contract.fields().iter().zip(rates);
    let rows = fields.map(|(field, rates)| [vec![field.name.clone()], rates].concat());
    table(&[&["field"], names.as_slice()].concat(), rows.collect())
}

fn shard_table(account: &ShardsAccount) -> String {
    let row = |shard: &omomi_train::learn::shards::ShardAccount| {
        let ShardEvent::Finished { rows, log_loss, features, rows_per_second, seconds, peak_memory_bytes, .. } =
            &shard.finished
        else {
            return Vec::new();
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a figure for people, never negative"
        )]
        let rows_per_second = grouped(*rows_per_second as u64);
        vec![
            shard.round.to_string(),
            shard.shard.to_string(),
            grouped(*rows),
            log_loss.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.6}")),
            grouped(*features),
            rows_per_second,
            format!("{seconds:.1}"),
            peak_memory_bytes.map_or_else(|| "-".to_owned(), bytes),
            if shard.reused { "kept" } else { "" }.to_owned(),
        ]
    };
    let header = ["round", "shard", "rows", "log loss", "features", "rows/s", "seconds", "memory", ""];
    table(&header, account.shards.iter().map(row).collect())
}

fn metrics_table(metrics: &Metrics) -> String {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    table(
        &["", "held out"],
        vec![
            row("rows", grouped(metrics.impressions)),
            row("clicks", grouped(metrics.clicks)),
            row("log loss", format!("{:.6}", metrics.log_loss)),
            row("normalized entropy", figure(metrics.normalized_entropy)),
            row("AUC", figure(metrics.auc)),
            row("calibration ratio", figure(metrics.calibration_ratio)),
        ],
    )
}
