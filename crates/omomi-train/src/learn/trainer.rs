//! The core of training: learns batches of rows one after the other and writes the training state.

mod cached;
mod resume;

use std::path::Path;

use serde_json::{Map, Value};

use crate::evaluate::{Evaluator, Metrics, whole};
use crate::lineage::{LearnedLog, extend_lineage};
use crate::log::{LogDialect, RowBatch};
use omomi::contract::Contract;

use super::chunk_features::{ChunkFeatures, UNSEEN};
use super::feature_table::{FeatureCounts, FeatureGroup, NEVER_US, Table};
use super::last_day::{LastDay, SettledBias};
use super::learner::{Defaults, Learner, NONE};
use super::optimizer::Coordinate;
use super::row_indexer::{CHUNK_ROW_COUNT, Known, LabelSums, RowIndexer};
use super::state::{
    BIAS_FIELD, BIAS_KEY, FinishedState, Metadata, Start, StateRow, StateWriter, UNSEEN_FIELD, default_key, widest,
};
use super::unseen::FileUnseen;
use super::{Sampling, Settings, StartAccount, TrainError, WeightRule};

/// A model in training.
///
/// Each row is predicted before it is learned, so the metrics of the first pass are those of rows never seen
/// (*progressive validation*). There is one exception: the bias starts at the observed CTR of the first batch. Rows are
/// learned in the given order. The same rows in the same order, with the same first batch, give the same state, to the
/// byte.
#[derive(Debug)]
pub struct Trainer {
    contract: Contract,
    settings: Settings,
    /// Numbers the features of rows and counts how often each was seen.
    indexer: RowIndexer,
    bias: Coordinate,
    /// Whether the bias has been set to its start value.
    has_bias: bool,
    /// The state that training continues from.
    start: Option<StartAccount>,
    /// The logs that were learned, including those of the start state.
    lineage: Vec<LearnedLog>,
    /// The column with the importance of the rows, here or in the start state.
    importance_column: Option<String>,
    /// How the CSV logs are written, here or in the start state.
    log_dialect: Option<LogDialect>,
    pass: u32,
    progressive: Evaluator,
    learner: Learner,
    /// Rows of the last day, for [`settle_bias`](Self::settle_bias).
    last_day: LastDay,
    /// What the start state knows.
    known: Known,
    /// For each group, the number of the default feature of its unseen ones, or [`NONE`].
    unseen_numbers: Vec<u32>,
}

/// Number of features of one field or cross in a trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldFeatures {
    /// Name of the field or cross.
    pub field: String,
    /// Number of features that were seen.
    pub feature_count: u64,
    /// Number of features whose weight is not 0.
    pub nonzero_count: u64,
    /// Share of the categories in the rows of this run that the start state does not know, from 0 to 1; `None` without
    /// a start state, or without a category.
    pub unseen_rate: Option<f64>,
}

/// A training state that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenState {
    /// Size of the file in bytes.
    pub len_bytes: u64,
    /// Number of features by field and cross, in contract order.
    pub fields: Vec<FieldFeatures>,
}

impl Trainer {
    /// Creates an empty model that will learn every row.
    ///
    /// # Errors
    ///
    /// Returns [`TrainError::Setting`] if a setting is out of bounds.
    pub fn new(contract: &Contract, settings: Settings) -> Result<Self, TrainError> {
        Self::with_sampling(contract, settings, Sampling::default())
    }

    /// Creates an empty model that will learn the rows that `sampling` keeps.
    ///
    /// # Errors
    ///
    /// Returns [`TrainError::Setting`] if a setting or the sampling rate is out of bounds.
    pub fn with_sampling(contract: &Contract, settings: Settings, sampling: Sampling) -> Result<Self, TrainError> {
        settings.check()?;
        sampling.check()?;
        let mut indexer = RowIndexer::new(contract, sampling);
        let unseen_numbers = insert_unseen(&mut indexer)?;
        Ok(Self {
            contract: contract.clone(),
            settings,
            indexer,
            bias: Coordinate::default(),
            has_bias: false,
            start: None,
            lineage: Vec::new(),
            importance_column: None,
            log_dialect: None,
            pass: 1,
            progressive: Evaluator::bounded(),
            learner: Learner::new(settings),
            last_day: LastDay::default(),
            known: Known::default(),
            unseen_numbers,
        })
    }

    /// Learns the rows of a batch. In the first pass, also counts the rows and their features and updates the
    /// progressive metrics.
    ///
    /// # Errors
    ///
    /// Returns [`TrainError::TooManyFeatures`] if the log has more features than one process can hold. The trainer
    /// cannot be used after that.
    pub fn learn(&mut self, batch: &RowBatch) -> Result<(), TrainError> {
        let is_first = self.pass == 1;
        let missing_group = self.missing_group();
        let Self { settings, indexer, bias, has_bias, progressive, learner, last_day, unseen_numbers, .. } = self;
        indexer.each_chunk(batch, is_first, &mut |chunk| {
            if !std::mem::replace(has_bias, true) {
                *bias = first_bias(settings, chunk.batch_sums);
            }
            let progressive = is_first.then_some(&mut *progressive);
            let Table { coordinates, averages, groups, counts, .. } = chunk.table;
            let defaults = Defaults { groups, unseen: unseen_numbers, missing_group };
            learner.learn(chunk.rows, bias, coordinates, averages, &defaults, progressive);
            count_unseen(learner, counts, unseen_numbers);
            if is_first {
                last_day.add(chunk.rows, |number| number);
            }
            Ok(())
        })
    }

    /// Starts the next pass. Its rows were learned before, so they are no longer counted.
    pub fn begin_next_pass(&mut self) {
        self.pass += 1;
        self.indexer.rewind();
    }

    /// Replaces each weight by the average of its last iterates of this run, which has less noise
    /// than the last one. Call it at most once, after the last row and before [`settle_bias`](Self::settle_bias).
    pub fn settle_weights(&mut self) {
        let missing_group = self.missing_group();
        let Self { settings, indexer, bias, learner, unseen_numbers, .. } = self;
        let Table { coordinates, averages, groups, .. } = &mut indexer.table;
        // No threshold applies to the default features.
        let of_defaults = Settings { l1: 0.0, ..*settings };
        let is_unseen = |number: usize| unseen_numbers.iter().any(|&unseen| unseen as usize == number);
        for (number, (coordinate, average)) in coordinates.iter_mut().zip(averages).enumerate() {
            let is_default = groups[number] == missing_group || is_unseen(number);
            *coordinate = average.settled(*coordinate, if is_default { &of_defaults } else { settings });
        }
        *bias = learner.bias_average.settled_bias(*bias, settings);
    }

    /// Calls `view` with the model as it would be after a run that ends here, with [settled
    /// weights](Self::settle_weights) and a [settled bias](Self::settle_bias). Training then goes on from the last
    /// iterates.
    pub(super) fn settled<T>(&mut self, view: impl FnOnce(&mut Self) -> T) -> T {
        let (coordinates, bias) = (self.indexer.table.coordinates.clone(), self.bias);
        self.settle_weights();
        self.settle_bias();
        let seen = view(self);
        (self.indexer.table.coordinates, self.bias) = (coordinates, bias);
        seen
    }

    /// Shifts the bias so that the model predicts as many clicks as the last 24 hours with rows had. Without this last
    /// step, the bias is that of the last rows, such as the evening. Call it once, after the last row. Returns `None`,
    /// and changes nothing, if the rows have no times.
    pub fn settle_bias(&mut self) -> Option<SettledBias> {
        let bias = self.bias_weight();
        let logit = |numbers: &[u32]| numbers.iter().fold(bias, |logit, &number| logit + self.served_weight(number));
        let settled = self.last_day.settle(logit)?;
        self.bias.z -= settled.shift * self.settings.curvature(self.bias.n);
        Some(settled)
    }

    /// Predicts the rows of a batch without learning from them. Calls `visit` with the logit of each row and whether it
    /// was clicked. Unseen categories add their default weight. Every row is predicted, even one that sampling would
    /// leave out.
    pub fn predict(&self, batch: &RowBatch, mut visit: impl FnMut(f64, bool)) {
        let bias = self.bias_weight();
        let mut chunk = ChunkFeatures::default();
        let mut start = 0;
        while start < batch.row_count() {
            let rows = start..batch.row_count().min(start + CHUNK_ROW_COUNT);
            start = rows.end;
            chunk.find(&self.indexer.groups, self.indexer.table.index(), batch, &rows);
            for (row, &clicked) in batch.clicked[rows].iter().enumerate() {
                let mut logit = bias;
                chunk.visit_row(row, |group, number| {
                    let number = if number == UNSEEN { self.unseen_numbers[group] } else { number };
                    if number != NONE {
                        logit += self.served_weight(number);
                    }
                });
                visit(logit, clicked);
            }
        }
    }

    /// Returns the metrics of the rows of the first pass, each predicted before it was learned.
    pub fn progressive_metrics(&mut self) -> Metrics {
        self.progressive.metrics()
    }

    /// Returns the evaluator of the first pass so far. Its totals give the [`Metrics`] of a part of the rows.
    #[must_use]
    pub fn progressive(&self) -> &Evaluator {
        &self.progressive
    }

    pub(super) fn progressive_mut(&mut self) -> &mut Evaluator {
        &mut self.progressive
    }

    /// Returns the times of the first and the last row that this trainer learned, in microseconds since 1970-01-01 UTC,
    /// or `None` if the log has no times. Rows of the start state do not count.
    #[must_use]
    pub fn window_us(&self) -> Option<(i64, i64)> {
        self.indexer.window_us
    }

    /// Returns the times of the first and the last row that the model is built on, including the rows of its start
    /// state, in microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn lineage_us(&self) -> Option<(i64, i64)> {
        widest(self.start.as_ref().and_then(|start| start.window_us), self.indexer.window_us)
    }

    /// Returns the number of rows that the model is built on, as far as decay leaves those of its start state.
    #[must_use]
    pub fn effective_rows(&self) -> u64 {
        let rows = whole(self.indexer.totals.impressions);
        match &self.start {
            None => rows,
            Some(start) => rows.saturating_sub(start.rows).saturating_add(start.effective_rows_left()),
        }
    }

    /// Returns how many values the start state has not seen, by log file and field. Empty without a start state, and
    /// for rows of a row cache.
    pub(super) fn unseen_by_file(&self) -> &[FileUnseen] {
        self.indexer.unseen.as_ref().map_or(&[], |unseen| unseen.by_file())
    }

    pub(super) fn importance_column(&self) -> Option<&str> {
        self.importance_column.as_deref()
    }

    /// Notes the column that the importance of the rows comes from, for the metadata of the state. The column of a
    /// start state stays if there is no other, because its rows were weighted.
    pub fn record_importance_column(&mut self, column: Option<&str>) {
        if let Some(column) = column {
            self.importance_column = Some(column.to_owned());
        }
    }

    pub(super) fn log_dialect(&self) -> Option<LogDialect> {
        self.log_dialect
    }

    /// Notes how the CSV logs are written, for the metadata of the state. That of a start state stays if no log is CSV.
    pub(super) fn record_log_dialect(&mut self, dialect: Option<LogDialect>) {
        self.log_dialect = dialect.or(self.log_dialect);
    }

    /// Records the logs that were learned, for the state to carry.
    pub(super) fn record(&mut self, logs: Vec<LearnedLog>) {
        extend_lineage(&mut self.lineage, logs);
    }

    /// Returns the number of features that were seen, without the bias and without the defaults of unseen
    /// categories and missing values.
    #[must_use]
    pub fn feature_count(&self) -> usize {
        self.indexer.table.len() - self.indexer.table.default_count
    }

    /// Returns the number of features whose weight is not 0, counted like [`feature_count`](Self::feature_count).
    #[must_use]
    pub fn nonzero_count(&self) -> u64 {
        let is_nonzero = |&number: &u32| !self.is_default(number) && self.weight(number) != 0.0;
        (0..).take(self.indexer.table.len()).filter(is_nonzero).count() as u64
    }

    /// Writes the training state to the file `path`, sorted by key.
    ///
    /// # Errors
    ///
    /// Returns [`TrainError::State`] if the file cannot be written, or if `path` exists and `replace` is false.
    pub fn write_state(&self, path: impl AsRef<Path>, replace: bool) -> Result<WrittenState, TrainError> {
        let (finished, fields) = self.write_state_with(path.as_ref(), replace, |_| Map::new())?;
        Ok(WrittenState { len_bytes: finished.len_bytes, fields })
    }

    /// Writes the training state with the provenance that a function returns for the features of all fields.
    pub(super) fn write_state_with(
        &self,
        path: &Path,
        replace: bool,
        provenance: impl FnOnce(&[FieldFeatures]) -> Map<String, Value>,
    ) -> Result<(FinishedState, Vec<FieldFeatures>), TrainError> {
        let mut writer = StateWriter::create(path, &self.metadata(), replace)?;
        let d = self.settings.curvature(self.bias.n);
        writer.push(&state_row(
            (BIAS_FIELD, ""),
            BIAS_KEY,
            (self.bias.z, d),
            self.indexer.totals,
            self.bias_weight(),
        ))?;
        let groups = self.indexer.groups.iter().filter(|group| !group.is_default());
        let mut fields: Vec<FieldFeatures> = groups.map(FieldFeatures::none).collect();
        let keys = self.indexer.table.keys();
        let mut numbers: Vec<u32> = (0..).take(keys.len()).collect();
        numbers.sort_unstable_by_key(|&number| keys[number as usize]);
        let mut category = String::new();
        // All impressions of each field, and those of categories that the start state does not know.
        let mut impressions = vec![[0.0; 2]; fields.len()];
        for number in numbers {
            let group = self.indexer.table.group(number);
            category.clear();
            self.indexer.table.write_category(&self.contract, &self.indexer.groups, number, &mut category);
            let index = number as usize;
            let Coordinate { z, n } = self.indexer.table.coordinates[index];
            let d = self.settings.curvature(n);
            let weight = self.weight(number);
            let count = self.indexer.table.counts[index].impressions;
            if let Some(field) = fields.get_mut(group) {
                field.feature_count += 1;
                field.nonzero_count += u64::from(weight != 0.0);
                impressions[group][0] += count;
                impressions[group][1] += if index >= self.known.feature_count { count } else { 0.0 };
            } else if z == 0.0 && count == 0.0 {
                // No category of this field was unseen.
                continue;
            }
            let name = self.indexer.groups[group].name.as_str();
            writer.push(&state_row(
                (name, &category),
                keys[index],
                (z, d),
                self.indexer.table.counts[index],
                weight,
            ))?;
        }
        for ((field, [all, unseen]), known) in fields.iter_mut().zip(impressions).zip(&self.known.impressions) {
            field.unseen_rate = (all > *known).then(|| unseen / (all - known));
        }
        let finished = writer.finish_with(&provenance(&fields))?;
        Ok((finished, fields))
    }

    /// Returns the metadata of the state.
    fn metadata(&self) -> Metadata {
        Metadata {
            contract: self.contract.clone(),
            settings: self.settings,
            weight_rule: WeightRule::of(&self.settings),
            pruned: false,
            without_evidence: false,
            negative_rate: self.indexer.sampling().negative_rate,
            importance_column: self.importance_column.clone(),
            log_dialect: self.log_dialect,
            shards: 1,
            window_us: self.lineage_us(),
            rows: whole(self.indexer.totals.impressions),
            effective_rows: self.effective_rows(),
            clicks: whole(self.indexer.totals.clicks),
            passes: self.pass,
            start: self.start.as_ref().map(Start::from),
            lineage: self.lineage.clone(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            provenance: Map::new(),
        }
    }

    #[inline]
    fn weight(&self, number: u32) -> f64 {
        let Coordinate { z, n } = self.indexer.table.coordinates[number as usize];
        let d = self.settings.curvature(n);
        if self.is_default(number) { self.settings.default_weight(z, d) } else { self.settings.feature_weight(z, d) }
    }

    /// Returns what a server adds for a feature: the default weight of unseen ones, if its weight is 0.
    fn served_weight(&self, number: u32) -> f64 {
        let weight = self.weight(number);
        let unseen = self.unseen_numbers[self.indexer.table.group(number)];
        if weight == 0.0 && unseen != NONE { self.weight(unseen) } else { weight }
    }

    /// Returns whether a feature is a default of unseen categories or missing values.
    #[inline]
    fn is_default(&self, number: u32) -> bool {
        self.indexer.table.group(number) + 2 >= self.indexer.groups.len()
    }

    /// The group of the default features of missing values: the last one.
    fn missing_group(&self) -> u16 {
        u16::try_from(self.indexer.groups.len() - 1).expect("a contract has few groups")
    }

    #[inline]
    fn bias_weight(&self) -> f64 {
        self.settings.bias_weight(self.bias.z, self.settings.curvature(self.bias.n))
    }
}

/// Adds the default features of unseen categories, and returns their numbers by the group of each.
fn insert_unseen(indexer: &mut RowIndexer) -> Result<Vec<u32>, TrainError> {
    let RowIndexer { groups, table, .. } = indexer;
    let unseen_group = u16::try_from(groups.len() - 2).expect("a contract has few groups");
    let mut numbers = vec![NONE; groups.len()];
    for (group, number) in groups.iter().zip(&mut numbers).filter(|(group, _)| group.learns_unseen()) {
        let key = default_key(UNSEEN_FIELD, &group.name);
        *number = table.add_counts(key, unseen_group, &group.name, FeatureCounts::NONE)?;
    }
    Ok(numbers)
}

/// Adds what `learner` has counted to the default features of unseen ones.
fn count_unseen(learner: &mut Learner, counts: &mut [FeatureCounts], unseen_numbers: &[u32]) {
    for (&number, [impressions, clicks]) in unseen_numbers.iter().zip(learner.take_unseen_counts()) {
        if number != NONE {
            counts[number as usize].add(FeatureCounts { impressions, clicks, last_seen_us: NEVER_US });
        }
    }
}

/// Returns the bias before the first row: the logit of the observed CTR of the first batch. One row with a click and
/// one without are added, so that the logit is finite.
///
/// If the bias started at 0, the first rows would push the weights of all their features below 0. The base rate would
/// then stay spread over those features for good, and categories seen later, which start at 0, would be predicted too
/// high.
fn first_bias(settings: &Settings, sums: LabelSums) -> Coordinate {
    let logit = ((sums.clicked + 1.0) / (sums.unclicked + 1.0)).ln();
    Coordinate { z: -logit * settings.curvature(0.0), n: 0.0 }
}

impl FieldFeatures {
    fn none(group: &FeatureGroup) -> Self {
        Self { field: group.name.clone(), feature_count: 0, nonzero_count: 0, unseen_rate: None }
    }
}

fn state_row<'a>(
    (field, category): (&'a str, &'a str),
    key: u64,
    (z, d): (f64, f64),
    counts: FeatureCounts,
    weight: f64,
) -> StateRow<'a> {
    StateRow {
        field,
        category,
        key,
        z,
        d,
        impressions: whole(counts.impressions),
        clicks: whole(counts.clicks),
        last_seen_us: (counts.last_seen_us != NEVER_US).then_some(counts.last_seen_us),
        weight,
    }
}

#[cfg(test)]
mod tests;
