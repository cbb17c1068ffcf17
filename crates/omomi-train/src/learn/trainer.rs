//! The core of training: learns batches of rows one after the other, and says what it has learned.

mod cached;
#[cfg(test)]
mod cached_tests;
mod resume;
#[cfg(test)]
mod resume_tests;

use std::path::Path;

use omomi::contract::Contract;
use crate::judge::evaluate::{Evaluator, Metrics, whole};
use crate::log::RowBatch;

use super::learner::Learner;
use super::optimizer::Coordinate;
use super::row_indexer::{CHUNK_ROW_COUNT, LabelSums, RowIndexer};
use super::feature_groups::{ChunkFeatures, FeatureGroup, UNSEEN};
use super::state::{BIAS_FIELD, BIAS_KEY, Metadata, Start, StateRow, StateWriter, widest};
use super::table::{FeatureCounts, NEVER_US};
use super::{Sampling, Settings, StartAccount, TrainError, WeightRule};

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
    /// Numbers the features of rows and knows how often each was seen.
    indexer: RowIndexer,
    bias: Coordinate,
    /// Whether the bias stands where it starts, or beyond.
    has_bias: bool,
    /// From where training goes on.
    start: Option<StartAccount>,
    pass: u32,
    progressive: Evaluator,
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
            indexer: RowIndexer::new(contract, sampling),
            bias: Coordinate::default(),
            has_bias: false,
            start: None,
            pass: 1,
            progressive: Evaluator::bounded(),
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
        let is_first = self.pass == 1;
        let Self { settings, indexer, bias, has_bias, progressive, learner, .. } = self;
        indexer.each_chunk(batch, is_first, &mut |chunk| {
            if !std::mem::replace(has_bias, true) {
                *bias = first_bias(settings, chunk.batch_sums);
            }
            let progressive = is_first.then_some(&mut *progressive);
            learner.learn(chunk.rows, bias, &mut chunk.table.coordinates, progressive);
            Ok(())
        })
    }

    /// The rows that come now were learned before: from now on nothing is counted.
    pub fn begin_next_pass(&mut self) {
        self.pass += 1;
        self.indexer.rewind();
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
            chunk.find(&self.indexer.groups, self.indexer.table.index(), batch, &rows);
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

    pub(super) fn progressive_mut(&mut self) -> &mut Evaluator {
        &mut self.progressive
    }

    /// Times of the first and of the last row that was learned here, in microseconds since 1970-01-01 UTC, where the log
    /// has times. What was learned before, and training went on from, is not counted.
    #[must_use]
    pub fn window_us(&self) -> Option<(i64, i64)> {
        self.indexer.window_us
    }

    /// Times of the first and of the last row that the model is built on, those before its start among them.
    #[must_use]
    pub fn lineage_us(&self) -> Option<(i64, i64)> {
        widest(self.start.as_ref().and_then(|start| start.window_us), self.indexer.window_us)
    }

    /// Number of features seen, the bias not counted.
    #[must_use]
    pub fn feature_count(&self) -> usize {
        self.indexer.table.len()
    }

    /// Number of features whose weight is not 0, the bias not counted.
    #[must_use]
    pub fn nonzero_count(&self) -> u64 {
        (0..).take(self.indexer.table.len()).filter(|&number| self.weight(number) != 0.0).count() as u64
    }

    /// Writes the training state to the file `path`, sorted by key.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`], among others where `path` is there and `replace` is not asked for.
    pub fn write_state(&self, path: &Path, replace: bool) -> Result<WrittenState, TrainError> {
        let mut writer = StateWriter::create(path, &self.metadata(), replace)?;
        let d = self.settings.curvature(self.bias.n);
        writer.push(&state_row(
            (BIAS_FIELD, ""),
            BIAS_KEY,
            (self.bias.z, d),
            self.indexer.totals,
            self.bias_weight(),
        ))?;
        let mut fields: Vec<FieldFeatures> = self.indexer.groups.iter().map(FieldFeatures::none).collect();
        let keys = self.indexer.table.keys();
        let mut numbers: Vec<u32> = (0..).take(keys.len()).collect();
        numbers.sort_unstable_by_key(|&number| keys[number as usize]);
        let mut category = String::new();
        for number in numbers {
            let group = self.indexer.table.group(number);
            category.clear();
            self.indexer.table.write_category(&self.contract, &self.indexer.groups, number, &mut category);
            let index = number as usize;
            let Coordinate { z, n } = self.indexer.table.coordinates[index];
            let d = self.settings.curvature(n);
            let weight = self.settings.feature_weight(z, d);
            fields[group].feature_count += 1;
            fields[group].nonzero_count += u64::from(weight != 0.0);
            let name = self.indexer.groups[group].name.as_str();
            writer.push(&state_row(
                (name, &category),
                keys[index],
                (z, d),
                self.indexer.table.counts[index],
                weight,
            ))?;
        }
        Ok(WrittenState { len_bytes: writer.finish()?, fields })
    }

    /// What the state says about itself.
    fn metadata(&self) -> Metadata {
        Metadata {
            contract: self.contract.clone(),
            settings: self.settings,
            weight_rule: WeightRule::of(&self.settings),
            pruned: false,
            negative_rate: self.indexer.sampling().negative_rate,
            shards: 1,
            window_us: self.lineage_us(),
            rows: whole(self.indexer.totals.impressions),
            clicks: whole(self.indexer.totals.clicks),
            passes: self.pass,
            start: self.start.as_ref().map(Start::from),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    #[inline]
    fn weight(&self, number: u32) -> f64 {
        let Coordinate { z, n } = self.indexer.table.coordinates[number as usize];
        self.settings.feature_weight(z, self.settings.curvature(n))
    }

    #[inline]
    fn bias_weight(&self) -> f64 {
        self.settings.bias_weight(self.bias.z, self.settings.curvature(self.bias.n))
    }
}

/// The bias before the first row: the logit of the observed CTR of the first batch, in which one click and one impression
/// without are added so that it is finite.
///
/// From a bias of 0 the first rows would push the weights of all their features below 0, and the base rate would for
/// good lie spread over them; then every category seen later, which starts at 0, is predicted too high.
fn first_bias(settings: &Settings, sums: LabelSums) -> Coordinate {
    let logit = ((sums.clicked + 1.0) / (sums.unclicked + 1.0)).ln();
    Coordinate { z: -logit * settings.curvature(0.0), n: 0.0 }
}

impl FieldFeatures {
    fn none(group: &FeatureGroup) -> Self {
        Self { field: group.name.clone(), feature_count: 0, nonzero_count: 0 }
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
