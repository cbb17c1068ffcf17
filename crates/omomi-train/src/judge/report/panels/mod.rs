//! The panels of the report: each one reads its input, and draws its plot, caption, legend and table.

mod calibration;
mod evaluation;
mod experiment;
mod served;
mod sizes;
mod weights;

use super::subject::Subject;

pub(super) use calibration::calibration;
pub(super) use evaluation::{entropy_by_hour, field_sizes, reliability};
pub(super) use experiment::{counterfactual, experiment};
pub(super) use served::served_calibration;
pub(super) use sizes::{file_sizes, size_curve};
pub(super) use weights::{Provenance, shard_spread, weight_changes};

/// A plot, or what is needed to draw it.
#[derive(Debug)]
pub(super) enum Panel {
    /// The plot with its texts and its table.
    Figure(Figure),
    /// What is missing to draw it.
    Absent(Absent),
}

/// A plot with its texts and its table.
#[derive(Debug)]
pub(super) struct Figure {
    /// Its id in the HTML page.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Explains how to read it.
    pub caption: String,
    /// The meaning of each mark.
    pub legend: Vec<Key>,
    /// The plot as SVG.
    pub svg: String,
    /// The plotted values.
    pub table: Table,
}

/// An entry of a legend.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// CSS class of the mark.
    pub class: String,
    /// Meaning of the mark.
    pub text: String,
}

/// A table. All columns except the first contain numbers.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    /// Number of rows that were left out because there are too many.
    pub left_out: usize,
}

/// A plot that cannot be drawn.
#[derive(Debug)]
pub(super) struct Absent {
    /// Its title.
    pub title: &'static str,
    /// What is needed to draw it.
    pub how: &'static str,
}

/// Maximum number of rows of a table, so that the page stays small enough to be mailed.
const MAX_TABLE_ROWS: usize = 200;
/// Maximum number of rows of a plot; the table has more.
const MAX_PLOT_ROWS: usize = 24;

impl Table {
    fn new<const COUNT: usize>(header: [&str; COUNT], rows: impl IntoIterator<Item = [String; COUNT]>) -> Self {
        let mut rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
        let left_out = rows.len().saturating_sub(MAX_TABLE_ROWS);
        rows.truncate(MAX_TABLE_ROWS);
        Self { header: header.map(str::to_owned).into(), rows, left_out }
    }
}

impl Key {
    fn new(class: &str, text: impl Into<String>) -> Self {
        Self { class: class.to_owned(), text: text.into() }
    }
}

/// Returns the legend of the evaluated file and its baseline.
fn models_legend(subject: &Subject<'_>) -> Vec<Key> {
    model_keys(&subject.name, subject.baseline.map(|_| subject.baseline_name.as_str()))
}

/// Returns the legend of a model and its baseline.
fn model_keys(model: &str, baseline: Option<&str>) -> Vec<Key> {
    let baseline = baseline.map(|name| Key::new("baseline", format!("baseline: {name}")));
    [Key::new("model", model)].into_iter().chain(baseline).collect()
}

/// Returns the formatted value, or a dash if there is none.
fn or_dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}
