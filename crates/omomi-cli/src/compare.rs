//! `omomi compare`: shows the predictions of an old logic next to those of a weight file.

use std::fmt;
use std::path::PathBuf;

use omomi_train::evaluate::{
    CompareOptions, DifferentRow, LabeledFigures, OldScale, PredictionComparison, compare_predictions,
};
use omomi_train::log::{KeptRows, ReadOptions};
use serde_json::json;

use crate::Failure;
use crate::csv_flags::CsvFlags;
use crate::hold_out_flags::{HoldOutFlags, TimeFlags};
use crate::importance_flags::ImportanceFlags;
use crate::output::{note, one_line, say};
use crate::progress::ReadProgress;
use crate::refusal::print_json;
use crate::text::{figure, grouped, table};

/// Show old predictions, a column of a log, next to those of a weight file, largest differences first
///
/// Every row with an old prediction is scored by the library that serves. The summary has the mean, the median, the
/// 99th percentile and the largest difference of the logits, and the log loss of both if the logs have the label. Then
/// follow the rows that differ most, with what the model did not know of them: unseen categories and missing values are
/// the usual reasons.
///
/// Exit code 0: compared. 3: some difference is above --max-difference. 1: not compared. 2: misuse of the command line.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Weight file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Logs with the old predictions, as paths or quoted patterns
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    logs: Vec<String>,
    /// Column with the old predictions: probabilities, unless --logits
    #[arg(long, value_name = "COLUMN")]
    column: String,
    /// The old predictions are logits
    #[arg(long)]
    logits: bool,
    /// The logs have no label. Without this flag, only CSV and Parquet without its column count as such
    #[arg(long)]
    unlabeled: bool,
    /// Column of the logs to show with the rows that differ most, such as a request id. May be given several times
    #[arg(long, value_name = "COLUMN")]
    show: Vec<String>,
    /// Number of rows to show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    rows: u16,
    /// Exit with the code 3 if a difference of logits is above this
    #[arg(long, value_name = "X")]
    max_difference: Option<f64>,
    #[command(flatten)]
    csv: CsvFlags,
    #[command(flatten)]
    importance: ImportanceFlags,
    #[command(flatten)]
    hold_out: HoldOutFlags,
    #[command(flatten)]
    times: TimeFlags,
    /// Number of unusable log rows to skip before the command fails
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_rows: u64,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

/// Some difference is above the allowed one: the failure with an exit code of its own.
#[derive(Debug)]
pub(crate) struct Different {
    expected: f64,
    found: f64,
}

impl fmt::Display for Different {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, found } = self;
        write!(formatter, "expected logits that differ by at most {expected:?}, found a difference of {found:?}")
    }
}

impl std::error::Error for Different {}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(found) = arguments.max_difference.filter(|max| max.is_nan() || *max < 0.0) {
        return Err(format!("expected a --max-difference of at least 0, found {found:?}").into());
    }
    let mut options = CompareOptions::new(&arguments.file, &arguments.logs, &arguments.column);
    options.scale = if arguments.logits { OldScale::Logit } else { OldScale::Probability };
    options.unlabeled = arguments.unlabeled;
    options.read = arguments.hold_out.applied_to(
        arguments.times.applied_to(arguments.csv.applied_to(arguments.importance.applied_to(
            ReadOptions::default().with(|it| {
                it.max_bad_rows = arguments.max_bad_rows;
                it.extra_columns = arguments.show.clone();
            }),
        ))),
        KeptRows::HeldOut,
    );
    options.max_shown = arguments.rows.into();
    let mut progress = None;
    let comparison = compare_predictions(&options, &mut |reader| {
        progress.get_or_insert_with(|| ReadProgress::new("compare", reader, arguments.quiet)).update(reader);
    })?;
    drop(progress);
    if arguments.json {
        print_json(&json!(comparison));
    } else {
        print_comparison(&comparison, arguments);
    }
    match arguments.max_difference {
        Some(expected) if comparison.logit_difference.max > expected => {
            Err(Different { expected, found: comparison.logit_difference.max }.into())
        }
        _ => Ok(()),
    }
}

fn print_comparison(comparison: &PredictionComparison, arguments: &Arguments) {
    let old = one_line(&arguments.column);
    let differences = comparison.logit_difference;
    let number = |number: f64| format!("{number:.6}");
    let rows = vec![
        vec!["rows".to_owned(), grouped(comparison.rows)],
        vec!["mean difference of the logits".to_owned(), number(differences.mean)],
        vec!["  median".to_owned(), number(differences.p50)],
        vec!["  99th percentile".to_owned(), number(differences.p99)],
        vec!["  largest".to_owned(), number(differences.max)],
        vec!["mean of ours minus old".to_owned(), format!("{:+.6}", comparison.mean_shift)],
    ];
    say!(
        "{} next to generation {} of the logic `{}`\n\n{}\n",
        old,
        comparison.generation,
        one_line(&comparison.logic_id),
        table(&[], rows)
    );
    let mut figures = vec![vec![
        "mean probability".to_owned(),
        number(comparison.old_mean_probability),
        number(comparison.our_mean_probability),
    ]];
    if let (Some(old), Some(ours)) = (&comparison.old, &comparison.ours) {
        let mut row = |name: &str, figure_of: &dyn Fn(&LabeledFigures) -> String| {
            figures.push(vec![name.to_owned(), figure_of(old), figure_of(ours)]);
        };
        row("log loss", &|figures| number(figures.log_loss));
        row("AUC", &|figures| figure(figures.auc));
        row("calibration ratio", &|figures| figure(figures.calibration_ratio));
    }
    say!("{}\n", table(&["", "old", "ours"], figures));
    if !comparison.largest.is_empty() {
        say!("{}", rows_table(&comparison.largest, &arguments.show));
        say!("\nomomi explain FILE --logs ... --row N shows the weights of a row");
    }
    if comparison.old.is_none() {
        note!("the logs have no label, so neither is measured on clicks");
    }
    if comparison.without_old > 0 {
        note!("not compared: {} rows without an old prediction", grouped(comparison.without_old));
    }
    if comparison.extreme_old > 0 {
        note!("{} old probabilities are 0 or 1, and count as 1e-9 from there", grouped(comparison.extreme_old));
    }
    if comparison.bad_rows > 0 {
        note!("skipped: {} unusable rows", grouped(comparison.bad_rows));
    }
}

fn rows_table(rows: &[DifferentRow], columns: &[String]) -> String {
    let mut header = vec!["row", "old", "ours", "logit difference", "unseen", "missing"];
    header.extend(columns.iter().map(String::as_str));
    let cells = rows.iter().map(|row| {
        let mut cells = vec![
            grouped(row.row),
            format!("{:.6}", row.old_probability),
            format!("{:.6}", row.our_probability),
            format!("{:+.6}", row.logit_difference),
            grouped(row.unseen_count.into()),
            grouped(row.missing_count.into()),
        ];
        cells.extend(columns.iter().map(|name| one_line(row.columns[name].as_str().unwrap_or("-"))));
        cells
    });
    table(&header, cells.collect())
}
