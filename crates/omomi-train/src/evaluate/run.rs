//! Evaluates weight files on logs: reads and scores the rows, adds up the metrics, and returns the evaluation.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::EvaluateError;
use super::auc::UserRows;
use super::bootstrap::Groups;
use super::evaluation::{
    Comparison, EvaluatedRows, Evaluation, FieldRates, GroupsOf, ModelEvaluation, Overall, SeenLog, UserAuc,
};
use super::facts::{file_facts, importance_column_of, lineage_of};
use super::histogram::Histogram;
use super::log_scorer::LogScorer;
use super::metrics::{Totals, logit_of, probability_log_loss};
use super::slices::{ColumnTotals, FieldCounts, HourTotals, calibration};
use crate::bucket::load_model;
use crate::lineage::{LearnedLog, log_digest};
use crate::log::{HoldOut, LogDialect, LogFile, LogReader, ReadOptions, RowBatch, contract_of};
use omomi::contract::{Contract, Field, FieldKind};
use omomi::score::Model;
use omomi::weight_file::map::LoadMode;

/// Number of bins of the reliability curve and of the calibration error.
const RELIABILITY_BIN_COUNT: u64 = 20;
/// Number of bins of the population stability index. The usual limits of 0.1 and 0.25 assume this number.
pub(super) const SHIFT_BIN_COUNT: u64 = 10;

/// What to evaluate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EvaluateOptions {
    /// The weight files.
    pub files: Vec<PathBuf>,
    /// The baseline that they are compared with.
    pub baseline: Option<PathBuf>,
    /// Paths and patterns of the logs.
    pub logs: Vec<String>,
    /// How to read the logs. With a time column, there are metrics by hour.
    pub read: ReadOptions,
    /// The slices with their own metrics.
    pub by: By,
    /// The user column. It defines the rows of the AUC within users, and which rows the bootstrap draws together.
    pub user: Option<String>,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Keys of the features that training has seen, such as [`feature_keys`](crate::learn::state::feature_keys) of its
    /// state. With them, the unseen categories of `files` are told apart: new ones, and those without a weight.
    pub trained_keys: Option<Arc<HashSet<u64>>>,
}

impl EvaluateOptions {
    /// Returns options with no baseline, no slices and no user column. The seed is 1.
    #[must_use]
    pub fn new(
        files: impl IntoIterator<Item = impl Into<PathBuf>>,
        logs: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            files: files.into_iter().map(Into::into).collect(),
            baseline: None,
            logs: logs.into_iter().map(Into::into).collect(),
            read: ReadOptions::default(),
            by: By::Columns(Vec::new()),
            user: None,
            seed: 1,
            trained_keys: None,
        }
    }

    /// Returns what training has seen of the file with this index. A baseline has another training.
    fn trained_keys_of(&self, index: usize) -> Option<&HashSet<u64>> {
        self.trained_keys.as_deref().filter(|_| index < self.files.len())
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// The values by which rows are sliced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The values of these columns.
    Columns(Vec<String>),
    /// The values of each id and text field of the first file's contract, except `many` fields.
    Fields,
}

impl By {
    fn columns(&self, contract: &Contract) -> Vec<String> {
        match self {
            Self::Columns(columns) => columns.clone(),
            Self::Fields => {
                let is_cut_by = |field: &&Field| !field.many && !matches!(field.kind, FieldKind::Number { .. });
                contract.fields().iter().filter(is_cut_by).map(|field| field.name.clone()).collect()
            }
        }
    }
}

/// Scores every row of the logs with every file, and returns the evaluation. Calls `watch` after each batch, and once
/// more after the last one.
///
/// Files with several contracts are scored on the same rows: the logs are read once per contract.
///
/// Memory is bounded for any number of rows, except for the AUC within users: with a user column, it takes about 17
/// bytes per row, and 4 more per row for each file.
///
/// # Errors
///
/// Returns [`EvaluateError`] if a file is not a valid weight file, a log cannot be read, or a row does not fit into a
/// request.
pub fn evaluate_files(
    options: &EvaluateOptions,
    watch: &mut dyn FnMut(&LogReader),
) -> Result<Evaluation, EvaluateError> {
    let load = |path: &PathBuf| {
        let model = load_model(path, LoadMode::Map);
        model.map_err(|source| EvaluateError::WeightFile { path: path.clone(), source })
    };
    let models = options.files.iter().chain(&options.baseline).map(load).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = models.first() else { return Err(EvaluateError::NoWeightFile) };
    for model in &models {
        options.read.check_importance(importance_column_of(model).as_deref())?;
    }
    let dialects: Vec<LogDialect> = models.iter().filter_map(|model| LogDialect::of_model(model)).collect();
    let read = options.read.with_trained(LogDialect::common(&dialects, &options.read)?);
    let options = &EvaluateOptions { read, ..options.clone() };
    let columns = options.by.columns(first.contract());
    let mut lanes = Lane::of_contracts(&models, &columns, options)?;
    let mut sums = Sums::new(models.len(), &columns, options);
    while let Some(batches) = next_batches(&mut lanes)? {
        for (lane, batch) in lanes.iter_mut().zip(&batches) {
            lane.count_fields(batch, options);
        }
        for row in 0..batches[0].row_count() {
            for (lane, batch) in lanes.iter_mut().zip(&batches) {
                let scored = lane.scorer.score(batch, row);
                scored.map_err(|source| EvaluateError::Score { row: sums.row_count + 1, source })?;
                for (answer, &model) in lane.models.iter().enumerate() {
                    sums.probabilities[model] = lane.scorer.answer(answer).probability;
                }
            }
            sums.add_row(&batches[0], row);
        }
        watch(&lanes[0].reader);
    }
    if sums.row_count == 0 {
        return Err(EvaluateError::NoRows);
    }
    watch(&lanes[0].reader);
    Ok(sums.evaluation(&models, &lanes, options))
}

/// The models of one contract, with a reader of the logs for that contract.
struct Lane {
    reader: LogReader,
    scorer: LogScorer,
    /// Indices of these models among all models.
    models: Vec<usize>,
    /// One entry per model of the lane.
    fields: Vec<FieldCounts>,
}

impl Lane {
    fn of_contracts(
        models: &[Arc<Model>],
        columns: &[String],
        options: &EvaluateOptions,
    ) -> Result<Vec<Self>, EvaluateError> {
        let mut indices: BTreeMap<(usize, u64), Vec<usize>> = BTreeMap::new();
        for (index, model) in models.iter().enumerate() {
            let fingerprint = model.contract().fingerprint();
            let first = models.iter().position(|model| model.contract().fingerprint() == fingerprint);
            indices.entry((first.unwrap_or(index), fingerprint)).or_default().push(index);
        }
        let read = ReadOptions {
            extra_columns: columns.iter().chain(&options.user).cloned().collect(),
            ..options.read.clone()
        };
        let lane = |indices: Vec<usize>| {
            let own: Vec<_> = indices.iter().map(|&index| Arc::clone(&models[index])).collect();
            let reader = LogReader::open(&contract_of(&own[0]), &options.logs, read.clone())?;
            let fields = own.iter().map(|model| FieldCounts::new(model.contract())).collect();
            let scorer = LogScorer::new(own).map_err(|source| EvaluateError::Score { row: 0, source })?;
            Ok(Self { reader, scorer, models: indices, fields })
        };
        indices.into_values().map(lane).collect()
    }

    fn count_fields(&mut self, batch: &RowBatch, options: &EvaluateOptions) {
        for ((model, counts), &index) in self.scorer.models().zip(&mut self.fields).zip(&self.models) {
            counts.add(model, batch, options.trained_keys_of(index));
        }
    }
}

/// Returns the next rows as read with each contract; `None` at the end.
fn next_batches(lanes: &mut [Lane]) -> Result<Option<Vec<RowBatch>>, EvaluateError> {
    let mut batches = Vec::with_capacity(lanes.len());
    for lane in lanes.iter_mut() {
        batches.extend(lane.reader.next_batch()?);
    }
    if batches.is_empty() {
        return Ok(None);
    }
    let same = batches.len() == lanes.len()
        && batches.iter().all(|batch| batch.clicked == batches[0].clicked)
        && lanes.iter().all(|lane| lane.reader.bad_row_count() == lanes[0].reader.bad_row_count());
    // A row that only some contracts can read would shift all rows after it.
    if same { Ok(Some(batches)) } else { Err(EvaluateError::RowsDiffer) }
}

/// All sums over the rows.
struct Sums<'a> {
    options: &'a EvaluateOptions,
    row_count: u64,
    click_count: u64,
    adjacent_click_count: u64,
    is_after_click: bool,
    window_us: Option<[i64; 2]>,
    /// Values of the current row, one per model, the baseline last.
    probabilities: Vec<f32>,
    losses: Vec<f64>,
    by_model: Vec<ModelSums>,
    columns: Vec<ColumnTotals>,
    hours: HourTotals,
    users: Option<UserRows>,
    groups: Groups,
}

struct ModelSums {
    totals: Totals,
    histogram: Histogram,
    not_probability_count: u64,
}

impl<'a> Sums<'a> {
    fn new(model_count: usize, columns: &[String], options: &'a EvaluateOptions) -> Self {
        let sums = || ModelSums { totals: Totals::default(), histogram: Histogram::new(), not_probability_count: 0 };
        let groups_of = if options.user.is_some() { GroupsOf::Users } else { GroupsOf::ConsecutiveRows };
        Self {
            options,
            row_count: 0,
            click_count: 0,
            adjacent_click_count: 0,
            is_after_click: false,
            window_us: None,
            probabilities: vec![0.0; model_count],
            losses: vec![0.0; model_count],
            by_model: (0..model_count).map(|_| sums()).collect(),
            columns: columns.iter().map(|column| ColumnTotals::new(column, model_count)).collect(),
            hours: HourTotals::default(),
            users: options.user.as_ref().map(|_| UserRows::new(model_count)),
            groups: Groups::new(groups_of, model_count),
        }
    }

    /// Adds a row whose probabilities have been set.
    fn add_row(&mut self, batch: &RowBatch, row: usize) {
        let clicked = batch.clicked[row];
        self.row_count += 1;
        self.click_count += u64::from(clicked);
        self.adjacent_click_count += u64::from(clicked && self.is_after_click);
        self.is_after_click = clicked;
        let importance = batch.importance.as_ref().map(|importance| importance[row]);
        let counted = importance.unwrap_or(1.0);
        let time_us = batch.time_us.as_ref().map(|times| times[row]);
        if let Some(time_us) = time_us {
            let [first, last] = self.window_us.unwrap_or([time_us; 2]);
            self.window_us = Some([first.min(time_us), last.max(time_us)]);
        }
        let model_count = self.probabilities.len();
        let mut slices: Vec<&mut [Totals]> = Vec::with_capacity(self.columns.len() + 1);
        for (column, texts) in self.columns.iter_mut().zip(&batch.extra) {
            slices.push(column.of(texts.text(row)));
        }
        slices.extend(time_us.map(|time_us| self.hours.of(time_us, model_count)));
        let mut all_probabilities = true;
        for (model, sums) in self.by_model.iter_mut().enumerate() {
            let probability = f64::from(self.probabilities[model]);
            if !(probability > 0.0 && probability < 1.0) {
                sums.not_probability_count += 1;
                all_probabilities = false;
                continue;
            }
            let loss = probability_log_loss(probability, clicked);
            self.losses[model] = loss;
            sums.totals.add(loss, probability, clicked, counted);
            sums.histogram.add(logit_of(probability), probability, clicked, counted);
            for totals in &mut slices {
                totals[model].add(loss, probability, clicked, counted);
            }
        }
        if !all_probabilities {
            return;
        }
        // The user column is the last.
        let user = self.users.as_ref().and_then(|_| batch.extra.last()?.text(row)).map(|user| xxh3_64(user.as_bytes()));
        if let (Some(users), Some(user)) = (&mut self.users, user) {
            users.add(user, clicked, importance, &self.probabilities);
        }
        self.groups.add(user, clicked, counted, &self.losses);
    }

    fn evaluation(self, models: &[Arc<Model>], lanes: &[Lane], options: &EvaluateOptions) -> Evaluation {
        let user_aucs = self.users.as_ref().map_or_else(|| vec![None; models.len()], UserRows::aucs);
        let paths: Vec<&Path> = options.files.iter().chain(&options.baseline).map(PathBuf::as_path).collect();
        let mut fields: Vec<Vec<FieldRates>> = vec![Vec::new(); models.len()];
        for lane in lanes {
            for (counts, &model) in lane.fields.iter().zip(&lane.models) {
                fields[model] = counts.rates(options.trained_keys_of(model).is_some());
            }
        }
        let rows = self.rows(&lanes[0].reader);
        let has_importance = rows.importance_column.is_some();
        let draws = self.groups.draws(options.seed);
        let mut evaluations: Vec<ModelEvaluation> = Vec::with_capacity(models.len());
        for (index, (sums, fields)) in self.by_model.iter().zip(fields).enumerate() {
            let reliability = sums.histogram.equal_mass(RELIABILITY_BIN_COUNT);
            evaluations.push(ModelEvaluation {
                file: file_facts(&models[index], paths[index]),
                overall: Overall {
                    normalized_entropy_interval: draws.entropy_interval(index),
                    ..overall(sums, &fields, user_aucs[index], has_importance)
                },
                reliability,
                by: self.columns.iter().map(|column| column.slices(index, has_importance)).collect(),
                hours: self.hours.slices(index, has_importance),
                fields,
                seen: seen_logs(&lineage_of(&models[index]), &rows, &lanes[0].reader),
                comparison: None,
            });
        }
        let mut baseline = None;
        if options.baseline.is_some() {
            baseline = evaluations.pop();
            for (index, (evaluation, differences)) in evaluations.iter_mut().zip(draws.differences()).enumerate() {
                let theirs = &self.by_model[self.by_model.len() - 1].histogram;
                evaluation.comparison = Some(Comparison {
                    population_stability_index: self.by_model[index]
                        .histogram
                        .population_stability_index(theirs, SHIFT_BIN_COUNT),
                    log_loss_difference: differences.log_loss,
                    normalized_entropy_difference: differences.normalized_entropy,
                    normalized_entropy_change: differences.normalized_entropy_change,
                    bootstrap: differences.bootstrap,
                });
            }
        }
        Evaluation {
            format_version: Evaluation::FORMAT_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            rows,
            models: evaluations,
            baseline,
        }
    }

    fn rows(&self, reader: &LogReader) -> EvaluatedRows {
        EvaluatedRows {
            logs: reader.files().iter().map(|file| file.path.display().to_string()).collect(),
            log_digests: reader.files().iter().map(log_digest).collect(),
            impressions: self.row_count,
            clicks: self.click_count,
            adjacent_clicks: self.adjacent_click_count,
            bad_rows: reader.bad_row_count(),
            user_column: self.options.user.clone(),
            time_column: self.options.read.time_column.clone(),
            window_us: self.window_us,
            importance_column: self.options.read.importance_column.clone(),
            hold_out: reader.hold_out().map(HoldOut::used_rows),
        }
    }
}

/// Returns the logs of the evaluation that a step of a model has used.
fn seen_logs(lineage: &[LearnedLog], rows: &EvaluatedRows, reader: &LogReader) -> Vec<SeenLog> {
    let seen = |((log, digest), file): ((&String, &Option<String>), &LogFile)| {
        let digest = digest.as_ref()?;
        let of_log = |it: &&LearnedLog| it.digest == *digest && !it.is_apart_from(reader.hold_out());
        let mut steps: Vec<_> = lineage.iter().filter(of_log).map(|it| it.step).collect();
        steps.dedup();
        (!steps.is_empty()).then(|| SeenLog { log: log.clone(), rows: file.row_count.unwrap_or(0), steps })
    };
    rows.logs.iter().zip(&rows.log_digests).zip(reader.files()).filter_map(seen).collect()
}

fn overall(sums: &ModelSums, fields: &[FieldRates], user_auc: Option<UserAuc>, has_importance: bool) -> Overall {
    let metrics = sums.totals.metrics(sums.histogram.auc());
    let unseen: u64 = fields.iter().map(|field| field.unseen).sum();
    let categories: u64 = fields.iter().map(|field| field.categories).sum();
    Overall {
        impressions: metrics.impressions,
        clicks: metrics.clicks,
        not_probability_count: sums.not_probability_count,
        mean_probability: sums.totals.mean_probability(),
        log_loss: metrics.log_loss,
        normalized_entropy: metrics.normalized_entropy,
        normalized_entropy_interval: None,
        auc: metrics.auc,
        pr_auc: sums.histogram.pr_auc(),
        user_auc,
        calibration: metrics.calibration_ratio.map(|ratio| calibration(ratio, sums.totals.effective_clicks())),
        effective_clicks: has_importance.then(|| sums.totals.effective_clicks()),
        expected_calibration_error: sums.histogram.calibration_error(RELIABILITY_BIN_COUNT),
        unseen_rate: unseen as f64 / categories.max(1) as f64,
    }
}
