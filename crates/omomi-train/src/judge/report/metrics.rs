//! The metrics of the report: the most important ones as cards, and all of them as a table.

use super::subject::{self, CheckWords, Subject};
use crate::evaluate::{Calibration, Difference, Evaluation, ModelEvaluation};
use crate::readable::{bytes, grouped};

/// One of the most important metrics.
#[derive(Debug)]
pub(super) struct Card {
    /// Name of the metric.
    pub name: &'static str,
    /// Value of the model.
    pub value: String,
    /// The value to compare it with.
    pub beside: String,
    /// CSS class: `better`, `worse` or empty.
    pub class: &'static str,
}

/// A row of the table of metrics.
#[derive(Debug)]
pub(super) struct MetricRow {
    /// Name of the metric.
    pub name: &'static str,
    /// How to read it.
    pub meaning: &'static str,
    /// One value per file, in the order of the evaluation.
    pub values: Vec<String>,
    /// The model's value minus the baseline's, if this is meaningful.
    pub difference: String,
    /// CSS class: `better`, `worse` or empty.
    pub class: &'static str,
}

/// How a field was filled, in the evaluations of the model and of the baseline.
#[derive(Debug)]
pub(super) struct FieldRow {
    /// Name of the field.
    pub name: String,
    /// Number of categories in all rows.
    pub categories: String,
    /// Share of the categories that have no weight.
    pub unseen: String,
    /// Share of the categories that have no weight in the baseline.
    pub baseline_unseen: String,
    /// Share of rows without a value.
    pub missing: String,
    /// Number of invalid numbers.
    pub invalid: String,
}

/// Returns the most important metrics.
///
/// A metric of a check that did not pass has the color of the verdict; the value of the baseline is beside it.
pub(super) fn cards(subject: &Subject<'_>, failed: &[CheckWords]) -> Vec<Card> {
    let is_failed = |name: &str| failed.iter().any(|check| check.name == name);
    let class = |is_failed: bool, class: &'static str| if is_failed { "worse" } else { class };
    let overall = &subject.model.overall;
    let baseline = subject.baseline.map(|baseline| &baseline.overall);
    let change = subject.model.comparison.as_ref().and_then(|comparison| comparison.normalized_entropy_change);
    let none = || "-".to_owned();
    let entropy = Card {
        name: "Normalized entropy",
        value: figure(overall.normalized_entropy),
        beside: change.map_or_else(|| "1 for a constant".to_owned(), change_words),
        class: class(is_failed("normalized entropy"), change.map_or("", class_of_loss)),
    };
    let served = baseline.and_then(|baseline| baseline.calibration);
    let served = served.map_or_else(String::new, |served| format!("; baseline {:.3}", served.ratio));
    let calibration = Card {
        name: "Calibration ratio",
        value: overall.calibration.map_or_else(none, |calibration| format!("{:.3}", calibration.ratio)),
        beside: overall
            .calibration
            .map_or_else(|| "no clicks".to_owned(), |Calibration { low, high, .. }| format!("{low:.3} to {high:.3}"))
            + &served,
        class: class(is_failed("calibration"), ""),
    };
    let auc = Card {
        name: "AUC",
        value: figure(overall.auc),
        beside: baseline
            .map_or_else(|| "0.5 for a constant".to_owned(), |baseline| format!("baseline {}", figure(baseline.auc))),
        class: "",
    };
    let file = &subject.model.file;
    let size = Card {
        name: "Weight file",
        value: bytes(file.len_bytes),
        beside: subject.baseline.map_or_else(
            || format!("{} weights", grouped(file.weight_count)),
            |baseline| format!("baseline {}", bytes(baseline.file.len_bytes)),
        ),
        class: class(is_failed("size"), ""),
    };
    vec![entropy, calibration, auc, size]
}

/// Returns all metrics of all files.
pub(super) fn table(evaluation: &Evaluation, subject: &Subject<'_>) -> Vec<MetricRow> {
    let models: Vec<&ModelEvaluation> = evaluation.models.iter().chain(&evaluation.baseline).collect();
    let row = |name, meaning, value: &dyn Fn(&ModelEvaluation) -> String| MetricRow {
        name,
        meaning,
        values: models.iter().map(|model| value(model)).collect(),
        difference: String::new(),
        class: "",
    };
    let with = |row: MetricRow, difference: Option<Difference>| match difference {
        None => row,
        Some(found) => MetricRow {
            difference: format!("{:+.5} ({:+.5} to {:+.5})", found.value, found.low, found.high),
            class: class_of_loss(found),
            ..row
        },
    };
    let comparison = subject.model.comparison.as_ref();
    let shift = |model: &ModelEvaluation| {
        let comparison = model.comparison.as_ref();
        comparison.map_or_else(|| "-".to_owned(), |comparison| format!("{:.4}", comparison.population_stability_index))
    };
    let calibration = |model: &ModelEvaluation| {
        let words = |it: Calibration| format!("{:.4} ({:.4} to {:.4})", it.ratio, it.low, it.high);
        model.overall.calibration.map_or_else(|| "-".to_owned(), words)
    };
    let mut rows = vec![
        with(
            row("log loss", "lower is better", &|model| format!("{:.6}", model.overall.log_loss)),
            comparison.and_then(|comparison| comparison.log_loss_difference),
        ),
        with(
            row("normalized entropy", "log loss divided by that of the best constant", &|model| {
                precise(model.overall.normalized_entropy)
            }),
            comparison.and_then(|comparison| comparison.normalized_entropy_difference),
        ),
        row("AUC", "clicked rows ranked above others; higher is better", &|model| precise(model.overall.auc)),
        row("PR-AUC", "average precision; higher is better", &|model| precise(model.overall.pr_auc)),
    ];
    if models.iter().any(|model| model.overall.user_auc.is_some()) {
        let within = |model: &ModelEvaluation| precise(model.overall.user_auc.map(|auc| auc.by_impressions));
        rows.push(row("AUC within users", "weighted by impressions (GAUC)", &within));
        let within = |model: &ModelEvaluation| precise(model.overall.user_auc.map(|auc| auc.by_clicks));
        rows.push(row("AUC within users, by clicks", "weighted by clicks", &within));
    }
    rows.extend([
        row("calibration ratio", "probabilities over clicks, 1 is right; 95 % interval", &calibration),
        row("calibration error", "mean distance from the diagonal of the reliability plot", &|model| {
            format!("{:.6}", model.overall.expected_calibration_error)
        }),
        row("mean probability", "", &|model| format!("{:.6}", model.overall.mean_probability)),
        row("shift of predictions", "PSI against the baseline; above 0.25 is large", &shift),
        row("unseen categories", "share without a weight", &|model| percent(model.overall.unseen_rate)),
        row("no probability", "rows without one", &|model| grouped(model.overall.not_probability_count)),
        row("weight file", "", &|model| bytes(model.file.len_bytes)),
        row("weights", "", &|model| grouped(model.file.weight_count)),
        row("encoding", "", &|model| model.file.encoding.clone()),
        row("largest weight", "magnitude, on the logit scale", &|model| format!("{:.3}", model.file.largest_weight)),
    ]);
    rows
}

/// Returns the names of the files, in the order of the values in [`table`].
pub(super) fn file_names(evaluation: &Evaluation) -> Vec<String> {
    let models = evaluation.models.iter().map(|model| subject::name(evaluation, model));
    let baseline = evaluation.baseline.iter().map(|model| format!("baseline: {}", subject::name(evaluation, model)));
    models.chain(baseline).collect()
}

/// Returns how each field was filled.
pub(super) fn field_rows(subject: &Subject<'_>) -> Vec<FieldRow> {
    let of_baseline = |name: &str| {
        let fields = &subject.baseline?.fields;
        fields.iter().find(|field| field.field == name).map(|field| percent(field.unseen_rate))
    };
    let fields = subject.model.fields.iter();
    fields
        .map(|field| FieldRow {
            name: field.field.clone(),
            categories: grouped(field.categories),
            unseen: percent(field.unseen_rate),
            baseline_unseen: of_baseline(&field.field).unwrap_or_else(|| "-".to_owned()),
            missing: percent(field.missing_rate),
            invalid: grouped(field.invalid_numbers),
        })
        .collect()
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

fn precise(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"))
}

fn percent(share: f64) -> String {
    format!("{:.2}\u{a0}%", share * 100.0)
}

/// Returns the CSS class of a difference of losses: lower is better, and a difference whose interval contains 0 has
/// none.
fn class_of_loss(difference: Difference) -> &'static str {
    match difference {
        Difference { high, .. } if high < 0.0 => "better",
        Difference { low, .. } if low > 0.0 => "worse",
        _ => "",
    }
}

/// Describes a change, such as `0.85 % better than the baseline (0.62 to 1.09 %)`.
fn change_words(change: Difference) -> String {
    let [value, low, high] = [change.value, change.low, change.high].map(|part| part * 100.0);
    match class_of_loss(change) {
        "better" => format!("{:.2}\u{a0}% better than the baseline ({:.2} to {:.2}\u{a0}%)", -value, -high, -low),
        "worse" => format!("{value:.2}\u{a0}% worse than the baseline ({low:.2} to {high:.2}\u{a0}%)"),
        _ => format!("{value:+.2}\u{a0}% against the baseline, not significant ({low:+.2} to {high:+.2}\u{a0}%)"),
    }
}
