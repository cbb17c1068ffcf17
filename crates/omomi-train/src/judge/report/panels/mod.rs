//! What the report shows, each from the input that it comes from.

mod calibration;
mod evaluation;
mod file_sizes;
mod shard_spread;
mod size_curve;
mod weight_changes;

use super::subject::Subject;

pub(super) use calibration::calibration;
pub(super) use evaluation::{entropy_by_hour, field_sizes, reliability};
pub(super) use file_sizes::file_sizes;
pub(super) use shard_spread::shard_spread;
pub(super) use size_curve::size_curve;
pub(super) use weight_changes::weight_changes;

/// A plot, or why it is not there.
#[derive(Debug)]
pub(super) enum Panel {
    /// The plot with everything around it.
    Figure(Figure),
    /// What is missing for it.
    Absent(Absent),
}

/// A plot with everything around it.
#[derive(Debug)]
pub(super) struct Figure {
    /// Its id in the page.
    pub id: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// How to read it.
    pub caption: String,
    /// Which mark stands for what.
    pub legend: Vec<Key>,
    /// The plot.
    pub svg: String,
    /// The figures behind it.
    pub table: Table,
}

/// An entry of a legend.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Class of the mark in the style sheet.
    pub class: String,
    /// What it stands for.
    pub text: String,
}

/// A table; in every column but the first stand figures.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    /// Rows that are left out for their number.
    pub left_out: usize,
}

/// A plot that is not there.
#[derive(Debug)]
pub(super) struct Absent {
    /// What it would show.
    pub title: &'static str,
    /// What brings it.
    pub how: &'static str,
}

/// Most rows of a table: a page of some megabytes can still be mailed.
const MAX_TABLE_ROWS: usize = 200;
/// Most rows of a plot: more are found in the table.
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

/// The legend of the evaluated file and its baseline.
fn models_legend(subject: &Subject<'_>) -> Vec<Key> {
    model_keys(&subject.name, subject.baseline.map(|_| subject.baseline_name.as_str()))
}

/// The legend of the model and of what it is compared with.
fn model_keys(model: &str, baseline: Option<&str>) -> Vec<Key> {
    let baseline = baseline.map(|name| Key::new("baseline", format!("baseline: {name}")));
    [Key::new("model", model)].into_iter().chain(baseline).collect()
}

/// A figure, or a dash where there is none.
fn or_dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}
