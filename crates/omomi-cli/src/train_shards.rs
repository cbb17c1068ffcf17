//! `omomi train --shards`: many processes learn the logs at once.

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use omomi_train::learn::average::Rule;
use omomi::contract::Contract;
use omomi_train::judge::evaluate::Metrics;
use omomi_train::learn::{TrainOptions, provenance_path};
use omomi_train::learn::shards::{
    OneOf, ShardEvent, ShardsAccount, Split, TrainShardsError, TrainShardsOptions, narrow_to_round, shard_alpha,
    train_shards,
};

use crate::Failure;
use crate::shards_progress::ShardsProgress;
use crate::text::{bytes, figure, grouped, say, table};

/// Flags of training in shards.
#[derive(clap::Args)]
#[command(next_help_heading = "In shards")]
pub(crate) struct ShardFlags {
    /// Cut the logs into so many shards, train each in a process of its own, and average their states.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) shards: Option<u32>,
    /// By what rows are dealt out to shards: whole files, a hash of a column, equal spans of the time column, or at random.
    #[arg(long, value_name = "file|column:NAME|time|random", default_value = "file")]
    split: Split,
    /// Most processes at once [default: one a core].
    #[arg(long, value_name = "P", requires = "shards", value_parser = clap::value_parser!(u32).range(1..))]
    processes: Option<u32>,
    /// How often the process of a shard that dies is started again.
    #[arg(long, value_name = "COUNT", requires = "shards", default_value_t = 2)]
    retries: u32,
    /// Where the states of shards are kept, so that the same command again does only what is missing, and the progress as
    /// progress.jsonl [default: the state's path with the ending .shards].
    #[arg(long, value_name = "DIR", requires = "shards")]
    work_dir: Option<PathBuf>,
    /// Average so often, and go on from the average in between; each round learns its part of the rows.
    #[arg(long, value_name = "R", requires = "shards", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How features of several shards become one.
    #[arg(long, value_name = "RULE", requires = "shards", default_value_t = Rule::Curvature)]
    rule: Rule,
    /// Average shards of which one has less than half or more than twice the median rows.
    #[arg(long, requires = "shards")]
    allow_uneven: bool,
    /// Learning rate of the shards [default: alpha times the root of their number].
    #[arg(long, value_name = "ALPHA", requires = "shards")]
    shard_alpha: Option<f64>,
    /// Logs that are not learned, to recalibrate the merged state on; evaluate on others.
    #[arg(long, value_name = "PATTERN", requires = "shards", num_args = 1..)]
    recalibrate_on: Vec<String>,
    /// Learn one shard only: what a process of --shards N does, for instance on another machine. Give it the --alpha of shards.
    #[arg(long, value_name = "I/N", conflicts_with = "shards")]
    shard: Option<OneOf>,
    /// Learn the part of the rows of one round only.
    #[arg(long, value_name = "I/R", conflicts_with = "shards")]
    round: Option<OneOf>,
    /// Report to the process that started this one.
    #[arg(long, hide = true)]
    pub(crate) for_parent: bool,
}

impl ShardFlags {
    /// Narrows what is learned to one shard and one round, where they are asked for.
    pub(crate) fn narrow(&self, contract: &Contract, options: &mut TrainOptions) -> Result<(), TrainShardsError> {
        if let Some(shard) = self.shard {
            let split = self.split.clone().completed(contract, options, &mut |_| ())?;
            split.narrow(shard, contract, options)?;
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
    quiet: bool,
) -> Result<(), Failure> {
    let mut train = train;
    train.settings.alpha = flags.shard_alpha.unwrap_or_else(|| shard_alpha(train.settings.alpha, shard_count));
    let core_count = || available_parallelism().map_or(1, usize::from);
    let options = TrainShardsOptions {
        contract_file: contract_file.to_owned(),
        shard_count,
        split: flags.split.clone(),
        process_count: flags.processes.map_or_else(core_count, |count| count as usize),
        retry_count: flags.retries,
        round_count: flags.rounds,
        rule: flags.rule,
        allow_uneven: flags.allow_uneven,
        recalibrate_on: flags.recalibrate_on.clone(),
        work_dir: flags.work_dir.clone().unwrap_or_else(|| train.state.with_extension("shards")),
        program: std::env::current_exe()?,
        train,
    };
    let mut progress = ShardsProgress::new(quiet);
    let account = train_shards(contract, &options, &mut |event| progress.watch(event))?;
    print(&account, &options);
    Ok(())
}

fn print(account: &ShardsAccount, options: &TrainShardsOptions) {
    say!("{}\n", shard_table(account));
    if let Some(held_out) = &account.held_out {
        say!("{}\n", metrics_table(held_out));
    }
    let line = |name: &str, value: String| say!(" {name:<16}{value}");
    let average = &account.average;
    line("features", format!("{} ({} not 0)", grouped(average.feature_count()), grouped(average.nonzero_count())));
    line("alpha", format!("{} (of the shards)", average.metadata.settings.alpha));
    if let Some(report) = &account.recalibration {
        let ratios =
            format!("{} to {}", figure(report.before.calibration_ratio), figure(report.after.calibration_ratio));
        let (scale, shift) = (report.scaling.scale, report.scaling.shift);
        line(
            "recalibrated",
            format!("scale {scale:.4}, shift {shift:+.4}; calibration ratio {ratios} on the same rows"),
        );
    }
    line("time", format!("{:.1} s", account.seconds));
    let state = &options.train.state;
    line("state", format!("{} ({} bytes)", state.display(), grouped(average.state_len_bytes)));
    line("provenance", provenance_path(state).display().to_string());
    line("shards", options.work_dir.display().to_string());
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
