//! `omomi evaluate`: measures on logs how good the probabilities of weight files are.

use std::path::PathBuf;
use std::sync::Arc;

use crate::csv_flags::CsvFlags;
use crate::hold_out_flags::HoldOutFlags;
use crate::importance_flags::ImportanceFlags;
use crate::output::{note, one_line, say};
use crate::progress::ReadProgress;
use crate::text::{bytes, figure, grouped, table};
use omomi::contract::TimeUnit;
use omomi_train::evaluate::{
    By, Calibration, Difference, EvaluateOptions, Evaluation, ModelEvaluation, SliceMetrics, evaluate_files,
};
use omomi_train::learn::state::feature_keys;
use omomi_train::log::{KeptRows, LogReader, ReadOptions};

use crate::Failure;

/// Number of values of a column that the table shows. The JSON has all of them.
const SHOWN_VALUES: usize = 10;

/// Score logs with weight files and measure how good the probabilities are
///
/// Scoring uses the library that serves. The output has log loss, normalized entropy, AUCs, calibration with 95 %
/// intervals, and unseen categories. With --baseline it also has the shift of the predictions, and the difference with
/// its interval (paired bootstrap). Files may have different contracts: all are scored on the same rows.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("rows").required(true).arg("logs")))]
pub(crate) struct Arguments {
    /// Weight files to evaluate
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Weight file to compare them with, such as the one that is served now
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    #[command(flatten)]
    logs: LogArguments,
    /// Training state of the files, before pruning: tells the unseen categories that training has seen (their weight is
    /// 0 or was pruned) from new ones
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Write all figures as JSON to this file; `-` writes them to standard output instead of the tables
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Replace the file of --json if it exists
    #[arg(long)]
    force: bool,
}

/// Which rows are scored, and how they are sliced.
#[derive(Clone, clap::Args)]
pub(crate) struct LogArguments {
    /// Logs that the model was not trained on, as paths or quoted patterns
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    logs: Vec<String>,
    /// Column to slice by: each of its values gets its own figures. May be given several times
    #[arg(long, value_name = "COLUMN")]
    by: Vec<String>,
    /// Slice by every single-valued id or text field of the contract
    #[arg(long, conflicts_with = "by")]
    by_fields: bool,
    /// Column with the user: adds the AUC within users, and the bootstrap draws whole users instead of rows
    #[arg(long, value_name = "COLUMN")]
    user: Option<String>,
    /// Column with the time of the impression: adds figures by hour
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// Unit of times that are integers [default: that of the contract, or a guess, which is reported]
    #[arg(long, value_name = "UNIT", value_parser = crate::text::parse_time_unit)]
    time_unit: Option<TimeUnit>,
    /// Take any time, even before 2000 or in the future
    #[arg(long)]
    any_time: bool,
    /// Seed of the bootstrap: the same seed gives the same intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    csv: CsvFlags,
    #[command(flatten)]
    importance: ImportanceFlags,
    #[command(flatten)]
    hold_out: HoldOutFlags,
    /// Number of unusable log rows to skip before the command fails
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_rows: u64,
    /// Show no progress
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl LogArguments {
    /// Returns these arguments, sliced by every field if no column was named.
    pub(crate) fn or_by_fields(&self) -> Self {
        Self { by_fields: self.by_fields || self.by.is_empty(), ..self.clone() }
    }

    /// Converts the arguments into options of the library.
    pub(crate) fn options(&self, files: &[PathBuf], baseline: Option<&PathBuf>) -> EvaluateOptions {
        let by = if self.by_fields { By::Fields } else { By::Columns(self.by.clone()) };
        EvaluateOptions::new(files, &self.logs).with(|it| {
            it.baseline = baseline.cloned();
            it.read = self.hold_out.applied_to(
                self.csv.applied_to(self.importance.applied_to(ReadOptions::default().with(|it| {
                    it.max_bad_rows = self.max_bad_rows;
                    it.time_column = self.time_column.clone();
                    it.time_unit = self.time_unit;
                    it.any_time = self.any_time;
                }))),
                KeptRows::HeldOut,
            );
            it.by = by;
            it.user = self.user.clone();
            it.seed = self.seed;
        })
    }
}

/// Shows the progress of an evaluation.
pub(crate) struct EvaluateProgress {
    quiet: bool,
    shown: Option<ReadProgress>,
    /// What the reader noticed so far.
    warnings: Vec<String>,
}

impl EvaluateProgress {
    pub(crate) const fn new(quiet: bool) -> Self {
        Self { quiet, shown: None, warnings: Vec::new() }
    }

    pub(crate) fn watch(&mut self, reader: &LogReader) {
        self.shown.get_or_insert_with(|| ReadProgress::new("evaluate", reader, self.quiet)).update(reader);
        self.warnings = reader.warnings().iter().map(ToString::to_string).collect();
    }

    /// Ends the progress after the last row. Prints what the reader noticed, even if `quiet` was set.
    pub(crate) fn finish(self) {
        drop(self.shown);
        for warning in self.warnings {
            note!("warning: {warning}");
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut options = arguments.logs.options(&arguments.files, arguments.baseline.as_ref());
    options.trained_keys = arguments.state.as_ref().map(feature_keys).transpose()?.map(Arc::new);
    let mut progress = EvaluateProgress::new(arguments.logs.quiet);
    let evaluation = evaluate_files(&options, &mut |reader| progress.watch(reader))?;
    progress.finish();
    if evaluation.rows.bad_rows > 0 {
        note!("skipped: {} rows", grouped(evaluation.rows.bad_rows));
    }
    match &arguments.json {
        Some(path) if path.as_os_str() == "-" => {
            say!("{}", evaluation.to_json().trim_end());
            return Ok(());
        }
        Some(path) => evaluation.write(path, arguments.force)?,
        None => {}
    }
    print_evaluation(&evaluation);
    if let Some(path) = &arguments.json {
        say!("All figures: {}", path.display());
    }
    Ok(())
}

/// Returns all models, the baseline last.
fn models(evaluation: &Evaluation) -> Vec<&ModelEvaluation> {
    evaluation.models.iter().chain(&evaluation.baseline).collect()
}

/// Returns the column header of each model: the file name, or the path where file names repeat.
fn names(evaluation: &Evaluation) -> Vec<String> {
    let name =
        |path: &str| PathBuf::from(path).file_name().map_or(path.to_owned(), |name| name.to_string_lossy().into());
    let names: Vec<String> = models(evaluation).iter().map(|model| name(&model.file.path)).collect();
    let is_repeated = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let named = models(evaluation)
        .iter()
        .zip(&names)
        .map(|(model, name)| if is_repeated(name) { model.file.path.clone() } else { name.clone() })
        .collect::<Vec<_>>();
    let last = named.len() - usize::from(evaluation.baseline.is_some());
    named
        .into_iter()
        .enumerate()
        .map(|(index, name)| if index == last { format!("{name} (baseline)") } else { name })
        .collect()
}

pub(crate) fn print_evaluation(evaluation: &Evaluation) {
    let rows = &evaluation.rows;
    say!(
        "{} rows, {} clicks, in {} log file{}\n",
        grouped(rows.impressions),
        grouped(rows.clicks),
        rows.logs.len(),
        if rows.logs.len() == 1 { "" } else { "s" }
    );
    if let Some(hold_out) = &rows.hold_out {
        say!("Rows of the logs: {}\n", one_line(hold_out));
    }
    match (&rows.importance_column, models(evaluation).iter().find_map(|model| model.file.importance_column.as_ref())) {
        (Some(column), _) => say!("Each row counts as its importance in the column {} says\n", one_line(column)),
        (None, Some(column)) => {
            say!("Each row counts once, although training counted rows by the column {}\n", one_line(column));
        }
        (None, None) => {}
    }
    for model in models(evaluation) {
        for seen in &model.seen {
            let steps: Vec<&str> = seen.steps.iter().map(|step| step.name()).collect();
            let warning = if seen.is_learned() { "its figures look too good" } else { "it learned nothing from them" };
            say!(
                "Seen by generation {}: {} rows of {}, by {}; {warning}\n",
                model.file.generation,
                grouped(seen.rows),
                one_line(&seen.log),
                steps.join(" and ")
            );
        }
    }
    say!("{}\n", overall_table(evaluation));
    for column in 0..models(evaluation)[0].by.len() {
        say!("{}\n", slice_table(evaluation, column));
    }
    say!("{}\n", field_table(evaluation));
}

fn overall_table(evaluation: &Evaluation) -> String {
    let mut rows = Vec::new();
    let mut row = |name: &str, of: &dyn Fn(&ModelEvaluation) -> String| {
        let cells = models(evaluation).into_iter().map(of);
        rows.push(std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>());
    };
    row("generation", &|model| model.file.generation.to_string());
    row("log loss", &|model| format!("{:.6}", model.overall.log_loss));
    row("normalized entropy", &|model| exact_figure(model.overall.normalized_entropy));
    row("AUC", &|model| exact_figure(model.overall.auc));
    row("PR-AUC", &|model| exact_figure(model.overall.pr_auc));
    if evaluation.rows.user_column.is_some() {
        row("AUC within users", &|model| exact_figure(model.overall.user_auc.map(|auc| auc.by_impressions)));
        row("  by clicks", &|model| exact_figure(model.overall.user_auc.map(|auc| auc.by_clicks)));
    }
    row("calibration ratio", &|model| calibration(model.overall.calibration));
    if evaluation.rows.importance_column.is_some() {
        let whole = |clicks: f64| format!("{clicks:.0}");
        row("effective clicks", &|model| model.overall.effective_clicks.map_or_else(|| "-".to_owned(), whole));
    }
    row("calibration error", &|model| format!("{:.6}", model.overall.expected_calibration_error));
    row("unseen categories", &|model| percent(model.overall.unseen_rate));
    if evaluation.baseline.is_some() {
        let of = |of: &dyn Fn(&omomi_train::evaluate::Comparison) -> String, model: &ModelEvaluation| {
            model.comparison.as_ref().map_or_else(|| "-".to_owned(), of)
        };
        row("shift (PSI)", &|model| of(&|it| format!("{:.5}", it.population_stability_index), model));
        row("change of NE", &|model| of(&|it| difference(it.normalized_entropy_change, 100.0, " %"), model));
        row("change of log loss", &|model| of(&|it| difference(it.log_loss_difference, 1.0, ""), model));
    }
    row("largest weight", &|model| format!("{:.4}", model.file.largest_weight));
    row("weights", &|model| grouped(model.file.weight_count));
    row("file", &|model| bytes(model.file.len_bytes));
    if models(evaluation).iter().any(|model| model.overall.not_probability_count > 0) {
        row("no probability", &|model| grouped(model.overall.not_probability_count));
    }
    let names = names(evaluation);
    let header: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
    table(&header, rows)
}

/// Returns the table of the slices of one column: the [`SHOWN_VALUES`] values with the most clicks.
fn slice_table(evaluation: &Evaluation, column: usize) -> String {
    let (models, names) = (models(evaluation), names(evaluation));
    let of_first = &models[0].by[column];
    let mut header = vec![of_first.column.clone(), "rows".to_owned(), "clicks".to_owned()];
    let suffix = |index: usize| if models.len() == 1 { String::new() } else { format!(", {}", names[index]) };
    header.extend(
        (0..models.len()).flat_map(|model| [format!("calibration{}", suffix(model)), format!("NE{}", suffix(model))]),
    );
    let row = |name: &str, of: &dyn Fn(&ModelEvaluation) -> Option<SliceMetrics>| {
        let first = of(models[0]);
        let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), grouped);
        let mut row = vec![name.to_owned(), count(first.map(|it| it.impressions)), count(first.map(|it| it.clicks))];
        for model in &models {
            let metrics = of(model);
            row.push(calibration(metrics.and_then(|metrics| metrics.calibration)));
            row.push(figure(metrics.and_then(|metrics| metrics.normalized_entropy)));
        }
        row
    };
    let mut rows: Vec<Vec<String>> = of_first
        .slices
        .iter()
        .take(SHOWN_VALUES)
        .map(|slice| {
            let same = |model: &ModelEvaluation| {
                model.by[column].slices.iter().find(|other| other.value == slice.value).map(|slice| slice.metrics)
            };
            row(slice.value.as_deref().unwrap_or("(none)"), &same)
        })
        .collect();
    if of_first.other.is_some() {
        rows.push(row("(further values)", &|model| model.by[column].other));
    }
    let more = of_first.slices.len().saturating_sub(SHOWN_VALUES);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let text = table(&header, rows);
    if more == 0 { text } else { format!("{text}\n... and {} more values: see --json", grouped(more as u64)) }
}

fn field_table(evaluation: &Evaluation) -> String {
    let (models, names) = (models(evaluation), names(evaluation));
    let mut header = vec!["field".to_owned(), "categories".to_owned(), "missing".to_owned()];
    header.extend(
        names.iter().map(|name| if models.len() == 1 { "unseen".to_owned() } else { format!("unseen, {name}") }),
    );
    if models[0].fields.iter().any(|field| field.seen_without_weight.is_some()) {
        header.push("seen, no weight".to_owned());
    }
    let row = |field: &omomi_train::evaluate::FieldRates| {
        let mut row = vec![field.field.clone(), grouped(field.categories), percent(field.missing_rate)];
        row.extend(models.iter().map(|model| {
            let same = model.fields.iter().find(|other| other.field == field.field);
            same.map_or_else(|| "-".to_owned(), |field| percent(field.unseen_rate))
        }));
        row.extend(field.seen_without_weight.map(|count| percent(count as f64 / field.categories.max(1) as f64)));
        row
    };
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    table(&header, models[0].fields.iter().map(row).collect())
}

/// Formats a metric in which small differences matter, with 5 decimals.
fn exact_figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.5}"))
}

fn calibration(calibration: Option<Calibration>) -> String {
    let words = |it: Calibration| format!("{:.4} ({:.4} to {:.4})", it.ratio, it.low, it.high);
    calibration.map_or_else(|| "-".to_owned(), words)
}

fn difference(difference: Option<Difference>, factor: f64, unit: &str) -> String {
    let figure = |value: f64| format!("{:+.5}", value * factor);
    let words = |it: Difference| format!("{}{unit} ({} to {})", figure(it.value), figure(it.low), figure(it.high));
    difference.map_or_else(|| "-".to_owned(), words)
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
