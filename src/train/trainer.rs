//! The core of training: learns batches of rows one after the other, and says what it has learned.

mod resume;
#[cfg(test)]
mod resume_tests;

use std::path::Path;

use crate::contract::Contract;
use crate::evaluate::{Evaluator, Metrics, whole};
use crate::log_reader::RowBatch;

use super::indexed_rows::IndexedRows;
use super::learner::Learner;
use super::optimizer::Coordinate;
use super::sampling::Sampler;
use super::sources::{ChunkFeatures, Source, UNSEEN};
use super::state::{BIAS_FIELD, BIAS_KEY, Metadata, Start, StateRow, StateWriter, widest};
use super::table::{Counts, NEVER_US, Table};
use super::{Sampling, Settings, StartAccount, TrainError, WeightRule};

/// Rows whose features are looked up before the first of them is learned: their numbers stay in the cache meanwhile.
pub(super) const CHUNK_ROW_COUNT: usize = 512;

/// A model in training.
///
/// Each row is predicted before it is learned, so the metrics of the first pass are those of rows never seen
/// (*progressive validation*); all that is known of them is the observed CTR of the first batch, at which the bias
/// starts. Rows are learned in the order in which they come; the same rows in the same order, with the same first batch,
/// give the same state, to the byte.
#[derive(Debug)]
pub struct Trainer {
    contract: Contract,
    settings: Settings,
    sampler: Sampler,
    sources: Vec<Source>,
    table: Table,
    bias: Coordinate,
    bias_counts: Counts,
    /// From where training goes on.
    start: Option<StartAccount>,
    /// Times of the first and of the last row that was learned here.
    window_us: Option<(i64, i64)>,
    pass: u32,
    progressive: Evaluator,
    chunk: ChunkFeatures,
    rows: IndexedRows,
    learner: Learner,
}

/// The features of one field or cross in a trained model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFeatures {
    /// Name of the field or cross.
    pub field: String,
    /// Features that were seen.
    pub feature_count: u64,
    /// Those of them whose weight is not 0.
    pub nonzero_count: u64,
}

/// A training state that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenState {
    /// Size of the file.
    pub len_bytes: u64,
    /// Features by field and cross, in contract order.
    pub fields: Vec<FieldFeatures>,
}

impl Trainer {
    /// A model that has seen nothing and will learn every row.
    ///
    /// # Errors
    ///
    /// [`TrainError::Setting`] where a setting is out of its bounds.
    pub fn new(contract: &Contract, settings: Settings) -> Result<Self, TrainError> {
        Self::with_sampling(contract, settings, Sampling::default())
    }

    /// A model that has seen nothing and will learn the rows that `sampling` keeps.
    ///
    /// # Errors
    ///
    /// [`TrainError::Setting`] where a setting or the rate of the sampling is out of its bounds.
    pub fn with_sampling(contract: &Contract, settings: Settings, sampling: Sampling) -> Result<Self, TrainError> {
        settings.check()?;
        sampling.check()?;
        Ok(Self {
            contract: contract.clone(),
            settings,
            sampler: Sampler::new(sampling),
            sources: Source::list(contract),
            table: Table::new(),
            bias: Coordinate::default(),
            bias_counts: Counts::NONE,
            start: None,
            window_us: None,
            pass: 1,
            progressive: Evaluator::bounded(),
            chunk: ChunkFeatures::default(),
            rows: IndexedRows::default(),
            learner: Learner::new(settings),
        })
    }

    /// Learns the rows of a batch. In the first pass it also counts them and their features, and notes how well they were
    /// predicted.
    ///
    /// # Errors
    ///
    /// [`TrainError::TooManyFeatures`]; the trainer can then no longer be used.
    pub fn learn(&mut self, batch: &RowBatch) -> Result<(), TrainError> {
        let mut sampler = std::mem::replace(&mut self.sampler, Sampler::new(Sampling::default()));
        let kept = sampler.thin_out(batch);
        let batch = kept.as_ref().unwrap_or(batch);
        let learned = self.learn_rows(batch, sampler.importance(batch));
        self.sampler = sampler;
        learned
    }

    fn learn_rows(&mut self, batch: &RowBatch, importance: &[f64]) -> Result<(), TrainError> {
        if self.pass == 1 && self.start.is_none() && self.bias_counts.impressions == 0.0 {
            self.bias = first_bias(&self.settings, &batch.clicked, importance);
        }
        let mut start = 0;
        while start < batch.row_count() {
            let rows = start..batch.row_count().min(start + CHUNK_ROW_COUNT);
            start = rows.end;
            let mut chunk = std::mem::take(&mut self.chunk);
            chunk.enter(&self.sources, &mut self.table, batch, &rows)?;
            let (clicked, importance) = (&batch.clicked[rows.clone()], &importance[rows.clone()]);
            if self.pass == 1 {
                let times_us = batch.time_us.as_ref().map(|times_us| &times_us[rows]);
                self.count(&chunk, clicked, importance, times_us);
            }
            chunk.fill_rows(clicked, &mut self.rows);
            self.rows.importance.extend_from_slice(importance);
            self.chunk = chunk;
            let progressive = (self.pass == 1).then_some(&mut self.progressive);
            learn_indexed(&mut self.learner, &self.rows, &mut self.bias, &mut self.table.coordinates, progressive);
        }
        Ok(())
    }

    /// The rows that come now were learned before: from now on nothing is counted.
    pub fn begin_next_pass(&mut self) {
        self.pass += 1;
        self.sampler.rewind();
    }

    /// Predicts the rows of a batch without learning from them, and calls `visit` with each row's logit and whether it
    /// was clicked. Unseen categories add 0. Sampling leaves none of them out.
    pub fn predict(&self, batch: &RowBatch, mut visit: impl FnMut(f64, bool)) {
        let bias = self.bias_weight();
        let mut chunk = ChunkFeatures::default();
        let mut start = 0;
        while start < batch.row_count() {
            let rows = start..batch.row_count().min(start + CHUNK_ROW_COUNT);
            start = rows.end;
            chunk.find(&self.sources, self.table.index(), batch, &rows);
            for (row, &clicked) in batch.clicked[rows].iter().enumerate() {
                let mut logit = bias;
                chunk.of_row(row, |number| {
                    if number != UNSEEN {
                        logit += self.weight(number);
                    }
                });
                visit(logit, clicked);
            }
        }
    }

    /// Metrics of the rows of the first pass, each predicted before it was learned.
    pub fn progressive_metrics(&mut self) -> Metrics {
        self.progressive.metrics()
    }

    /// Metrics of the rows of the first pass so far, summed up: what [`Metrics`] of a part of them are made of.
    #[must_use]
    pub fn progressive(&self) -> &Evaluator {
        &self.progressive
    }

    /// Times of the first and of the last row that was learned here, in microseconds since 1970-01-01 UTC, where the log
    /// has times. What was learned before, and training went on from, is not counted.
    #[must_use]
    pub fn window_us(&self) -> Option<(i64, i64)> {
        self.window_us
    }

    /// Times of the first and of the last row that the model is built on, those before its start among them.
    #[must_use]
    pub fn lineage_us(&self) -> Option<(i64, i64)> {
        widest(self.start.as_ref().and_then(|start| start.window_us), self.window_us)
    }

    /// Number of features seen, the bias not counted.
    #[must_use]
    pub fn feature_count(&self) -> usize {
        self.table.len()
    }

    /// Writes the training state to the file `path`, sorted by key.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`], among others where `path` is there and `replace` is not asked for.
    pub fn write_state(&self, path: &Path, replace: bool) -> Result<WrittenState, TrainError> {
        let mut writer = StateWriter::create(path, &self.metadata(), replace)?;
        let d = self.settings.curvature(self.bias.n);
        writer.push(&state_row((BIAS_FIELD, ""), BIAS_KEY, (self.bias.z, d), self.bias_counts, self.bias_weight()))?;
        let mut fields: Vec<FieldFeatures> = self.sources.iter().map(FieldFeatures::none).collect();
        let keys = self.table.keys();
        let mut numbers: Vec<u32> = (0..).take(keys.len()).collect();
        numbers.sort_unstable_by_key(|&number| keys[number as usize]);
        let mut category = String::new();
        for number in numbers {
            let source = self.table.source(number);
            category.clear();
            self.table.write_category(&self.contract, &self.sources, number, &mut category);
            let index = number as usize;
            let Coordinate { z, n } = self.table.coordinates[index];
            let d = self.settings.curvature(n);
            let weight = self.settings.feature_weight(z, d);
            fields[source].feature_count += 1;
            fields[source].nonzero_count += u64::from(weight != 0.0);
            let name = self.sources[source].name.as_str();
            writer.push(&state_row((name, &category), keys[index], (z, d), self.table.counts[index], weight))?;
        }
        Ok(WrittenState { len_bytes: writer.finish()?, fields })
    }

    /// What the state says about itself.
    fn metadata(&self) -> Metadata {
        Metadata {
            contract: self.contract.clone(),
            settings: self.settings,
            weight_rule: WeightRule::of(&self.settings),
            negative_rate: self.sampler.sampling().negative_rate,
            shards: 1,
            window_us: self.lineage_us(),
            rows: whole(self.bias_counts.impressions),
            clicks: whole(self.bias_counts.clicks),
            passes: self.pass,
            start: self.start.as_ref().map(Start::from),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn count(&mut self, chunk: &ChunkFeatures, clicked: &[bool], importance: &[f64], times_us: Option<&[i64]>) {
        let time_us = |row: usize| times_us.map_or(NEVER_US, |times_us| times_us[row]);
        for (row, (&clicked, &importance)) in clicked.iter().zip(importance).enumerate() {
            self.bias_counts.count(clicked, importance, time_us(row));
        }
        if let Some(times_us) = times_us {
            let ends = (times_us.iter().copied().min(), times_us.iter().copied().max());
            self.window_us = widest(self.window_us, ends.0.zip(ends.1));
        }
        let counts = &mut self.table.counts;
        chunk.each(|row, number| counts[number as usize].count(clicked[row], importance[row], time_us(row)));
    }

    #[inline]
    fn weight(&self, number: u32) -> f64 {
        let Coordinate { z, n } = self.table.coordinates[number as usize];
        self.settings.feature_weight(z, self.settings.curvature(n))
    }

    #[inline]
    fn bias_weight(&self) -> f64 {
        self.settings.bias_weight(self.bias.z, self.settings.curvature(self.bias.n))
    }
}

/// Learns rows and notes in `progressive`, where it is given, how well they were predicted.
fn learn_indexed(
    learner: &mut Learner,
    rows: &IndexedRows,
    bias: &mut Coordinate,
    coordinates: &mut [Coordinate],
    progressive: Option<&mut Evaluator>,
) {
    match progressive {
        Some(progressive) => learner.learn(rows, bias, coordinates, |row| {
            progressive.add_important_logit(row.logit, row.clicked, row.importance);
        }),
        None => learner.learn(rows, bias, coordinates, |_| ()),
    }
}

/// The bias before the first row: the logit of the observed CTR of the first batch, in which one click and one impression
/// without are added so that it is finite.
///
/// From a bias of 0 the first rows would push the weights of all their features below 0, and the base rate would for
/// good lie spread over them; then every category seen later, which starts at 0, is predicted too high.
fn first_bias(settings: &Settings, clicked: &[bool], importance: &[f64]) -> Coordinate {
    let (mut clicks, mut others) = (1.0, 1.0);
    for (&clicked, &importance) in clicked.iter().zip(importance) {
        *if clicked { &mut clicks } else { &mut others } += importance;
    }
    let logit = (clicks / others).ln();
    Coordinate { z: -logit * settings.curvature(0.0), n: 0.0 }
}

impl FieldFeatures {
    fn none(source: &Source) -> Self {
        Self { field: source.name.clone(), feature_count: 0, nonzero_count: 0 }
    }
}

fn state_row<'a>(
    (field, category): (&'a str, &'a str),
    key: u64,
    (z, d): (f64, f64),
    counts: Counts,
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
