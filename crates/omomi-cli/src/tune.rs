//! `omomi tune`: searches for the best training settings.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::csv_flags::CsvFlags;
use crate::hold_out_flags::HoldOutFlags;
use crate::importance_flags::ImportanceFlags;
use crate::output::{note, say};
use crate::progress::ReadProgress;
use omomi::contract::TimeUnit;
use omomi_train::bucket::NewFile;
use omomi_train::learn::shards::Split;
use omomi_train::learn::tune::{
    Budget, Event, HeldOutRows, SEARCH_PASSES, Searched, Sharding, Trial, TuneOptions, TuneReport, tune,
};
use omomi_train::learn::{Sampling, Settings, TrainOptions};
use omomi_train::log::{KeptRows, ReadOptions};
use serde_json::{Value, json};

use crate::Failure;
use crate::contract::read_contract;
use crate::places::FileFailure;
use crate::text::{figure, grouped, table};

/// Search for the alpha, l1 and number of passes with the lowest log loss, within a budget
///
/// Tries a coarse grid around the initial settings, then ever smaller steps around the best. Each trial trains on the
/// first rows of the logs, except those that are held out to judge the settings on. Prints all trials, best first, with
/// the log loss and the calibration of the held-out rows, and the command to train with.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Path of the contract.toml
    #[arg(long, value_name = "FILE")]
    contract: PathBuf,
    /// Logs to learn from, as paths or quoted patterns
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    logs: Vec<String>,
    /// Logs to judge the settings on; afterwards they are no longer held out: evaluate on others [default: the last
    /// fifth of the rows of --logs, or those of --held-out-rows]
    #[arg(long, value_name = "PATTERN", num_args = 1.., conflicts_with = "held_out_rows")]
    held_out: Vec<String>,
    /// Largest number of rows to learn, and to hold out: the first rows of each; all are kept in memory
    #[arg(long, value_name = "COUNT", default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Largest number of trials
    #[arg(long, value_name = "TRIALS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    budget: u32,
    /// Time limit in minutes, instead of --budget
    #[arg(long, value_name = "MINUTES", conflicts_with = "budget")]
    minutes: Option<f64>,
    /// Settings to search: alpha, l1, passes, l2, beta
    #[arg(long, value_name = "SETTING", value_delimiter = ',', default_value = "alpha,l1,passes")]
    search: Vec<Searched>,
    /// Initial learning rate; with --shards, the rate of the shards
    #[arg(long, default_value_t = Settings::default().alpha)]
    alpha: f64,
    /// Initial damping of the first steps
    #[arg(long, default_value_t = Settings::default().beta)]
    beta: f64,
    /// Initial L1 penalty
    #[arg(long, default_value_t = Settings::default().l1)]
    l1: f64,
    /// Initial L2 penalty
    #[arg(long, default_value_t = Settings::default().l2)]
    l2: f64,
    /// Share of the rows without a click to learn from: see omomi train --negative-rate
    #[arg(long, value_name = "RATE", default_value_t = Sampling::default().negative_rate)]
    negative_rate: f64,
    /// Seed of --negative-rate
    #[arg(long, value_name = "NUMBER", default_value_t = Sampling::default().seed)]
    sample_seed: u64,
    /// Largest number of passes over the rows; their number, if --search does not name passes [default: 8, or 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    passes: Option<u32>,
    /// Number of shards: judges their average, as `omomi train --shards` makes it in one round. The shards of the
    /// sample have fewer rows than those of the logs, so on large logs, rather tune without it: `train --shards`
    /// derives the rate of the shards from --alpha
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    shards: Option<u32>,
    /// How rows are assigned to shards: see omomi train --split
    #[arg(long, value_name = "file|column:NAME|time|random", default_value = "random")]
    split: Split,
    /// Number of parallel trials [default: one per core]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// Column with the time of the impression, for --split time
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// Unit of times that are integers [default: that of the contract, or a guess, which is reported]
    #[arg(long, value_name = "UNIT", value_parser = crate::text::parse_time_unit)]
    time_unit: Option<TimeUnit>,
    /// Take any time, even before 2000 or in the future
    #[arg(long)]
    any_time: bool,
    /// Number of unusable rows to skip in each set of logs before the command fails
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_bad_rows: u64,
    #[command(flatten)]
    csv: CsvFlags,
    #[command(flatten)]
    importance: ImportanceFlags,
    #[command(flatten)]
    hold_out: HoldOutFlags,
    /// File to write all trials to, as JSON; an existing file is replaced
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let contract = read_contract(&arguments.contract)?;
    let options = options(arguments)?;
    let (quiet, mut reading) = (arguments.quiet, None::<ReadProgress>);
    let report = tune(&contract, &options, &mut |event| match event {
        Event::Read(reader) => {
            reading.get_or_insert_with(|| ReadProgress::new("read the sample", reader, quiet)).update(reader)
        }
        Event::Tried { trial, count, min_loss } if !quiet => {
            reading = None;
            note!("trial {count}: {}, log loss {:.6}, lowest {min_loss:.6}", words(trial), trial.metrics.log_loss);
        }
        _ => {}
    })?;
    if let Some(HeldOutRows::Every(step)) = report.held_out_rows {
        note!(
            "warning: the last fifth of the rows has another click rate than the others, so every {step}th row is held \
             out instead: training learns rows in their order, so if the logs are sorted by the label, sort them by time"
        );
    }
    let command = command(arguments, &report.trials[0]);
    if let Some(path) = &arguments.json {
        let text = format!("{:#}\n", to_json(arguments, &report, &command));
        let written = NewFile::create(path, true).and_then(|new_file| {
            new_file.file().write_all(text.as_bytes())?;
            new_file.commit()
        });
        written.map_err(FileFailure::writing(path))?;
    }
    print(arguments, &report, &command);
    Ok(())
}

fn options(arguments: &Arguments) -> Result<TuneOptions, Failure> {
    let budget = match arguments.minutes {
        None => Budget::Trials(arguments.budget as usize),
        Some(minutes) => Budget::Time(
            Duration::try_from_secs_f64(minutes * 60.0)
                .map_err(|_| format!("expected a number of minutes, found {minutes}"))?,
        ),
    };
    let is_passes_searched = arguments.search.contains(&Searched::Passes);
    let mut train = TrainOptions::new(&arguments.logs, PathBuf::new());
    train.held_out = arguments.held_out.clone();
    train.read = arguments.hold_out.applied_to(
        arguments.csv.applied_to(arguments.importance.applied_to(ReadOptions::default().with(|it| {
            it.max_bad_rows = arguments.max_bad_rows;
            it.time_column = arguments.time_column.clone();
            it.time_unit = arguments.time_unit;
            it.any_time = arguments.any_time;
        }))),
        KeptRows::Others,
    );
    train.settings = Settings { alpha: arguments.alpha, beta: arguments.beta, l1: arguments.l1, l2: arguments.l2 };
    train.sampling = Sampling { negative_rate: arguments.negative_rate, seed: arguments.sample_seed };
    train.passes = arguments.passes.unwrap_or(if is_passes_searched { SEARCH_PASSES } else { 1 });
    let mut options = TuneOptions::new(train);
    options.searched = arguments.search.clone();
    options.sharding = arguments.shards.map(|shard_count| Sharding { shard_count, split: arguments.split.clone() });
    options.row_count = arguments.rows;
    options.budget = budget;
    if let Some(count) = arguments.threads {
        options.thread_count = count as usize;
    }
    Ok(options)
}

/// The rule by which rows of the logs are held out; `None` if other logs are.
fn held_out_rule(arguments: &Arguments, report: &TuneReport) -> Option<String> {
    arguments.hold_out.rule().or_else(|| report.held_out_rows.map(|rule| rule.to_string()))
}

fn words(trial: &Trial) -> String {
    let Settings { alpha, beta, l1, l2 } = trial.settings;
    format!("alpha {alpha}, beta {beta}, l1 {l1}, l2 {l2}, passes {}", trial.passes)
}

fn print(arguments: &Arguments, report: &TuneReport, command: &str) {
    let row = |trial: &Trial| {
        let (Settings { alpha, beta, l1, l2 }, metrics) = (trial.settings, &trial.metrics);
        let mut row: Vec<String> = [alpha, beta, l1, l2].map(|number| number.to_string()).into();
        row.extend([
            trial.passes.to_string(),
            format!("{:.6}", metrics.log_loss),
            figure(metrics.normalized_entropy),
            figure(metrics.auc),
            figure(metrics.calibration_ratio),
            grouped(trial.nonzero_count),
            format!("{:.1}", trial.seconds),
        ]);
        row
    };
    let header = ["alpha", "beta", "l1", "l2", "passes", "log loss", "NE", "AUC", "calibration", "weights", "seconds"];
    say!("{}\n", table(&header, report.trials.iter().map(row).collect()));
    let judged = match report.held_out_row_count {
        0 => "each row predicted before it was learned".to_owned(),
        count => match held_out_rule(arguments, report) {
            Some(rule) => format!("judged on {} of the rows ({rule})", grouped(count)),
            None => format!("judged on {} held-out rows", grouped(count)),
        },
    };
    say!(" {} trials on {} rows, {judged}, in {:.1} s", report.trials.len(), grouped(report.row_count), report.seconds);
    if !report.converged {
        say!(" the budget ended the search; a larger budget may find better settings");
    }
    say!("\n Train with\n   {command}");
}

/// Returns the command that trains with the settings of the best trial.
fn command(arguments: &Arguments, best: &Trial) -> String {
    let Settings { alpha, beta, l1, l2 } = best.settings;
    let mut command = format!("omomi train --contract {} --logs", quoted(&arguments.contract.display().to_string()));
    for pattern in &arguments.logs {
        command.push_str(&format!(" {}", quoted(pattern)));
    }
    let alpha_flag = if let Some(count) = arguments.shards {
        command.push_str(&format!(" --shards {count} --split {} --rounds 1", quoted(&arguments.split.to_string())));
        "--shard-alpha"
    } else {
        "--alpha"
    };
    command.push_str(&format!(" {alpha_flag} {alpha} --beta {beta} --l1 {l1} --l2 {l2}"));
    if best.passes > 1 {
        command.push_str(&format!(" --passes {}", best.passes));
    }
    if let Some(column) = &arguments.time_column {
        command.push_str(&format!(" --time-column {}", quoted(column)));
    }
    if let Some(unit) = arguments.time_unit {
        command.push_str(&format!(" --time-unit {}", unit.word()));
    }
    if arguments.any_time {
        command.push_str(" --any-time");
    }
    if arguments.max_bad_rows > 0 {
        command.push_str(&format!(" --max-bad-rows {}", arguments.max_bad_rows));
    }
    if arguments.negative_rate < 1.0 {
        command.push_str(&format!(" --negative-rate {}", arguments.negative_rate));
        if arguments.sample_seed != Sampling::default().seed {
            command.push_str(&format!(" --sample-seed {}", arguments.sample_seed));
        }
    }
    command.push_str(&arguments.importance.words(quoted));
    command.push_str(&arguments.hold_out.words(quoted));
    command.push_str(&arguments.csv.words(quoted));
    command + " --state state.parquet"
}

/// Quotes a word for the shell if it needs quotes.
fn quoted(word: &str) -> String {
    let is_plain = |char: char| char.is_alphanumeric() || "-_./:,=@%+".contains(char);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn to_json(arguments: &Arguments, report: &TuneReport, command: &str) -> Value {
    let trial = |trial: &Trial| {
        let (Settings { alpha, beta, l1, l2 }, metrics) = (trial.settings, &trial.metrics);
        json!({
            "alpha": alpha,
            "beta": beta,
            "l1": l1,
            "l2": l2,
            "passes": trial.passes,
            "log_loss": metrics.log_loss,
            "normalized_entropy": metrics.normalized_entropy,
            "auc": metrics.auc,
            "calibration_ratio": metrics.calibration_ratio,
            "nonzero": trial.nonzero_count,
            "seconds": trial.seconds,
        })
    };
    json!({
        "tool_version": env!("CARGO_PKG_VERSION"),
        "logs": arguments.logs,
        "held_out": arguments.held_out,
        "rows": report.row_count,
        "held_out_rows": report.held_out_row_count,
        "held_out_rule": held_out_rule(arguments, report),
        "loss": if report.held_out_row_count > 0 { "held_out" } else { "progressive" },
        "negative_rate": arguments.negative_rate,
        "shards": arguments.shards,
        "split": arguments.shards.map(|_| arguments.split.to_string()),
        "searched": arguments.search.iter().map(|searched| searched.name()).collect::<Vec<_>>(),
        "converged": report.converged,
        "command": command,
        "trials": report.trials.iter().map(trial).collect::<Vec<_>>(),
        "seconds": report.seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell_if_they_need_it() {
        let cases = [
            ("logs/a.parquet", "logs/a.parquet"),
            ("logs/*.parquet", "'logs/*.parquet'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ];
        for (word, expected) in cases {
            assert_eq!(quoted(word), expected);
        }
    }
}
