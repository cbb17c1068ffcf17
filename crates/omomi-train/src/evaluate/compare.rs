//! Compares the predictions of an old logic, which are a column of a log, with those of a weight file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::sync::Arc;

use hdrhistogram::Histogram;
use omomi::contract::Side;
use omomi::error::{Error, Owner};
use omomi::math::sigmoid;
use omomi::request::row_to_json;
use omomi::score::Model;
use omomi::weight_file::map::LoadMode;
use serde::Serialize;
use serde_json::{Value, json};

use super::facts::importance_column_of;
use super::log_scorer::LogScorer;
use super::{Evaluator, Metrics};
use crate::bucket::load_model;
use crate::log::{LogDialect, LogError, LogReader, ReadOptions, RowBatch, contract_of};

/// Logits are compared in steps of this, up to 1,000, each to within a thousandth of itself.
const LOGIT_UNIT: f64 = 1e-9;
/// Old probabilities of 0 or 1 have no logit. They count as this far from 0 or 1.
const EXTREME: f64 = 1e-9;

/// What to compare.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CompareOptions {
    /// The weight file.
    pub file: PathBuf,
    /// Paths and patterns of logs with the old predictions.
    pub logs: Vec<String>,
    /// The column with the old predictions.
    pub column: String,
    /// What the old predictions are.
    pub scale: OldScale,
    /// Whether the label is not read. Otherwise it is, if the logs have its column.
    pub unlabeled: bool,
    /// How to read the logs. The extra columns are shown with the rows that differ most.
    pub read: ReadOptions,
    /// How many of the rows that differ most are kept.
    pub max_shown: usize,
}

impl CompareOptions {
    /// Returns options for old probabilities in `column`, with the default way of reading. The 10 rows that differ most
    /// are kept.
    #[must_use]
    pub fn new(
        file: impl Into<PathBuf>,
        logs: impl IntoIterator<Item = impl Into<String>>,
        column: impl Into<String>,
    ) -> Self {
        Self {
            file: file.into(),
            logs: logs.into_iter().map(Into::into).collect(),
            column: column.into(),
            scale: OldScale::default(),
            unlabeled: false,
            read: ReadOptions::default(),
            max_shown: 10,
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// What an old prediction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OldScale {
    /// A probability, from 0 to 1.
    #[default]
    Probability,
    /// A logit.
    Logit,
}

/// How old predictions differ from those of the weight file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictionComparison {
    /// Name of the serving logic of the weight file.
    pub logic_id: String,
    /// Generation of the weight file.
    pub generation: u64,
    /// Number of rows that were compared. The differences count each of them once.
    pub rows: u64,
    /// Number of rows without an old prediction, which were not compared.
    pub without_old: u64,
    /// Number of old probabilities that were 0 or 1. They count as 1e-9 and 1 - 1e-9.
    pub extreme_old: u64,
    /// Number of bad rows, which were skipped.
    pub bad_rows: u64,
    /// The differences of the logits, without their signs.
    pub logit_difference: DifferenceFigures,
    /// Mean of ours minus old, on the logit scale: above 0 if ours are higher.
    pub mean_shift: f64,
    /// Mean of the old probabilities. This and all below count rows by importance, if the logs have it.
    pub old_mean_probability: f64,
    /// Mean of our probabilities.
    pub our_mean_probability: f64,
    /// Metrics of the old predictions on the rows that were compared; `None` if the logs have no label.
    pub old: Option<LabeledFigures>,
    /// Metrics of ours on the same rows.
    pub ours: Option<LabeledFigures>,
    /// The rows that differ most, largest difference first.
    pub largest: Vec<DifferentRow>,
}

/// Figures of absolute differences. The quantiles are exact to within a thousandth of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DifferenceFigures {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// Metrics of one kind of predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LabeledFigures {
    /// Mean negative log likelihood, natural log.
    pub log_loss: f64,
    /// Area under the ROC curve; `None` if all rows or none were clicked.
    pub auc: Option<f64>,
    /// Sum of the probabilities divided by the clicks; `None` without clicks.
    pub calibration_ratio: Option<f64>,
}

impl From<Metrics> for LabeledFigures {
    fn from(metrics: Metrics) -> Self {
        let Metrics { log_loss, auc, calibration_ratio, .. } = metrics;
        Self { log_loss, auc, calibration_ratio }
    }
}

/// A row whose predictions differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DifferentRow {
    /// Number of the row among the rows that were read, from 1.
    pub row: u64,
    /// The old probability.
    pub old_probability: f64,
    /// Our probability.
    pub our_probability: f64,
    /// Our logit minus the old one.
    pub logit_difference: f64,
    /// Number of categories of the row without a weight.
    pub unseen_count: u32,
    /// Number of fields without a value.
    pub missing_count: u32,
    /// The chosen columns, by name.
    pub columns: Value,
    /// The request: context and candidate.
    pub request: Value,
}

/// Why predictions could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The weight file is not valid.
    #[error("{}", path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// The error of the weight file.
        source: Error,
    },
    /// A row does not fit into a request, or no request can be made for the model.
    #[error("row {row} of the logs cannot be scored")]
    Score {
        /// Number of the row among the rows that were read, counted from 1.
        row: u64,
        /// The cause.
        source: Error,
    },
    /// An old prediction is no number, or no probability.
    #[error("row {row} of the logs: expected {expected} in the column `{column}`, found `{found}`")]
    OldPrediction {
        /// Number of the row among the rows that were read, counted from 1.
        row: u64,
        /// The column.
        column: String,
        /// What was expected.
        expected: &'static str,
        /// The text of the cell.
        found: String,
    },
    /// No row has an old prediction.
    #[error("no row of the logs has an old prediction in the column `{column}`: expected at least one to compare")]
    NoRows {
        /// The column.
        column: String,
    },
}

impl CompareError {
    /// Returns who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Log(error) => error.owner(),
            Self::WeightFile { source, .. } => source.owner(),
            Self::Score { .. } => Owner::Ml,
            Self::OldPrediction { .. } | Self::NoRows { .. } => Owner::Delivery,
        }
    }
}

/// Scores every row of the logs that has an old prediction, and compares both. The numbers of ours are those that a
/// server answers. If the logs have the label, both are measured on it. Calls `watch` after each batch.
///
/// Memory is bounded for any number of rows.
///
/// # Errors
///
/// Returns [`CompareError`].
pub fn compare_predictions(
    options: &CompareOptions,
    watch: &mut dyn FnMut(&LogReader),
) -> Result<PredictionComparison, CompareError> {
    let model = load_model(&options.file, LoadMode::Map)
        .map_err(|source| CompareError::WeightFile { path: options.file.clone(), source })?;
    let contract = contract_of(&model);
    options.read.check_importance(importance_column_of(&model).as_deref())?;
    let mut read = options.read.with_trained(LogDialect::of_model(&model));
    read.extra_columns.insert(0, options.column.clone());
    let label = contract.reading().label_column.clone().unwrap_or_else(|| contract.label().to_owned());
    let unlabeled = |read: ReadOptions, watch: &mut dyn FnMut(&LogReader)| {
        let mut reader = LogReader::open_unlabeled(&contract, &options.logs, read)?;
        compare_rows(&model, options, &mut reader, false, watch)
    };
    if options.unlabeled {
        return unlabeled(read, watch);
    }
    let labeled = LogReader::open(&contract, &options.logs, read.clone()).map_err(CompareError::from);
    match labeled.and_then(|mut reader| compare_rows(&model, options, &mut reader, true, watch)) {
        Err(CompareError::Log(LogError::MissingColumn { column, .. })) if column == label => unlabeled(read, watch),
        compared => compared,
    }
}

fn compare_rows(
    model: &Arc<Model>,
    options: &CompareOptions,
    reader: &mut LogReader,
    has_labels: bool,
    watch: &mut dyn FnMut(&LogReader),
) -> Result<PredictionComparison, CompareError> {
    let mut scorer =
        LogScorer::new(vec![Arc::clone(model)]).map_err(|source| CompareError::Score { row: 0, source })?;
    let mut sums = Sums::new(options.read.importance_column.is_some());
    let mut row_number = 0;
    while let Some(batch) = reader.next_batch()? {
        for row in 0..batch.row_count() {
            row_number += 1;
            let Some(text) = batch.extra[0].text(row).filter(|text| !text.trim().is_empty()) else {
                sums.without_old += 1;
                continue;
            };
            let old = old_of(options, text, row_number)?;
            scorer.score(&batch, row).map_err(|source| CompareError::Score { row: row_number, source })?;
            sums.add(options, model, &scorer, &batch, row, row_number, old);
        }
        watch(reader);
    }
    if sums.rows == 0 {
        return Err(CompareError::NoRows { column: options.column.clone() });
    }
    let mut largest: Vec<DifferentRow> = sums.largest.into_iter().map(|Reverse(ranked)| ranked.row).collect();
    largest.sort_by(|one, other| {
        let order = other.logit_difference.abs().total_cmp(&one.logit_difference.abs());
        order.then(one.row.cmp(&other.row))
    });
    let quantile = |quantile: f64| sums.histogram.value_at_quantile(quantile) as f64 * LOGIT_UNIT;
    let count = sums.rows as f64;
    Ok(PredictionComparison {
        logic_id: model.logic_id().to_owned(),
        generation: model.generation(),
        rows: sums.rows,
        without_old: sums.without_old,
        extreme_old: sums.extreme_old,
        bad_rows: reader.bad_row_count(),
        logit_difference: DifferenceFigures {
            mean: sums.difference / count,
            p50: quantile(0.5).min(sums.max),
            p99: quantile(0.99).min(sums.max),
            max: sums.max,
        },
        mean_shift: sums.shift / count,
        old_mean_probability: sums.old_probability / sums.importance,
        our_mean_probability: sums.our_probability / sums.importance,
        old: has_labels.then(|| sums.old.metrics().into()),
        ours: has_labels.then(|| sums.ours.metrics().into()),
        largest,
    })
}

/// An old prediction on both scales.
#[derive(Debug, Clone, Copy)]
struct Old {
    probability: f64,
    logit: f64,
    is_extreme: bool,
}

fn old_of(options: &CompareOptions, text: &str, row: u64) -> Result<Old, CompareError> {
    let number = text.trim().parse::<f64>().ok();
    let wrong = |expected| CompareError::OldPrediction {
        row,
        column: options.column.clone(),
        expected,
        found: omomi::printable::quoted(text),
    };
    match options.scale {
        OldScale::Logit => {
            let logit = number.filter(|logit| logit.is_finite()).ok_or_else(|| wrong("a finite logit"))?;
            Ok(Old { probability: sigmoid(logit), logit, is_extreme: false })
        }
        OldScale::Probability => {
            let number = number.filter(|number| (0.0..=1.0).contains(number));
            let number = number.ok_or_else(|| wrong("a probability from 0 to 1"))?;
            let probability =
                if number == 0.0 || number == 1.0 { number.clamp(EXTREME, 1.0 - EXTREME) } else { number };
            let logit = (probability / (1.0 - probability)).ln();
            Ok(Old { probability, logit, is_extreme: probability != number })
        }
    }
}

struct Sums {
    rows: u64,
    without_old: u64,
    extreme_old: u64,
    difference: f64,
    shift: f64,
    max: f64,
    /// Of the rows that were compared, together.
    importance: f64,
    old_probability: f64,
    our_probability: f64,
    histogram: Histogram<u64>,
    old: Evaluator,
    ours: Evaluator,
    /// The rows that differ most, the smallest difference first.
    largest: BinaryHeap<Reverse<Ranked>>,
}

/// A row in the order of its difference, and then of its number.
struct Ranked {
    rank: (u64, Reverse<u64>),
    row: DifferentRow,
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl Sums {
    fn new(has_importance: bool) -> Self {
        Self {
            rows: 0,
            without_old: 0,
            extreme_old: 0,
            difference: 0.0,
            shift: 0.0,
            max: 0.0,
            importance: 0.0,
            old_probability: 0.0,
            our_probability: 0.0,
            histogram: Histogram::new_with_bounds(1, 1_000_000_000_000, 3).expect("the bounds are valid"),
            old: Evaluator::of_rows(has_importance),
            ours: Evaluator::of_rows(has_importance),
            largest: BinaryHeap::new(),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one row and what is known of it")]
    fn add(
        &mut self,
        options: &CompareOptions,
        model: &Model,
        scorer: &LogScorer,
        batch: &RowBatch,
        row: usize,
        number: u64,
        old: Old,
    ) {
        let (answer, counts) = (scorer.answer(0), scorer.counts());
        let probability = f64::from(answer.probability);
        let shift = answer.logit - old.logit;
        let difference = shift.abs();
        self.rows += 1;
        self.extreme_old += u64::from(old.is_extreme);
        self.difference += difference;
        self.shift += shift;
        self.max = self.max.max(difference);
        let importance = batch.importance.as_ref().map_or(1.0, |importance| importance[row]);
        self.importance += importance;
        self.old_probability += importance * old.probability;
        self.our_probability += importance * probability;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at the largest bin")]
        self.histogram.saturating_record((difference / LOGIT_UNIT).round() as u64);
        self.old.add_important_probability(old.probability, batch.clicked[row], importance);
        self.ours.add_important_probability(probability, batch.clicked[row], importance);
        // Bits of floats that are not negative are in the order of the floats.
        let rank = (difference.to_bits(), Reverse(number));
        let is_larger = self.largest.len() < options.max_shown
            || self.largest.peek().is_some_and(|Reverse(smallest)| rank > smallest.rank);
        if !is_larger || options.max_shown == 0 {
            return;
        }
        let names = options.read.extra_columns.iter().zip(batch.extra.iter().skip(1));
        let columns = names.map(|(name, column)| (name.clone(), json!(column.text(row)))).collect();
        let side = |side| row_to_json(&batch.row(model.contract(), side, row));
        let shown = DifferentRow {
            row: number,
            old_probability: old.probability,
            our_probability: probability,
            logit_difference: shift,
            unseen_count: counts.unseen_count,
            missing_count: counts.missing_count,
            columns: Value::Object(columns),
            request: json!({ "context": side(Side::Context), "candidate": side(Side::Candidate) }),
        };
        self.largest.push(Reverse(Ranked { rank, row: shown }));
        if self.largest.len() > options.max_shown {
            self.largest.pop();
        }
    }
}
